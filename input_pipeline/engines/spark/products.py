"""Sparse parts of S times thin dense matrices in files, a band of these at a time.

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

# Numbers of a band, of 8 bytes.
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
    changed: Callable[[int, NDArray[Any]], NDArray[Any]] = lambda _, band: band,
) -> NDArray[Any]:
    """matrix @ dense, float64 [V, K].

    Args:
      matrix: CSR [V, W'].
      dense: of at least W' rows.
      width: K.
      changed: from the number of its first row and a band of the file, [W', ...], to [W', K].
    """
    size = matrix.shape[1]
    rows = max(1, _BAND_NUMBERS // max(1, width))
    if size <= rows:
        return np.asarray(matrix @ changed(0, dense.read(0, size)), np.float64)
    product = np.zeros((matrix.shape[0], width))
    order = np.argsort(matrix.indices, kind="stable")
    columns = matrix.indices[order]
    nodes = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))[order]
    data = matrix.data[order]
    for low in range(0, size, rows):
        part = slice(*np.searchsorted(columns, [low, low + rows]))
        if part.start == part.stop:
            continue
        band = changed(low, dense.read(low, min(low + rows, size)))
        entries = data[part], (nodes[part], columns[part] - low)
        product += sparse.csr_matrix(entries, shape=(matrix.shape[0], len(band))) @ band
    return product
