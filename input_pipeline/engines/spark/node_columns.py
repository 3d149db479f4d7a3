"""Point-in-time joins: what the log told of each node by a cut, and what its events count.

All cuts are written at once, from the history of each node: side features (the latest event before
the cut) and activity to `graph/<cut>/`; to the workspace, what each node's first event tells, which
is what the rows of the window of that event read, and the events of each item by window.

Axes: V nodes of a part, H rows of their history.
"""

from __future__ import annotations

import functools
import os
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from input_pipeline.engines.spark.array_file import ArrayFile, cumulated, write_npz
from input_pipeline.engines.spark.plan import Plan, group_starts
from input_pipeline.engines.spark.window_moments import WindowMoments
from input_pipeline.engines.spark.workspace import Workspace
from input_pipeline.feature import Feature
from input_pipeline.features.moments import Moments
from input_pipeline.log.calendar import UNITS
from input_pipeline.log.interactions import OWNERS

_SECONDS_OF_DAY = 86_400


def write_node_columns(plan: Plan, work: Workspace) -> list[WindowMoments]:
    """Writes the columns of all cuts; by part, moments of what events read of activity."""
    cuts = range(1, plan.windows.num_windows + 1)
    moments: list[WindowMoments] = []
    for cut in cuts:
        os.makedirs(plan.graph(cut), exist_ok=True)
    for window in range(plan.windows.num_windows):
        ArrayFile.create(
            work.path("window_counts", f"{window}.npy"), (plan.size("item"),), np.int64
        )
    for owner in OWNERS:
        for feature in told(plan, owner):
            if feature.ragged:
                for cut in (0, *cuts):
                    size = plan.known_at(owner, cut) if cut else plan.size(owner)
                    ArrayFile.create(
                        work.path("lists", feature.name, f"{cut}.npy"), (size,), np.int64
                    )
                continue
            dtype = np.int32 if feature.role == "side" else np.float32
            first = work.path("first", f"{feature.name}.npy")
            ArrayFile.create(first, (plan.size(owner),), dtype)
            for cut in cuts:
                path = plan.graph(cut, f"{feature.column}.npy")
                ArrayFile.create(path, (plan.known_at(owner, cut),), dtype)
        for feature in activity(plan, owner):
            for cut in cuts:
                shape = (plan.known_at(owner, cut), *feature.shape)
                ArrayFile.create(plan.graph(cut, f"{feature.column}.npy"), shape, np.float32)
        tasks = list(enumerate(plan.histories[owner]))
        moments += work.run(functools.partial(_write, plan, owner), tasks)
        for feature in told(plan, owner):
            if feature.ragged:
                for cut in (0, *cuts):
                    _join_lists(plan, feature, cut, len(tasks))
    return moments


def told(plan: Plan, owner: str) -> list[Feature]:
    """The features of users or items that the log's own columns tell."""
    return [f for f in plan.spec.select(owner) if f.name in plan.columns]


def activity(plan: Plan, owner: str) -> list[Feature]:
    """The features that count the past."""
    return [f for f in plan.spec.select(owner, "numeric") if f.name not in plan.columns]


def values_of(table: pa.Table, name: str, feature: Feature) -> NDArray[Any]:
    """A column of Spark's; -1 or NaN where there is none."""
    array = table[name].combine_chunks()
    if feature.role == "side":
        return array.fill_null(-1).to_numpy().astype(np.int32)
    return array.fill_null(np.nan).to_numpy().astype(np.float32)


