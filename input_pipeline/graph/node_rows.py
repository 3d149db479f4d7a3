"""Rows of nodes as k-means sees them: sparse ones as wide as S, dense ones of a few columns.

Axes: V rows, W columns, K clusters.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from input_pipeline.graph.tiled_matrix import TiledMatrix

RowsT = TypeVar("RowsT", bound="NodeRows")


class NodeRows(Protocol):
    """V rows of W numbers.

    Attributes:
      lengths: ||x_v||^2, float64 [V].
      sample_rows: of so many rows a search for clusters learns enough.
    """

    lengths: NDArray[Any]
    sample_rows: int

    @property
    def shape(self) -> tuple[int, int]:
        """V and W."""

    def single(self: RowsT) -> RowsT:
        """The same rows in single precision."""

    def sample(self: RowsT, rows: NDArray[Any]) -> tuple[RowsT, NDArray[Any]]:
        """Some rows without the columns that they leave empty, and those columns."""

    def columns_of(self, rows: list[int] | NDArray[Any]) -> NDArray[Any]:
        """Some rows as columns, float64 [W, rows]."""

    def times(self, columns: NDArray[Any]) -> NDArray[Any]:
        """x @ columns, [W, K] -> [V, K], in the precision of the rows."""

    def add_to(
        self, sums: NDArray[Any], rows: NDArray[Any], labels: NDArray[Any], weights: NDArray[Any]
    ) -> None:
        """Adds weighted rows to the sums [W, K] of their labels; all three are [rows]."""


class SparseRows:
    """Rows as a CSR matrix [V, W], to be multiplied with up to `num_clusters` columns."""

    # A sample of a tenth of a planted log cost 0.1 % of the final inertia, a thirtieth 0.3 %.
    _SAMPLE_ENTRIES = 500_000

    def __init__(self, x: sparse.csr_matrix, num_clusters: int):
        self._x = x
        self._num_clusters = num_clusters
        self._tiled = TiledMatrix(x, num_clusters)
        squares = sparse.csr_matrix((x.data.astype(float) ** 2, x.indices, x.indptr), x.shape)
        self.lengths = np.asarray(squares.sum(axis=1)).ravel()
        self.sample_rows = x.shape[0] * self._SAMPLE_ENTRIES // max(1, x.nnz)

    @property
    def shape(self) -> tuple[int, int]:
        return self._x.shape

    def single(self) -> SparseRows:
        return SparseRows(self._x.astype(np.float32), self._num_clusters)

    def sample(self, rows: NDArray[Any]) -> tuple[SparseRows, NDArray[Any]]:
        x = self._x[rows]
        columns, indices = np.unique(x.indices, return_inverse=True)
        x = sparse.csr_matrix((x.data, indices, x.indptr), shape=(len(rows), len(columns)))
        return SparseRows(x, self._num_clusters), columns

    def columns_of(self, rows: list[int] | NDArray[Any]) -> NDArray[Any]:
        return np.ascontiguousarray(self._x[rows].toarray().T, np.float64)

    def times(self, columns: NDArray[Any]) -> NDArray[Any]:
        # The clusters' axis runs fastest, so that an entry of x meets its K numbers side by side.
        return self._tiled @ np.ascontiguousarray(columns, self._x.dtype)

    def add_to(
        self, sums: NDArray[Any], rows: NDArray[Any], labels: NDArray[Any], weights: NDArray[Any]
    ) -> None:
        x = self._x[rows]
        counts = np.diff(x.indptr)
        cells = x.indices.astype(np.int64) * sums.shape[1] + np.repeat(labels, counts)
        np.add.at(sums.reshape(-1), cells, x.data * np.repeat(weights, counts))


class DenseRows:
    """Rows as an array [V, W] of a few columns."""

    _SAMPLE_NUMBERS = 5_000_000

    def __init__(self, x: NDArray[Any]):
        self._x = x
        self.lengths = np.einsum("vw,vw->v", x, x, dtype=np.float64)
        self.sample_rows = self._SAMPLE_NUMBERS // x.shape[1]

    @property
    def shape(self) -> tuple[int, int]:
        return self._x.shape[0], self._x.shape[1]

    def single(self) -> DenseRows:
        return DenseRows(self._x.astype(np.float32))

    def sample(self, rows: NDArray[Any]) -> tuple[DenseRows, NDArray[Any]]:
        return DenseRows(self._x[rows]), np.arange(self.shape[1])

    def columns_of(self, rows: list[int] | NDArray[Any]) -> NDArray[Any]:
        return np.ascontiguousarray(self._x[rows].T, np.float64)

    def times(self, columns: NDArray[Any]) -> NDArray[Any]:
        return self._x @ np.ascontiguousarray(columns, self._x.dtype)

    def add_to(
        self, sums: NDArray[Any], rows: NDArray[Any], labels: NDArray[Any], weights: NDArray[Any]
    ) -> None:
        # [K, rows]: one entry a column
        share = sparse.csc_matrix(
            (weights, labels, np.arange(len(rows) + 1)), shape=(sums.shape[1], len(rows))
        )
        sums += (share @ self._x[rows]).T
