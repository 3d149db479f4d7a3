"""What tasks on executors are told: where the parts of the log lie, and how to read them.

Axes: P pairs of a part, T tasks, V nodes of one owner, K columns.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from input_pipeline.engines.spark.array_file import ArrayFile
from input_pipeline.engines.spark.vocabularies import IdStore
from input_pipeline.log.rows import Rows
from input_pipeline.log.windows import Windows
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.spec import DatasetSpec

OTHER = {"user": "item", "item": "user"}
Shared = dict[int, NDArray[Any]]


@dataclasses.dataclass(frozen=True)
class PairParts:
    """The pairs of every window, sorted by one owner, then the other, then the window.

    Attributes:
      paths: of Parquet files.
      ranges: first and last node of each file; a node of many pairs may be in several.
    """

    paths: tuple[str, ...]
    ranges: tuple[tuple[int, int], ...]

    def shared(self, part: int) -> set[int]:
        """The nodes of a file that others hold pairs of, too."""
        first, last = self.ranges[part]
        found = set()
        if part and self.ranges[part - 1][1] == first:
            found.add(first)
        if part + 1 < len(self.ranges) and self.ranges[part + 1][0] == last:
            found.add(last)
        return found


@dataclasses.dataclass(frozen=True)
class Plan:
    """What does not change after `begin`.

    Attributes:
      root: of the workspace.
      data_dir: of the data set.
      options: of the preparation.
      spec: of the data set.
      windows: of the log.
      known: by owner, int64 [n + 1]: how many nodes had appeared by the end of each window.
      ids, codes: by vocabulary, its raw ids, and the path of their order.
      events: files of events sorted by user, item and event; no user is in two.
      pairs: by owner.
      histories: by owner, files of what happened to each node, by node and window.
      columns: of the log's features, by name, their column in these files.
      last_time: the largest time of an event.
    """

    root: str
    data_dir: str
    options: PreparationOptions
    spec: DatasetSpec
    windows: Windows
    known: Mapping[str, NDArray[Any]]
    ids: Mapping[str, IdStore]
    codes: Mapping[str, str]
    events: tuple[str, ...]
    pairs: Mapping[str, PairParts]
    histories: Mapping[str, tuple[str, ...]]
    columns: Mapping[str, str]
    last_time: float

    def path(self, *names: str) -> str:
        """In the workspace."""
        return os.path.join(self.root, *names)

    def known_at(self, owner: str, cut: int) -> int:
        """How many nodes of an owner a cut knows."""
        return int(self.known[owner][cut - 1]) if cut else 0

    def graph(self, cut: int, *names: str) -> str:
        """In the folder of a cut's graph."""
        name = str(cut) if cut <= len(self.spec.cuts) else "latest"
        return os.path.join(self.data_dir, "graph", name, *names)

    def size(self, owner: str) -> int:
        """How many nodes the log has."""
        return int(self.known[owner][-1])


@dataclasses.dataclass(frozen=True)
class SidePairs:
    """The pairs of a part at a cut, sorted by node, then other.

    Attributes:
      first, count: the nodes of the part that the cut knows are first:first + count.
      node: int64 [P], from `first` on.
      other: int32 [P].
      behaviors: uint32 [P], above 0.
      latest: int64 [T, P].
    """

    first: int
    count: int
    node: NDArray[Any]
    other: NDArray[Any]
    behaviors: NDArray[Any]
    latest: NDArray[Any]


def load_pairs(plan: Plan, owner: str, part: int, cut: int) -> SidePairs | None:
    """The pairs with a behaviour before a cut; None where the cut knows no node of the part."""
    first, last = plan.pairs[owner].ranges[part]
    stop = min(last + 1, plan.known_at(owner, cut))
    if stop <= first:
        return None
    num_tasks = len(plan.spec.tasks)
    latest = [f"latest{task}" for task in range(num_tasks)]
    table = pq.ParquetFile(plan.pairs[owner].paths[part]).read(
        columns=[owner, OTHER[owner], "window", "positive", *latest]
    )
    kept = np.flatnonzero((table["window"].to_numpy() < cut) & (table["positive"].to_numpy() > 0))
    node, other = (table[name].to_numpy()[kept] for name in (owner, OTHER[owner]))
    starts = group_starts(node, other)
    behaviors = table["positive"].to_numpy()[kept].astype(np.uint32)
    return SidePairs(
        first=first,
        count=stop - first,
        node=node[starts].astype(np.int64) - first,
        other=other[starts].astype(np.int32),
        behaviors=np.bitwise_or.reduceat(behaviors, starts) if len(starts) else behaviors,
        latest=np.stack(
            [
                np.maximum.reduceat(table[name].to_numpy()[kept], starts)
                if len(starts)
                else np.zeros(0, np.int64)
                for name in latest
            ]
        ),
    )


def rows_of(table: pa.Table, *, has_clock: bool, event: NDArray[Any] | None = None) -> Rows:
    """The rows that a table holds, R of them.

    Args:
      table: user, item, positive, unlabeled, with a clock timestamp, and sampled where any may be.
      has_clock: whether times are read.
      event: int64 [R], of each row; None: its place in the table.
    """
    are_sampled = "sampled" in table.column_names
    return Rows(
        user=table["user"].to_numpy().astype(np.int32),
        item=table["item"].to_numpy().astype(np.int32),
        positive=table["positive"].to_numpy().astype(np.uint32),
        unlabeled=table["unlabeled"].to_numpy().astype(np.uint32),
        timestamp=table["timestamp"].to_numpy() if has_clock else None,
        sampled=table["sampled"].to_numpy() if are_sampled else np.zeros(len(table), bool),
        event=np.arange(len(table)) if event is None else event,
    )


def group_starts(*keys: NDArray[Any]) -> NDArray[Any]:
    """Where runs of equal keys begin, int64."""
    changes = np.ones(len(keys[0]), bool)
    if len(changes):
        changes[1:] = False
        for key in keys:
            changes[1:] |= key[1:] != key[:-1]
    return np.flatnonzero(changes)


def write_sums(
    plan: Plan, owner: str, part: int, first: int, sums: NDArray[Any], path: str
) -> Shared:
    """Writes what a part tells of its nodes, [V', ...] from `first` on, to a file of all nodes.

    Returns:
      What it tells of nodes that other parts tell of, too, which is written by `add_shared`.
    """
    shared = {n for n in plan.pairs[owner].shared(part) if first <= n < first + len(sums)}
    low = 1 if first in shared else 0
    high = len(sums) - (1 if first + len(sums) - 1 in shared else 0)
    if low < high:
        ArrayFile(path).write(first + low, sums[low:high])
    return {node: sums[node - first] for node in sorted(shared)}


def add_shared(path: str, found: Sequence[Shared | None]) -> None:
    """Writes the sums of nodes that several parts tell of, in the order of the parts."""
    totals: Shared = {}
    for of_part in found:
        for node, values in (of_part or {}).items():
            totals[node] = totals[node] + values if node in totals else values
    file = ArrayFile(path)
    for node, values in totals.items():
        file.write(node, np.asarray(values)[np.newaxis])
