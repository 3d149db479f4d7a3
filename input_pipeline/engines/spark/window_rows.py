"""The rows of a window, part by part: pairs with sampled negatives, events or exposures.

Each row gets a shard and a place in it, which are functions of the row alone, so that the order of
a data set does not depend on how the log was cut into parts.

Axes: R rows of a part, M candidates of a window.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from input_pipeline.engines.spark.array_file import ArrayFile
from input_pipeline.engines.spark.plan import Plan, group_starts, rows_of
from input_pipeline.engines.spark.workspace import Workspace
from input_pipeline.log.keyed_random import keyed_bits
from input_pipeline.log.negatives import contains, sample_negatives
from input_pipeline.log.rows import Rows, with_sampled
from input_pipeline.log.windows import STREAM_NEGATIVES, STREAM_ROW_ORDER

_BLOCK = 1 << 22
_HALF = np.uint64(32)


@dataclasses.dataclass(frozen=True)
class CountedRows:
    """How many rows a part has.

    Attributes:
      rows, users: how many.
      labels, positives: by task, [T].
      missing: negatives that could not be drawn.
      dropped: rows that were left out with `--drop_cold`.
    """

    rows: int
    users: int
    labels: NDArray[Any]
    positives: NDArray[Any]
    missing: int
    dropped: int


@dataclasses.dataclass(frozen=True)
class CandidateFiles:
    """What negatives are drawn from, in files, block by block.

    Attributes:
      items, weights, cumulative: paths, [M].
      size: M.
      total: of all weights.
    """

    items: str
    weights: str
    cumulative: str
    size: int
    total: float

    @property
    def max_block(self) -> int:
        return _BLOCK

    def __len__(self) -> int:
        return self.size

    def blocks(self) -> Iterator[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]:
        """As `Candidates` has it."""
        files = [ArrayFile(path) for path in (self.items, self.weights, self.cumulative)]
        for start in range(0, self.size, _BLOCK):
            items, weights, cumulative = (file.read(start, start + _BLOCK) for file in files)
            yield items, weights, cumulative


def find_candidates(plan: Plan, window: int) -> CandidateFiles:
    """Writes the items of a window with their weights, one block after another."""
    names = ("items", "weights", "cumulative")
    paths = [plan.path("candidates", f"{window}_{name}.npy") for name in names]
    os.makedirs(plan.path("candidates"), exist_ok=True)
    counts = ArrayFile(plan.path("window_counts", f"{window}.npy"))
    size = sum(int((block > 0).sum()) for _, block in counts.blocks(_BLOCK))
    dtypes = (np.int32, np.float64, np.float64)
    files = [ArrayFile.create(p, (size,), d) for p, d in zip(paths, dtypes, strict=True)]
    place, before = 0, 0.0
    for start, block in counts.blocks(_BLOCK):
        found = np.flatnonzero(block)
        weights = block[found].astype(np.float64) ** plan.options.negative_power
        # Summed one after the other, as over the whole window at once.
        sums = np.cumsum(np.concatenate([[before], weights]))[1:] if place else np.cumsum(weights)
        for file, values in zip(files, (found + start, weights, sums), strict=True):
            file.write(place, values)
        place += len(found)
        before = float(sums[-1]) if len(sums) else before
    items, weights_path, cumulative = paths
    return CandidateFiles(items, weights_path, cumulative, size, before)


def make_rows(plan: Plan, window: int, work: Workspace) -> list[CountedRows]:
    """Writes the rows of a window to `rows/`, a file a part of the events."""
    candidates = None
    if plan.spec.rows == "pairs" and plan.options.negatives:
        (candidates,) = work.run(functools.partial(find_candidates, plan), [window])
    work.remove("rows")
    work.path("rows", "")
    make = functools.partial(_make, plan, window, candidates)
    return work.run(make, range(len(plan.events)))


def _make(plan: Plan, window: int, candidates: CandidateFiles | None, part: int) -> CountedRows:
    told = [f"f{n}" for n in sorted(int(plan.columns[f.name][1:]) for f in _contexts(plan))]
    missing = 0
    if plan.spec.rows == "pairs":
        rows, touched, before = _pairs(plan, window, part)
        contexts = pq.ParquetFile(plan.events[part]).read(columns=["event", *told])
        if candidates is not None and len(rows):
            sampled = sample_negatives(
                rows.user,
                rows.item,
                candidates,
                touched,
                plan.size("item"),
                plan.options.negatives,
                (plan.options.seed, STREAM_NEGATIVES, window),
            )
            missing = int((sampled < 0).sum())
            rows = with_sampled(rows, sampled)
    else:
        rows, contexts = _events(plan, window, part, told)
        before = _touched_keys(plan, part, window)
    dropped = len(rows)
    if plan.options.drop_cold and window:
        rows = rows.take(np.flatnonzero(_is_warm(plan, window, rows)))
    dropped -= len(rows)
    keys = rows.user.astype(np.int64) * plan.size("item") + rows.item
    columns = {
        "user": pa.array(rows.user),
        "item": pa.array(rows.item),
        "positive": pa.array(rows.positive),
        "unlabeled": pa.array(rows.unlabeled),
        "timestamp": pa.nulls(len(rows), pa.int64())
        if rows.timestamp is None
        else pa.array(rows.timestamp),
        "sampled": pa.array(rows.sampled),
        "touched": pa.array(contains(before, keys) & ~rows.sampled),
        **_places(plan, window, rows, contexts["event"].to_numpy()[rows.event]),
        **{name: contexts[name].take(pa.array(rows.event)) for name in told},
    }
    path = plan.path("rows", f"{part:05d}.parquet")
    pq.write_table(pa.table(columns), f"{path}.{os.getpid()}")
    os.replace(f"{path}.{os.getpid()}", path)
    bits = np.arange(len(plan.spec.tasks), dtype=np.uint32)
    labels, positives = (
        (values[:, np.newaxis] >> bits & np.uint32(1)).sum(axis=0)
        for values in (~rows.unlabeled, rows.positive)
    )
    users = len(np.unique(rows.user))
    return CountedRows(len(rows), users, labels, positives, missing, dropped)


def _contexts(plan: Plan) -> list[Any]:
    return [f for f in plan.spec.select("context") if f.name in plan.columns]


def _places(plan: Plan, window: int, rows: Rows, events: NDArray[Any]) -> dict[str, pa.Array]:
    """The shard of each row, and what it is sorted by there; `events` are those it is of, [R]."""
    seed = plan.options.seed
    order = keyed_bits(seed, STREAM_ROW_ORDER, window, rows.user, rows.item, events, rows.sampled)
    # Rows of a user are a request's.
    of_user = keyed_bits(seed, STREAM_ROW_ORDER, window, rows.user)
    dealt = of_user if plan.spec.record_layout == "request" else order
    shard = (dealt >> _HALF) % np.uint64(plan.options.num_shards)
    return {
        "shard": pa.array(shard.astype(np.int32)),
        # Numbers of 32 bits, which are not those that the shard was chosen by.
        "deal": pa.array((dealt & np.uint64(2**32 - 1)).astype(np.int64)),
        "order": pa.array((order >> np.uint64(1)).astype(np.int64)),
    }


def _pairs(plan: Plan, window: int, part: int) -> tuple[Rows, NDArray[Any], NDArray[Any]]:
    """The pairs of a window, and the keys of those up to its end and of those before it."""
    names = ["user", "item", "window", "positive", "unlabeled", "timestamp", "first"]
    table = pq.ParquetFile(plan.pairs["user"].paths[part]).read(columns=names)
    number = table["window"].to_numpy()
    here = np.flatnonzero(number == window)
    found = table.take(pa.array(here))
    rows = rows_of(
        found, has_clock=plan.spec.timestamp_unit is not None, event=found["first"].to_numpy()
    )
    keys = table["user"].to_numpy().astype(np.int64) * plan.size("item") + table["item"].to_numpy()
    touched, before = (keys[number < stop] for stop in (window + 1, window))
    return rows, touched[group_starts(touched)], before[group_starts(before)]


def _touched_keys(plan: Plan, part: int, window: int) -> NDArray[Any]:
    """The keys of the pairs before a window, ascending."""
    names = ["user", "item", "window"]
    table = pq.ParquetFile(plan.pairs["user"].paths[part]).read(columns=names)
    table = table.take(pa.array(np.flatnonzero(table["window"].to_numpy() < window)))
    keys = table["user"].to_numpy().astype(np.int64) * plan.size("item") + table["item"].to_numpy()
    return keys[group_starts(keys)]


def _events(plan: Plan, window: int, part: int, told: list[str]) -> tuple[Rows, pa.Table]:
    """The events of a window, and what they tell of themselves."""
    names = ["user", "item", "window", "positive", "unlabeled", "timestamp", "event"]
    table = pq.ParquetFile(plan.events[part]).read(columns=[*names, *told])
    table = table.take(pa.array(np.flatnonzero(table["window"].to_numpy() == window)))
    rows = rows_of(table, has_clock=plan.spec.timestamp_unit is not None)
    return rows, table


def _is_warm(plan: Plan, window: int, rows: Rows) -> NDArray[Any]:
    return (macro_of(plan, window, "user", rows.user) >= 0) & (
        macro_of(plan, window, "item", rows.item) >= 0
    )


def macro_of(plan: Plan, window: int, owner: str, nodes: NDArray[Any]) -> NDArray[Any]:
    """The macro nodes that the rows of a window read, int32 [R]; -1: cold."""
    distinct, place = np.unique(nodes, return_inverse=True)
    found = np.full(len(distinct), -1, np.int32)
    known = int(np.searchsorted(distinct, plan.known_at(owner, window)))
    if known:
        found[:known] = ArrayFile(plan.graph(window, f"{owner}_macro.npy")).take(distinct[:known])
    return found[place]
