"""A log drawn from the planted world, batch by batch."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from input_pipeline.log.events import Categorical, EventLog
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.sources.layout import drop_duplicates
from input_pipeline.sources.synthetic import world as worlds
from input_pipeline.sources.synthetic.funnel import TASKS
from input_pipeline.sources.synthetic.world import World

_BATCH_EXPOSURES = 1 << 18
_MEAN_DELAY_SECONDS = 300.0


@dataclasses.dataclass(frozen=True)
class Lines:
    """N lines of the log: rows of users and items in the world, bits of tasks, Unix seconds."""

    user: NDArray[Any]
    item: NDArray[Any]
    behaviors: NDArray[Any]
    timestamp: NDArray[Any]

    def take(self, index: NDArray[Any] | slice) -> Lines:
        return Lines(*(getattr(self, field.name)[index] for field in dataclasses.fields(self)))


def _join(parts: list[Lines]) -> Lines:
    names = [field.name for field in dataclasses.fields(Lines)]
    return Lines(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def generate(world: World, events: int, exposures: bool, seed: int) -> Iterator[Lines]:
    """Yields `events` lines, slice by slice, in batches of bounded size.

    Lines are in the order of time, but for the delay of what follows a click across the end of a
    batch.

    Args:
      world: who likes what.
      events: number of lines.
      exposures: whether a line is an exposure with all it led to, else one behaviour.
      seed: of the draws; the world has drawn from streams of its own.
    """
    ends = np.rint(events * np.cumsum(worlds.slice_loads())).astype(np.int64)
    for time_slice, lines in enumerate(np.diff(ends, prepend=0)):
        random = np.random.default_rng([seed, 1, time_slice])
        user_sums = np.cumsum(world.user_shares(time_slice))
        item_sums = np.cumsum(world.item_shares(time_slice))
        missing = int(lines)
        while missing:
            # In a log of behaviours, about five exposures make a line.
            size = min(missing if exposures else 6 * missing + 16, _BATCH_EXPOSURES)
            batch = _expose(
                world,
                _draw(random, user_sums, size),
                _draw(random, item_sums, size),
                time_slice,
                random,
            )
            batch = batch if exposures else _one_line_each(batch, random)
            batch = batch.take(slice(missing))
            missing -= len(batch.user)
            yield batch.take(np.argsort(batch.timestamp, kind="stable"))


def _draw(random: np.random.Generator, sums: NDArray[Any], size: int) -> NDArray[Any]:
    place = np.searchsorted(sums, random.random(size) * sums[-1], side="right")
    return np.minimum(place, len(sums) - 1)


def _expose(
    world: World,
    user: NDArray[Any],
    item: NDArray[Any],
    time_slice: int,
    random: np.random.Generator,
) -> Lines:
    """Shows items to users and draws what they do."""
    first = worlds.START_SECONDS + time_slice * worlds.SLICE_SECONDS
    timestamp = random.integers(first, first + worlds.SLICE_SECONDS, len(user))
    clicked = np.flatnonzero(random.random(len(user)) < world.click(user, item, time_slice))
    chances = world.behavior(user[clicked], item[clicked], time_slice)
    fav, cart, buy = random.random((3, len(clicked)))
    carted = cart < chances.cart
    bought = buy < np.where(carted, chances.buy_with_cart, chances.buy_without_cart)
    behaviors = np.zeros(len(user), np.uint32)
    behaviors[clicked] = 1 + 2 * (fav < chances.fav) + 4 * carted + 8 * bought
    return Lines(user, item, behaviors, timestamp)


def _one_line_each(lines: Lines, random: np.random.Generator) -> Lines:
    """A line for every behaviour; those after the click come later, in the order of the tasks."""
    delays = np.zeros(len(lines.user), np.int64)
    parts = []
    for task in range(len(TASKS)):
        shown = np.flatnonzero(lines.behaviors >> np.uint32(task) & np.uint32(1))
        if task:
            delays[shown] += 1 + random.exponential(_MEAN_DELAY_SECONDS, len(shown)).astype(int)
        part = lines.take(shown)
        bits = np.full(len(shown), 1 << task, np.uint32)
        parts.append(
            (
                shown,
                dataclasses.replace(part, behaviors=bits, timestamp=part.timestamp + delays[shown]),
            )
        )
    order = np.argsort(np.concatenate([shown for shown, _ in parts]), kind="stable")
    return _join([part for _, part in parts]).take(order)


def read(preparation: PreparationOptions) -> EventLog:
    """Draws the log of `users`, `items`, `events`, `exposures` and `seed`."""
    world = worlds.make_world(preparation.users, preparation.items, preparation.seed)
    lines = _join(
        list(generate(world, preparation.events, preparation.exposures, preparation.seed))
    )
    log = EventLog(
        tasks=TASKS,
        user_id=_categorical(world.user_id, lines.user),
        item_id=_categorical(world.item_id, lines.item),
        behaviors=lines.behaviors,
        unlabeled=None,
        timestamp=lines.timestamp,
        timestamp_unit="s",
        user_features={},
        item_features={"category_id": _categorical(world.category_id, lines.item)},
        source_files=(),
        malformed_lines=0,
        duplicate_lines=0,
        has_exposures=preparation.exposures,
    )
    return drop_duplicates(log, preparation.duplicates)


def _categorical(values: NDArray[Any], rows: NDArray[Any]) -> Categorical:
    """The column values[rows], without sorting the rows."""
    used = np.bincount(rows, minlength=len(values)) > 0
    distinct = np.unique(values[used])
    codes = np.searchsorted(distinct, values).astype(np.int32)
    return Categorical(codes[rows], distinct)
