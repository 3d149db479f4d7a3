"""The truncated SVD of S by blocked products, as `graph/svd.py` has it for one machine.

A pass multiplies parts of S with thin dense matrices that lie in files. Columns are made
orthonormal by the triangles of the QR factorisations of blocks of rows (Demmel et al., 2012): the
driver factors the stacked triangles, W x W each, and the next product reads rows times the inverse.

Axes: V nodes of one owner, W width of the subspace, r kept dimensions.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse
from threadpoolctl import threadpool_limits

from input_pipeline.engines.spark.array_file import ArrayFile, write_npz
from input_pipeline.engines.spark.cut_pairs import SideTask
from input_pipeline.engines.spark.plan import OTHER, Plan, Shared, add_shared, write_sums
from input_pipeline.engines.spark.products import Slab, times_file
from input_pipeline.engines.spark.workspace import Workspace, slabs
from input_pipeline.graph.macro_nodes import grouping_matrix
from input_pipeline.graph.projection import NO_SHARE
from input_pipeline.graph.unit_rows import squared_lengths
from input_pipeline.log.interactions import OWNERS
from input_pipeline.log.keyed_random import keyed_bits
from input_pipeline.log.windows import STREAM_GROUPING

# As in `graph/svd.py`.
_OVERSAMPLING = 16
_PASSES = 6
_ZERO = 1e-10


def decompose(plan: Plan, tasks: dict[str, list[SideTask]], work: Workspace) -> None:
    """Writes `graph/projection.npz` of the pairs at the first cut."""
    svd = _Svd(plan, tasks, work)
    svd.run()


def singular_values(plan: Plan) -> NDArray[Any]:
    """Those of `graph/projection.npz`, [r], whose vectors of all nodes are not read."""
    file = ArrayFile(f"{plan.data_dir}/graph/projection.npz", "singular_values")
    return file.read(0, len(file))


@dataclasses.dataclass(frozen=True)
class _Product:
    """A part of S' times a file of the other owner's rows, through a matrix.

    Attributes:
      task: which part.
      source, target: files of the other owner's and of its own nodes.
      through: [W, W'], or [] where the file is read as it is.
      scales: paths of D^-1/2 of own and other nodes; None without scaling.
    """

    task: SideTask
    source: str
    target: str
    through: NDArray[Any]
    scales: tuple[str, str] | None


class _Svd:
    def __init__(self, plan: Plan, tasks: dict[str, list[SideTask]], work: Workspace):
        self._plan, self._tasks, self._work = plan, tasks, work
        self._sizes = {owner: plan.known_at(owner, 1) for owner in OWNERS}
        smaller = min(self._sizes.values())
        self._dim = min(plan.options.grouping_dim, max(1, smaller - 1))
        self._width = min(self._dim + _OVERSAMPLING, smaller)
        self._scales: dict[str, str] = {}

    def run(self) -> None:
        work = self._work
        self._scale()
        # The smaller side's vectors are orthonormal to the last digits.
        small = "item" if self._sizes["user"] > self._sizes["item"] else "user"
        large = OTHER[small]
        files = {owner: work.path("svd", f"{owner}.npy") for owner in OWNERS}
        for owner, path in files.items():
            ArrayFile.create(path, (self._sizes[owner], self._width), np.float64)
        seed = self._plan.options.seed
        work.run(
            functools.partial(_begin, files[large], seed),
            slabs(self._sizes[large], self._rows_of_slab()),
        )
        nothing = np.zeros((0, 0))
        for _ in range(_PASSES):
            self._multiply(small, files, nothing)
            through = _inverse(self._triangle(files[small], nothing))
            self._multiply(large, files, through)
        self._multiply(small, files, nothing)
        through = _inverse(self._triangle(files[small], nothing))
        through = through @ _inverse(self._triangle(files[small], through))
        self._multiply(large, files, through)
        # right = Q triangle = Q inner S turn, so that right turn^T / S is orthonormal.
        triangle = self._triangle(files[large], nothing)
        _, values, turn = linalg.svd(triangle, check_finite=False)
        values, turn = values[: self._dim], turn[: self._dim].T
        found = values > _ZERO * values[0]
        shares = np.where(found, 1 / np.where(found, values, 1), 0)
        maps = {small: through @ (turn * found), large: turn * shares}
        self._write(files, maps, values * found)

    def _rows_of_slab(self) -> int:
        return max(1, self._work.part_rows // 4)

    def _scale(self) -> None:
        """Writes D^-1/2 of both sides, where S is scaled."""
        plan, work = self._plan, self._work
        for owner in OWNERS:
            ArrayFile.create(work.path("degree", f"{owner}.npy"), (self._sizes[owner],), np.float64)
            found = work.run(_degrees, self._tasks[owner])
            add_shared(work.path("degree", f"{owner}.npy"), found)
            if plan.options.grouping_scale == "none":
                continue
            file = ArrayFile(work.path("degree", f"{owner}.npy"))
            added = 0.0
            if plan.options.grouping_scale == "regularized":
                added = sum(float(block.sum()) for _, block in file.blocks()) / len(file)
            self._scales[owner] = work.path("degree", f"{owner}_scale.npy")
            scale = ArrayFile.create(self._scales[owner], (len(file),), np.float64)
            for start, block in file.blocks():
                degree = block + added
                file.write(start, degree)
                safe = np.where(degree > 0, degree, 1)
                scale.write(start, np.where(degree > 0, 1 / np.sqrt(safe), 0))

    def _multiply(self, owner: str, files: dict[str, str], through: NDArray[Any]) -> None:
        """Writes rows of `owner`: S' (or its transpose) times the other's rows."""
        scales = None
        if self._scales:
            scales = self._scales[owner], self._scales[OTHER[owner]]
        products = [
            _Product(task, files[OTHER[owner]], files[owner], through, scales)
            for task in self._tasks[owner]
        ]
        add_shared(files[owner], self._work.run(_multiply, products))

    def _triangle(self, path: str, through: NDArray[Any]) -> NDArray[Any]:
        """R [W, W'] of the QR factorisation of a file's rows times a matrix."""
        size = len(ArrayFile(path))
        parts = self._work.run(
            functools.partial(_factor, path, through), slabs(size, self._rows_of_slab())
        )
        stacked = np.concatenate(parts)
        return linalg.qr(stacked, mode="r", check_finite=False)[0][: stacked.shape[1]]

    def _write(
        self, files: dict[str, str], maps: dict[str, NDArray[Any]], values: NDArray[Any]
    ) -> None:
        plan, work = self._plan, self._work
        rows = self._rows_of_slab()
        largest = work.run(
            functools.partial(_largest, files["item"], maps["item"]),
            slabs(self._sizes["item"], rows),
        )
        # [slabs, r] each; of equally large entries the first one counts
        sizes, signs = (np.stack([found[n] for found in largest]) for n in (0, 1))
        sign = signs[sizes.argmax(axis=0), np.arange(self._dim)]
        arrays: dict[str, Any] = {}
        for owner in OWNERS:
            shape = (self._sizes[owner], self._dim)
            path = work.path("projection", f"{owner}.npy")
            ArrayFile.create(path, shape, np.float32)
            # Squared lengths of the rows of S', beside which kept dimensions may be noise.
            squares = work.path("projection", f"{owner}_squares.npy")
            ArrayFile.create(squares, (shape[0],), np.float64)
            scales = None
            if self._scales:
                scales = self._scales[owner], self._scales[OTHER[owner]]
            tasks = [_Product(t, "", squares, sign, scales) for t in self._tasks[owner]]
            add_shared(squares, work.run(_squares, tasks))
            write = functools.partial(
                _vectors, files[owner], squares, path, maps[owner] * sign, values
            )
            work.run(write, slabs(shape[0], rows))
            arrays[owner] = (np.float32, shape, (b for _, b in ArrayFile(path).blocks()))
        arrays["singular_values"] = (np.float64, values.shape, [values])
        if self._scales:
            for owner in OWNERS:
                file = ArrayFile(work.path("degree", f"{owner}.npy"))
                arrays[f"{owner}_degree"] = (np.float64, file.shape, (b for _, b in file.blocks()))
        write_npz(f"{plan.data_dir}/graph/projection.npz", arrays)
        work.remove("svd")


def _matrix(product: _Product) -> tuple[Slab, sparse.csr_matrix]:
    """A part of S'."""
    task = product.task
    slab = Slab.load(task.slab)
    matrix = grouping_matrix(slab.matrix, task.plan.options.preference)
    if product.scales is not None:
        own, other = map(ArrayFile, product.scales)
        of_rows = np.repeat(
            own.read(slab.first, slab.first + matrix.shape[0]), np.diff(matrix.indptr)
        )
        columns, place = np.unique(matrix.indices, return_inverse=True)
        data = matrix.data * of_rows * other.take(columns)[place]
        matrix = sparse.csr_matrix((data, matrix.indices, matrix.indptr), matrix.shape)
    return slab, matrix


def _degrees(task: SideTask) -> Shared:
    slab = Slab.load(task.slab)
    matrix = grouping_matrix(slab.matrix, task.plan.options.preference)
    sums = np.asarray(matrix.sum(axis=1)).ravel()
    path = task.plan.path("degree", f"{task.owner}.npy")
    return write_sums(task.plan, task.owner, task.part, slab.first, sums, path)


def _squares(product: _Product) -> Shared:
    slab, matrix = _matrix(product)
    sums, task = squared_lengths(matrix), product.task
    return write_sums(task.plan, task.owner, task.part, slab.first, sums, product.target)


@threadpool_limits.wrap(limits=1, user_api="blas")
def _multiply(product: _Product) -> Shared:
    slab, matrix = _matrix(product)
    task, through = product.task, product.through
    file = ArrayFile(product.source)
    width = file.shape[1]
    if through.size:
        found = times_file(matrix, file, width, lambda band: band @ through)
    else:
        found = times_file(matrix, file, width)
    return write_sums(task.plan, task.owner, task.part, slab.first, found, product.target)


def _begin(path: str, seed: int, slab: tuple[int, int]) -> None:
    """Rows of signs that are functions of their number."""
    file = ArrayFile(path)
    width = file.shape[1]
    rows = np.arange(*slab)[:, np.newaxis]
    bits = keyed_bits(seed, STREAM_GROUPING, len(OWNERS), rows, np.arange(width))
    file.write(slab[0], np.where(bits >> np.uint64(63), 1.0, -1.0))


@threadpool_limits.wrap(limits=1, user_api="blas")
def _factor(path: str, through: NDArray[Any], slab: tuple[int, int]) -> NDArray[Any]:
    rows = ArrayFile(path).read(*slab)
    rows = rows @ through if through.size else rows
    triangle: NDArray[Any] = linalg.qr(rows, mode="r", check_finite=False)[0][: rows.shape[1]]
    return triangle


def _inverse(triangle: NDArray[Any]) -> NDArray[Any]:
    """What makes columns with this triangle orthonormal; directions of rounding errors are zero."""
    _, values, turn = linalg.svd(triangle, check_finite=False)
    found = values > _ZERO * max(values[0], np.finfo(float).tiny)
    shares = np.where(found, 1 / np.where(found, values, 1), 0)
    inverse: NDArray[Any] = turn.T[:, : len(values)] * shares
    return inverse


@threadpool_limits.wrap(limits=1, user_api="blas")
def _largest(
    path: str, through: NDArray[Any], slab: tuple[int, int]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """By column, the size of the largest entry, rounded as equal ones are, and its sign."""
    vectors = ArrayFile(path).read(*slab) @ through
    rows = np.abs(vectors).argmax(axis=0)
    found = vectors[rows, np.arange(vectors.shape[1])]
    return np.abs(found), np.where(found < 0, -1.0, 1.0)


@threadpool_limits.wrap(limits=1, user_api="blas")
def _vectors(
    path: str,
    squares: str,
    target: str,
    through: NDArray[Any],
    values: NDArray[Any],
    slab: tuple[int, int],
) -> None:
    """Singular vectors, zero for nodes that lie in none of the dimensions."""
    vectors = ArrayFile(path).read(*slab) @ through
    kept = squared_lengths(vectors * values) > NO_SHARE**2 * ArrayFile(squares).read(*slab)
    ArrayFile(target).write(slab[0], vectors * kept[:, np.newaxis])
