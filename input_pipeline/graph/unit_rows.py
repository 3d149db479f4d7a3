"""Rows of unit length, sparse or dense. Axes: V rows, W columns."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

NodeArray: TypeAlias = NDArray[Any] | sparse.csr_matrix


def squared_lengths(rows: NodeArray) -> NDArray[Any]:
    """||x_v||^2 of each row of an array or CSR matrix [V, W], float64 [V]."""
    if isinstance(rows, np.ndarray):
        return np.einsum("vw,vw->v", rows, rows, dtype=np.float64)
    return np.asarray(rows.multiply(rows).sum(axis=1)).ravel()


def unit(rows: NodeArray) -> NodeArray:
    """x_v / ||x_v|| of each row of an array or CSR matrix, float64 [V, W]; 0 of a zero row."""
    lengths = np.sqrt(squared_lengths(rows))
    lengths[lengths == 0] = 1
    if isinstance(rows, np.ndarray):
        return rows / lengths[:, np.newaxis]
    data = rows.data / np.repeat(lengths, np.diff(rows.indptr))
    return sparse.csr_matrix((data, rows.indices, rows.indptr), rows.shape)