def lists_of(table: pa.Table, name: str, rows: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Lists of a column of Spark's: their lengths [V], and their entries, int32."""
    lists = table[name].combine_chunks().take(pa.array(rows))
    lengths = pc.list_value_length(lists).fill_null(0).to_numpy().astype(np.int64)
    return lengths, lists.flatten().to_numpy().astype(np.int32)


def first_lists(plan: Plan, feature: Feature) -> str:
    """Path of what the first event of each node tells by a feature of lists."""
    return plan.path("first", f"{feature.name}.npz")


def _lists_path(plan: Plan, feature: Feature, cut: int, part: int) -> str:
    return plan.path("lists", feature.name, f"{cut}-{part:05d}.npy")


def _join_lists(plan: Plan, feature: Feature, cut: int, num_parts: int) -> None:
    """Puts the lists of all nodes at a cut together; cut 0 is that of their first events."""
    lengths = ArrayFile(plan.path("lists", feature.name, f"{cut}.npy"))
    paths = [_lists_path(plan, feature, cut, part) for part in range(num_parts)]
    total = sum(int(block.sum()) for _, block in lengths.blocks())
    os.makedirs(plan.path("first"), exist_ok=True)
    target = plan.graph(cut, f"{feature.column}.npz") if cut else first_lists(plan, feature)
    rows = (np.load(path) for path in paths if os.path.exists(path))
    indptr = (np.int64, (len(lengths) + 1,), cumulated(lengths))
    write_npz(target, {"indptr": indptr, "rows": (np.int32, (total,), rows)})


def _save_lists(
    plan: Plan,
    feature: Feature,
    cut: int,
    part: int,
    first: int,
    found: tuple[NDArray[Any], NDArray[Any]],
) -> None:
    ArrayFile(plan.path("lists", feature.name, f"{cut}.npy")).write(first, found[0])
    np.save(_lists_path(plan, feature, cut, part), found[1])


def _write(plan: Plan, owner: str, task: tuple[int, str]) -> WindowMoments:
    part, path = task
    table = pq.ParquetFile(path).read()
    node, window = table["node"].to_numpy().astype(np.int64), table["window"].to_numpy()
    first = int(node[0])
    begins = group_starts(node)
    for feature in told(plan, owner):
        name = f"first_{plan.columns[feature.name]}"
        if feature.ragged:
            _save_lists(plan, feature, 0, part, first, lists_of(table, name, begins))
            continue
        values = values_of(table, name, feature)[begins]
        ArrayFile(plan.path("first", f"{feature.name}.npy")).write(first, values)
    if owner == "item":
        for number in range(plan.windows.num_windows):
            counts = np.zeros(len(begins), np.int64)
            here = np.flatnonzero(window == number)
            counts[node[here] - first] = table["count"].to_numpy()[here]
            ArrayFile(plan.path("window_counts", f"{number}.npy")).write(first, counts)
    for cut in range(1, plan.windows.num_windows + 1):
        known = min(len(begins), plan.known_at(owner, cut) - first)
        if known <= 0:
            continue
        before = np.flatnonzero(window < cut)
        # The last row of each node before the cut.
        last = before[np.searchsorted(node[before], np.arange(known) + first, "right") - 1]
        for feature in told(plan, owner):
            name = f"last_{plan.columns[feature.name]}"
            if feature.ragged:
                _save_lists(plan, feature, cut, part, first, lists_of(table, name, last))
                continue
            values = values_of(table, name, feature)[last]
            ArrayFile(plan.graph(cut, f"{feature.column}.npy")).write(first, values)
        for feature in activity(plan, owner):
            values = _activity(plan, table, cut, node[before] - first, before, begins[:known], last)
            ArrayFile(plan.graph(cut, f"{feature.column}.npy")).write(first, values)
    found: WindowMoments = {}
    for feature in activity(plan, owner):
        found |= _moments(plan, owner, feature, table)
    return found


def _activity(
    plan: Plan,
    table: pa.Table,
    cut: int,
    place: NDArray[Any],
    before: NDArray[Any],
    begins: NDArray[Any],
    last: NDArray[Any],
) -> NDArray[Any]:
    """ln(1 + events) by task, and days since the first and the latest event, float32 [V, T + 2].

    Args:
      plan: where everything is.
      table: histories.
      cut: its number.
      place: of the node of each row before the cut.
      before: these rows.
      begins, last: the first and the last of them of each node, [V].
    """
    num_tasks = len(plan.spec.tasks)
    values = np.empty((len(begins), num_tasks + 2), np.float32)
    for task in range(num_tasks):
        counts = table[f"count{task}"].to_numpy()[before]
        values[:, task] = np.log1p(np.bincount(place, counts, minlength=len(begins)))
    cut_times = plan.windows.cut_times
    now = cut_times[cut - 1] if cut <= len(cut_times) else plan.last_time
    ticks = _SECONDS_OF_DAY * UNITS[plan.spec.timestamp_unit or "s"]
    ends = (("first_timestamp", begins), ("last_timestamp", last))
    for column, (name, rows) in enumerate(ends, num_tasks):
        values[:, column] = (now - table[name].to_numpy()[rows]) / ticks
    return values


def _moments(plan: Plan, owner: str, feature: Feature, table: pa.Table) -> WindowMoments:
    """Of what the events of each window read, as often as there are events."""
    found: WindowMoments = {}
    windows, counts = table["window"].to_numpy(), table["count"].to_numpy()
    for window in range(plan.windows.num_windows):
        here = np.flatnonzero(windows == window)
        if not len(here):
            continue
        nodes = table["node"].to_numpy()[here]
        values = np.empty((len(here), *feature.shape), np.float64)
        values[:] = feature.missing
        known = np.flatnonzero(nodes < plan.known_at(owner, window))
        if len(known):
            file = ArrayFile(plan.graph(window, f"{feature.column}.npy"))
            values[known] = file.take(nodes[known])
        assert feature.transform is not None
        if feature.transform.kind == "log":
            values = np.sign(values) * np.log1p(np.abs(values))
        moments = found[feature.name, window] = Moments()
        moments.add(values, counts[here][:, np.newaxis])
    return found
