"""Macro nodes at later cuts: assigned nodes stay, new ones go to the nearest centroid.

Axes: V nodes of a part or block, K macro nodes, r dimensions.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from threadpoolctl import threadpool_limits

from input_pipeline.engines.spark.array_file import ArrayFile
from input_pipeline.engines.spark.cut_pairs import SideTask
from input_pipeline.engines.spark.plan import OTHER, Plan, Shared, add_shared, write_sums
from input_pipeline.engines.spark.products import Slab, times_file
from input_pipeline.engines.spark.spectral import singular_values
from input_pipeline.engines.spark.workspace import Workspace, slabs
from input_pipeline.files import filesystem
from input_pipeline.graph.macro_nodes import grouping_matrix
from input_pipeline.graph.projection import NO_SHARE
from input_pipeline.graph.unit_rows import squared_lengths, unit


def join_nodes(plan: Plan, cut: int, owner: str, tasks: list[SideTask], work: Workspace) -> None:
    """Extends `macro/<owner>.npy` to the nodes that a cut knows."""
    file, size = ArrayFile(plan.path("macro", f"{owner}.npy")), plan.known_at(owner, cut)
    extended = ArrayFile.create(work.path("macro", f"{owner}-extended.npy"), (size,), np.int32)
    for start, stop in slabs(size, work.part_rows):
        macro = np.full(stop - start, -1, np.int32)
        known = file.read(start, max(start, min(stop, len(file))))
        macro[: len(known)] = known
        extended.write(start, macro)
    dim = ArrayFile(plan.path("projection", f"{owner}.npy")).shape[1]
    places = work.path("places", f"{owner}.npy")
    # The last column is the squared length of what a node is placed by.
    ArrayFile.create(places, (size, dim + 1), np.float64)
    place = functools.partial(_place, extended.path, places)
    add_shared(places, work.run(place, tasks))
    centroids = filesystem.load_array(f"{plan.data_dir}/graph/{owner}_centroids.npy")
    values = singular_values(plan)
    stretch = (values / values[0]) ** (plan.options.grouping_power - 1)
    assign = functools.partial(_assign, extended.path, places, centroids, stretch)
    work.run(assign, slabs(size, work.part_rows))
    filesystem.rename(extended.path, file.path)


@threadpool_limits.wrap(limits=1, user_api="blas")
def _place(macro: str, places: str, task: SideTask) -> Shared:
    """Writes s_v D^-1/2 B of the nodes without a macro node, and |s_v D^-1/2|^2."""
    plan, other = task.plan, OTHER[task.owner]
    slab = Slab.load(task.slab)
    matrix = grouping_matrix(slab.matrix, plan.options.preference)
    rows = slice(slab.first, slab.first + matrix.shape[0])
    is_new = ArrayFile(macro).read(rows.start, rows.stop) < 0
    matrix = sparse.diags_array(is_new.astype(float)) @ matrix
    matrix = matrix.tocsr()[:, : plan.known_at(other, 1)]
    if plan.options.grouping_scale != "none":
        columns, where = np.unique(matrix.indices, return_inverse=True)
        scale = ArrayFile(plan.path("degree", f"{other}_scale.npy")).take(columns)
        matrix = sparse.csr_matrix(
            (matrix.data * scale[where], matrix.indices, matrix.indptr), matrix.shape
        )
    vectors = ArrayFile(plan.path("projection", f"{other}.npy"))
    found = times_file(matrix, vectors, vectors.shape[1], lambda band: band.astype(np.float64))
    found = np.concatenate([found, squared_lengths(matrix)[:, np.newaxis]], axis=1)
    return write_sums(plan, task.owner, task.part, slab.first, found, places)


@threadpool_limits.wrap(limits=1, user_api="blas")
def _assign(
    macro: str,
    places: str,
    centroids: NDArray[Any],
    stretch: NDArray[Any],
    slab: tuple[int, int],
) -> None:
    file = ArrayFile(macro)
    found, told = file.read(*slab), ArrayFile(places).read(*slab)
    candidates = np.flatnonzero(found < 0)
    x, squares = told[candidates, :-1], told[candidates, -1]
    x[squared_lengths(x) <= NO_SHARE**2 * squares] = 0
    x = unit(x * stretch)
    lengths = squared_lengths(centroids)
    distance = np.where(lengths > 0, lengths - 2 * (x @ centroids.T), np.inf)
    placed = squared_lengths(x) > 0
    found[candidates[placed]] = distance[placed].argmin(axis=1)
    file.write(slab[0], found)
