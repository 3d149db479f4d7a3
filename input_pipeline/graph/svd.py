"""Truncated singular value decomposition of a sparse matrix, randomised, seeded, in one thread.

Axes: U rows, I columns, W width of the subspace, r kept dimensions.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse
from threadpoolctl import threadpool_limits

from input_pipeline.graph.tiled_matrix import TiledMatrix

# Dimensions beyond those kept, and passes in single precision.
_OVERSAMPLING = 16
_PASSES = 6
# Directions with less than this share of the largest singular value are rounding errors.
_ZERO = 1e-10


@dataclasses.dataclass(frozen=True)
class Svd:
    """X ~ left diag(singular_values) right^T; float64 [U, r], [r] descending, [I, r].

    The columns of `left` and `right` are orthonormal. Of each, the largest entry of `right` is
    positive (of equally large ones, the first). Directions that X does not have are zero in all
    three.
    """

    left: NDArray[Any]
    singular_values: NDArray[Any]
    right: NDArray[Any]


@threadpool_limits.wrap(limits=1, user_api="blas")
def truncated_svd(x: sparse.csr_matrix, dim: int, *, random: np.random.Generator) -> Svd:
    """The largest singular triplets by subspace iteration (Halko, Martinsson and Tropp, 2011).

    A pass multiplies the matrix and its transpose with a thin matrix, which a QR factorisation on
    the smaller side keeps orthonormal. All but the last pass are in single precision: they only
    turn the subspace. On the larger side the triplets hold to the last digits, left^T X =
    diag(singular_values) right^T where that is I; on the other as far as the subspace has
    converged, which is wholly where W is min(U, I).

    The number of threads does not change a bit of the result, another kind of processor may.

    Args:
      x: CSR [U, I], with at least one entry.
      dim: r, from 1 to min(U, I).
      random: the source of the first subspace.
    """
    if not x.nnz:
        raise ValueError(f"x: must have at least one entry, got none of {x.shape}")
    if not 1 <= dim <= min(x.shape):
        raise ValueError(f"dim: must be from 1 to min{x.shape}, got {dim}")
    if x.shape[0] > x.shape[1]:
        small, singular_values, large = _triplets(x.T.tocsr(), dim, random)
        left, right = large, small
    else:
        left, singular_values, right = _triplets(x, dim, random)
    signs = _signs(right)
    return Svd(left * signs, singular_values, right * signs)


def _triplets(
    x: sparse.csr_matrix, dim: int, random: np.random.Generator
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Left vectors, singular values and right vectors of a matrix not higher than wide."""
    width = min(dim + _OVERSAMPLING, x.shape[0])
    # Scores of a large beta leave the range of single precision when they are multiplied.
    scale = np.abs(x.data).max()
    x = sparse.csr_matrix((x.data / scale, x.indices, x.indptr), x.shape)
    single = x.astype(np.float32)
    forth, back = TiledMatrix(single, width), TiledMatrix(single.T.tocsr(), width)
    # [I, W]
    right = random.standard_normal((x.shape[1], width), np.float32)
    for _ in range(_PASSES):
        right = back @ _orthonormal(forth @ right)
    # [U, W], from here on in double precision
    left = _orthonormal((forth @ right).astype(np.float64))
    del single, forth, back
    right = np.asfortranarray(TiledMatrix(x.T.tocsr(), width) @ left)
    # [W, W]: right = Q triangle = Q inner S turn, so that right turn^T / S is orthonormal.
    _, triangle = linalg.qr(right, mode="raw", check_finite=False)
    _, singular_values, turn = linalg.svd(triangle, check_finite=False)
    singular_values, turn = singular_values[:dim], turn[:dim].T
    found = singular_values > _ZERO * singular_values[0]
    shares = np.where(found, 1 / np.where(found, singular_values, 1), 0)
    return left @ (turn * found), singular_values * found * scale, right @ (turn * shares)


def _orthonormal(columns: NDArray[Any]) -> NDArray[Any]:
    """An orthonormal basis of the columns, of the same shape and precision."""
    basis, _ = linalg.qr(
        np.asfortranarray(columns), mode="economic", overwrite_a=True, check_finite=False
    )
    return np.ascontiguousarray(basis)


def _signs(columns: NDArray[Any]) -> NDArray[Any]:
    """-1 where the largest entry of a column is negative, else 1; float64 [r]."""
    largest = np.abs(columns).argmax(axis=0)
    return np.where(columns[largest, np.arange(columns.shape[1])] < 0, -1.0, 1.0)
