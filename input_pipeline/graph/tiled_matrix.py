"""A sparse matrix for products with dense ones that do not fit into a processor's cache.

Axes: V rows, W columns, K columns of a dense matrix.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

# Of a dense matrix, what a tile reads at random: some of a cache that cores share.
_DENSE_BYTES = 12_000_000
# Of the product, what a tile adds to: from 32 MB on, allocating costs more than the sum.
_PRODUCT_BYTES = 24_000_000


class TiledMatrix:
    """A CSR matrix in tiles, each of which meets a few MB of a dense matrix and of the product.

    An entry of the matrix reads a row of the dense one, anywhere in it: from memory that takes
    three to four times as long as from a cache.

    Args:
      x: CSR [V, W].
      width: K, of the widest dense matrix that it is to be multiplied with.

    Example:

    >>> TiledMatrix(sparse.csr_matrix([[0.0, 2.0]]), width=1) @ np.array([[3.0], [4.0]])
    array([[8.]])
    """

    def __init__(self, x: sparse.csr_matrix, width: int):
        self._x = x
        row_bytes = max(1, width) * x.dtype.itemsize
        self._bands = _pieces(x.shape[1], _DENSE_BYTES // row_bytes)
        pieces = _pieces(x.shape[0], _PRODUCT_BYTES // row_bytes)
        by_band = [x] if len(self._bands) == 1 else [x[:, band] for band in self._bands]
        # of some rows, the tiles of all bands
        self._tiles = [
            (rows, by_band if len(pieces) == 1 else [band[rows] for band in by_band])
            for rows in pieces
        ]

    def __matmul__(self, dense: NDArray[Any]) -> NDArray[Any]:
        """x @ dense, [W, K] -> [V, K], summed in the same order whatever K is."""
        dtype = np.result_type(self._x.dtype, dense.dtype)
        product = np.empty((self._x.shape[0], dense.shape[1]), dtype)
        for rows, (first, *others) in self._tiles:
            product[rows] = first @ dense[self._bands[0]]
            for band, tile in zip(self._bands[1:], others, strict=True):
                product[rows] += tile @ dense[band]
        return product


def _pieces(length: int, size: int) -> list[slice]:
    size = max(1, size)
    return [slice(start, min(start + size, length)) for start in range(0, max(1, length), size)]
