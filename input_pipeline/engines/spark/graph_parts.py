"""Columns of graphs that are too large for one file, as Parquet parts in place of it."""

from __future__ import annotations

import functools
import os

import numpy as np

from input_pipeline.engines.spark.array_file import ArrayFile, ListFile
from input_pipeline.engines.spark.plan import Plan
from input_pipeline.engines.spark.workspace import Workspace, slabs
from input_pipeline.files import stored

# Read by models as SciPy's own file.
_WHOLE = ("merging_matrix.npz",)


def store_parts(plan: Plan, cut: int, work: Workspace) -> None:
    """Replaces the columns of a graph of more than `--spark_file_bytes` bytes by parts.

    Executors read each node's values by its place in a file, so that this comes after the last of
    them has.
    """
    folder = plan.graph(cut)
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        is_column = name.endswith((".npy", ".npz")) and name not in _WHOLE
        if not is_column or os.path.getsize(path) <= plan.options.spark_file_bytes:
            continue
        size = len(ArrayFile(path)) if name.endswith(".npy") else len(ListFile(path))
        if not size:
            continue
        os.makedirs(stored.parts_folder(path), exist_ok=True)
        work.run(functools.partial(_store, path), list(enumerate(slabs(size, work.part_rows))))
        os.remove(path)


def _store(path: str, task: tuple[int, tuple[int, int]]) -> None:
    number, (start, stop) = task
    if path.endswith(".npy"):
        stored.write_array_part(path, number, start, ArrayFile(path).read(start, stop))
        return
    lengths, arrays = ListFile(path).take(np.arange(start, stop))
    stored.write_lists_part(path, number, start, lengths, arrays)
