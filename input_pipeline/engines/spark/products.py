"""Sparse parts of S times thin dense matrices in files, some rows of these at a time.

Axes: V nodes of a part, W nodes of the other owner, K columns.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from input_pipeline.engines.spark.array_file import ArrayFile

# Numbers of the rows that are read at once, of 8 bytes.
_BAND_NUMBERS = 1 << 24


@dataclasses.dataclass(frozen=True)
class Slab:
    """The rows of some nodes in a matrix.

    Attributes:
      first: the first node.
      matrix: CSR [V, W].
    """

    first: int
    matrix: sparse.csr_matrix

    def save(self, path: str) -> None:
        """Writes one .npz file."""
        shape = np.array([self.first, *self.matrix.shape])
        np.savez(
            path,
            shape=shape,
            indptr=self.matrix.indptr,
            indices=self.matrix.indices,
            data=self.matrix.data,
        )

    @classmethod
    def load(cls, path: str) -> Slab:
        """Reads `save`'s file."""
        with np.load(path) as arrays:
            first, *shape = arrays["shape"].tolist()
            found = arrays["data"], arrays["indices"], arrays["indptr"]
        return cls(first, sparse.csr_matrix(found, shape=tuple(shape)))


def times_file(
    matrix: sparse.csr_matrix,
    dense: ArrayFile,
    width: int,
    changed: Callable[[NDArray[Any]], NDArray[Any]] = lambda rows: rows,
) -> NDArray[Any]:
    """matrix @ dense, float64 [V, K]; rows that no entry meets are not read.

    Args:
      matrix: CSR [V, W'].
      dense: of at least W' rows.
      width: K.
      changed: from some rows of the file, [M, ...], to [M, K].
    """
    columns, place = np.unique(matrix.indices, return_inverse=True)
    rows = max(1, _BAND_NUMBERS // max(1, width))
    if len(columns) <= rows:
        entries = matrix.data, place, matrix.indptr
        met = sparse.csr_matrix(entries, shape=(matrix.shape[0], len(columns)))
        return np.asarray(met @ changed(dense.take(columns)), np.float64)
    product = np.zeros((matrix.shape[0], width))
    order = np.argsort(place, kind="stable")
    nodes = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))[order]
    data, place = matrix.data[order], place[order]
    for low in range(0, len(columns), rows):
        band = changed(dense.take(columns[low : low + rows]))
        part = slice(*np.searchsorted(place, [low, low + rows]))
        parts = data[part], (nodes[part], place[part] - low)
        product += sparse.csr_matrix(parts, shape=(matrix.shape[0], len(band))) @ band
    return product
