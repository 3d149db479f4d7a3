"""`state/`, by which days are added to the data set: that of the local engine, in ranges of files.

Axes: P pairs of a part, T tasks, V nodes of one owner.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from input_pipeline.engines.engine import WindowDescription
from input_pipeline.engines.local.log_state import FOLDER, behaviors_dtype, write_facts
from input_pipeline.engines.spark.array_file import ArrayFile
from input_pipeline.engines.spark.plan import Plan, group_starts
from input_pipeline.engines.spark.workspace import Workspace
from input_pipeline.files import filesystem
from input_pipeline.log.interactions import OWNERS


def write_state(
    plan: Plan,
    numbers: Mapping[str, NDArray[Any]],
    windows: Sequence[WindowDescription],
    work: Workspace,
) -> None:
    """Writes `state/` of a data set whose windows follow one another in time.

    Args:
      plan: where everything is.
      numbers: by numeric feature, float64 [windows, 6, W].
      windows: what each window's rows are.
      work: where.
    """
    folder = os.path.join(plan.data_dir, FOLDER)
    os.makedirs(folder, exist_ok=True)
    _write_pairs(plan, folder, work)
    last_time = max(_write_activity(plan, owner, folder, work) for owner in OWNERS)
    for vocabulary in plan.spec.vocabularies:
        name = f"{vocabulary.name}_counts.npy"
        filesystem.rename(plan.path("later", name), os.path.join(folder, name))
    events = tuple(np.diff(plan.windows.bounds).tolist())
    write_facts(folder, numbers, events, last_time, windows)


def _write_pairs(plan: Plan, folder: str, work: Workspace) -> None:
    names = plan.spec.task_names
    sizes = np.array(work.run(functools.partial(_count_pairs, plan), plan.pairs["user"].paths))
    # [parts, 1 + T]: where each part begins, in the files of pairs and of each task
    starts = np.cumsum(sizes, axis=0) - sizes
    total, *of_tasks = sizes.sum(axis=0).tolist()
    dtypes = {"user": np.int32, "item": np.int32, "behaviors": behaviors_dtype(len(names))}
    for name, dtype in dtypes.items():
        ArrayFile.create(os.path.join(folder, f"pair_{name}.npy"), (total,), dtype)
    for name, size in zip(names, of_tasks, strict=True):
        ArrayFile.create(os.path.join(folder, f"pair_latest_{name}.npy"), (size,), np.int64)
    tasks = list(zip(plan.pairs["user"].paths, starts.tolist(), strict=True))
    work.run(functools.partial(_write_part_of_pairs, plan, folder), tasks)


def _count_pairs(plan: Plan, path: str) -> list[int]:
    """How many pairs a part has, and how many with each task."""
    behaviors = _pairs(path, 0)["behaviors"]
    return [len(behaviors), *(int(_did(behaviors, b).sum()) for b in range(len(plan.spec.tasks)))]


def _write_part_of_pairs(plan: Plan, folder: str, task: tuple[str, list[int]]) -> None:
    path, (start, *of_tasks) = task
    names = plan.spec.task_names
    found = _pairs(path, len(names))
    for name in ("user", "item", "behaviors"):
        ArrayFile(os.path.join(folder, f"pair_{name}.npy")).write(start, found[name])
    for bit, (name, first) in enumerate(zip(names, of_tasks, strict=True)):
        latest = found[f"latest{bit}"][_did(found["behaviors"], bit)]
        ArrayFile(os.path.join(folder, f"pair_latest_{name}.npy")).write(first, latest)


def _pairs(path: str, num_tasks: int) -> dict[str, NDArray[Any]]:
    """All pairs of a part, [P], by user, then item; the latest times of the first tasks."""
    latest = [f"latest{bit}" for bit in range(num_tasks)]
    table = pq.ParquetFile(path).read(columns=["user", "item", "positive", *latest])
    columns = {name: table[name].to_numpy() for name in table.column_names}
    starts = group_starts(columns["user"], columns["item"])
    return {
        "user": columns["user"][starts],
        "item": columns["item"][starts],
        "behaviors": np.bitwise_or.reduceat(columns["positive"].astype(np.uint32), starts),
        **{name: np.maximum.reduceat(columns[name], starts) for name in latest},
    }


def _did(behaviors: NDArray[Any], bit: int) -> NDArray[Any]:
    return (behaviors >> np.uint32(bit) & np.uint32(1)).astype(bool)


def _write_activity(plan: Plan, owner: str, folder: str, work: Workspace) -> int:
    """Writes how often, and from when to when, each node was active; the latest time."""
    size = plan.size(owner)
    shapes = {"events": (len(plan.spec.tasks), size), "first": (size,), "latest": (size,)}
    for name, shape in shapes.items():
        ArrayFile.create(os.path.join(folder, f"{owner}_{name}.npy"), shape, np.int64)
    write = functools.partial(_write_part_of_activity, plan, owner, folder)
    return max(work.run(write, plan.histories[owner]))


def _write_part_of_activity(plan: Plan, owner: str, folder: str, path: str) -> int:
    counts = [f"count{bit}" for bit in range(len(plan.spec.tasks))]
    names = ["node", *counts, "first_timestamp", "last_timestamp"]
    table = pq.ParquetFile(path).read(columns=names)
    columns = {name: table[name].to_numpy() for name in names}
    starts, first = group_starts(columns["node"]), int(columns["node"][0])
    events = ArrayFile(os.path.join(folder, f"{owner}_events.npy")).flat()
    for bit, name in enumerate(counts):
        found = np.add.reduceat(columns[name], starts)
        events.write(bit * plan.size(owner) + first, found)
    for name, reduced in (("first", np.minimum), ("latest", np.maximum)):
        column = columns[f"{'last' if name == 'latest' else name}_timestamp"]
        file = ArrayFile(os.path.join(folder, f"{owner}_{name}.npy"))
        file.write(first, reduced.reduceat(column, starts))
    return int(columns["last_timestamp"].max())
