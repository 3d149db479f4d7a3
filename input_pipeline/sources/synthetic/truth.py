"""The best that a model can know of a synthetic log's rows: the probability of every label.

Ranking rows by the probability of a label, given all that is known before the draw, gives the best
AUC that can be expected (Neyman-Pearson). For exposures and events that probability is a parameter
of the world. For pairs it also depends on how rows come about, as derived at `pair_probabilities`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from input_pipeline.sources.synthetic import world as worlds
from input_pipeline.sources.synthetic.funnel import RATES, TASKS
from input_pipeline.sources.synthetic.world import World

_SAMPLE = 1 << 11
_CHUNK_ROWS = 1 << 18
_MAX_SLICES = 24
_CLICK_SHARE = RATES["click"]


def _by_slice(timestamps: NDArray[Any]) -> Iterator[tuple[int, NDArray[Any]]]:
    """Slices and the rows in each."""
    slices = worlds.slice_of(timestamps)
    order = np.argsort(slices, kind="stable")
    bounds = np.searchsorted(slices[order], np.arange(worlds.NUM_SLICES + 1))
    for time_slice in np.flatnonzero(np.diff(bounds)):
        yield int(time_slice), order[bounds[time_slice] : bounds[time_slice + 1]]


def exposure_probabilities(
    world: World, user_ids: NDArray[Any], item_ids: NDArray[Any], timestamps: NDArray[Any]
) -> NDArray[Any]:
    """float64 [N, T]: probability of each task on an exposure.

    Args:
      world: that the log was drawn from.
      user_ids, item_ids: raw ids, [N].
      timestamps: Unix seconds, [N].
    """
    users, items = world.user_rows(user_ids), world.item_rows(item_ids)
    probabilities = np.empty((len(users), len(TASKS)))
    for time_slice, rows in _by_slice(timestamps):
        chances = world.behavior(users[rows], items[rows], time_slice)
        probabilities[rows] = chances.click[:, None] * chances.after_click
    return probabilities


def event_probabilities(
    world: World, user_ids: NDArray[Any], item_ids: NDArray[Any], timestamps: NDArray[Any]
) -> NDArray[Any]:
    """float64 [N, T]: probability that a logged event, one behaviour each, is of each task.

    A click is logged for sure and the others with their probability after it, so an event is of
    task t with probability r_t / sum_t' r_t', r_t being the probability after a click and r_click =
    1.
    """
    users, items = world.user_rows(user_ids), world.item_rows(item_ids)
    probabilities = np.empty((len(users), len(TASKS)))
    for time_slice, rows in _by_slice(timestamps):
        probabilities[rows] = world.behavior(users[rows], items[rows], time_slice).after_click
    return probabilities / probabilities.sum(axis=1, keepdims=True)


@dataclasses.dataclass(frozen=True)
class PairWindow:
    """What decides which pairs become rows of a window, by `--rows=pairs` on a log of behaviours.

    Attributes:
      first, last: timestamps that the window lies within, inclusive.
      events: how many lines of the log lie in it.
      share: of the lines between `first` and `last`, how many are in the window: 1 with
        --split=time.
      negatives, negative_power: the flags.
    """

    first: int
    last: int
    events: int
    share: float
    negatives: int
    negative_power: float


def pair_probabilities(
    world: World,
    user_ids: NDArray[Any],
    item_ids: NDArray[Any],
    touched_before: NDArray[Any],
    window: PairWindow,
) -> NDArray[Any]:
    """float64 [N, T]: probability that a row of the window has each label, given its user and item.

    In slice s the log has n(s) clicks, and one of them is u's on i with probability

        a_u(s) q_i(s) p_ui(s) / P(s),   P(s) = sum_uj a_u(s) q_j(s) p_uj(s)

    with a and q the shares of users and items among exposures and p the probability of a click. So
    the clicks of the pair in the window are Poisson with mean mu_ui = sum_s n(s) a_u q_i p_ui / P.
    The pair is a row of the window

        once as touched:   with probability A = share (1 - exp(-mu)) as a negative:     B = (1 - A)
        negatives N_u w_i / sum_j w_j times on average, if not touched before, else 0

    where N_u is the expected number of u's pairs and w_i = E[count_i ** power], count_i being
    Poisson with the expected number of i's events. A row is touched with probability A / (A + B),
    and shows task t, of probability r_t after a click, with

        P(t | touched) = (1 - exp(-mu r_t)) / (1 - exp(-mu)).

    What is left out is small: that negatives are distinct, that a user's touched items are spared,
    and that behaviours may follow their click in the next window.

    Args:
      world: that the log was drawn from.
      user_ids, item_ids: raw ids of the rows, [N].
      touched_before: bool [N], whether the pair has an event before the window.
      window: which rows these are.
    """
    users, items = world.user_rows(user_ids), world.item_rows(item_ids)
    mean = np.zeros(len(users))
    tasks = np.zeros((len(users), len(TASKS)))
    user_clicks = np.zeros(len(world.user_id))
    item_events = np.zeros(len(world.item_id))
    loads = _loads(window)
    for time_slice in np.flatnonzero(loads):
        lines = loads[time_slice] * window.events
        user_rate, item_rate = _click_rates(world, int(time_slice))
        item_shares = world.item_shares(time_slice)
        # P(s), from the side that sums over all users exactly.
        clicks = world.user_shares(time_slice) * user_rate
        user_clicks += _CLICK_SHARE * lines * clicks / clicks.sum()
        weights = item_shares * item_rate
        item_events += lines * weights / weights.sum()
        scale = _CLICK_SHARE * lines / window.share / clicks.sum()
        pair_scale = scale * world.user_shares(time_slice)[users] * item_shares[items]
        for start in range(0, len(users), _CHUNK_ROWS):
            part = slice(start, start + _CHUNK_ROWS)
            chances = world.behavior(users[part], items[part], int(time_slice))
            expected = pair_scale[part] * chances.click
            mean[part] += expected
            tasks[part] += expected[:, None] * chances.after_click
    negative_weights = expected_power(item_events, window.negative_power)
    draws = window.negatives * user_clicks[users]
    draws *= negative_weights[items] / negative_weights.sum()
    touched = window.share * -np.expm1(-mean)
    negative = np.where(touched_before, 0.0, (1 - touched) * draws)
    total = np.maximum(touched + negative, np.finfo(float).tiny)
    with np.errstate(invalid="ignore"):
        shown = np.expm1(-tasks) / np.expm1(-mean)[:, None]
    return np.where(mean[:, None] > 0, shown, 0.0) * (touched / total)[:, None]


def _loads(window: PairWindow) -> NDArray[Any]:
    """float64 [NUM_SLICES]: how the window's lines are spread over the slices."""
    starts = worlds.START_SECONDS + worlds.SLICE_SECONDS * np.arange(worlds.NUM_SLICES)
    ends = np.minimum(starts + worlds.SLICE_SECONDS, window.last + 1)
    inside = np.clip(ends - np.maximum(starts, window.first), 0, None) / worlds.SLICE_SECONDS
    loads = worlds.slice_loads() * inside
    if not loads.any():
        loads[worlds.slice_of(np.array(window.last))] = 1
    busy = np.flatnonzero(loads)
    if len(busy) > _MAX_SLICES:  # The world turns slowly: one slice stands for its neighbours.
        parts = np.array_split(busy, _MAX_SLICES)
        sums = [loads[part].sum() for part in parts]
        loads[:] = 0
        loads[[part[len(part) // 2] for part in parts]] = sums
    return loads / loads.sum()


def _click_rates(world: World, time_slice: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """float64 [U], [I]: mean probability of a click, by the user shown to and the item shown.

    Means are over evenly spaced quantiles of the other side's shares, or over all of it where that
    is little.
    """
    users, user_weights = _quantiles(world.user_shares(time_slice))
    items, item_weights = _quantiles(world.item_shares(time_slice))
    user_rate = np.empty(len(world.user_id))
    item_rate = np.empty(len(world.item_id))
    for start in range(0, len(user_rate), _SAMPLE):
        part = np.arange(start, min(start + _SAMPLE, len(user_rate)))
        user_rate[part] = world.click_matrix(part, items, time_slice) @ item_weights
    for start in range(0, len(item_rate), _SAMPLE):
        part = np.arange(start, min(start + _SAMPLE, len(item_rate)))
        item_rate[part] = user_weights @ world.click_matrix(users, part, time_slice)
    return user_rate, item_rate


def _quantiles(shares: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """At most _SAMPLE rows and their weights, which sum to 1."""
    if len(shares) <= _SAMPLE:
        return np.arange(len(shares)), shares
    levels = (np.arange(_SAMPLE) + 0.5) / _SAMPLE
    rows = np.minimum(np.searchsorted(np.cumsum(shares), levels), len(shares) - 1)
    return rows, np.full(_SAMPLE, 1 / _SAMPLE)


def expected_power(mean: NDArray[Any], power: float) -> NDArray[Any]:
    """float64 [N]: E[count ** power] of a Poisson count, a count of 0 giving 0."""
    # Above 50, the second-order expansion around the mean is right to 1e-5.
    large = np.maximum(mean, 1e-12)
    result = large**power * (1 + power * (power - 1) / (2 * large))
    rows = np.flatnonzero(mean <= 50)
    chance = np.exp(-mean[rows])
    total = np.zeros(len(rows))
    for count in range(1, 150):
        chance = chance * mean[rows] / count
        total += chance * float(count) ** power
    result[rows] = total
    return result
