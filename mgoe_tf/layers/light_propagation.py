"""Propagation over a bipartite graph without weights to learn, as LightGCN does it."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from scipy import sparse


def normalized(weights: sparse.csr_matrix) -> sparse.csr_matrix:
    """D_u^(-1/2) R D_i^(-1/2), float32 CSR; D the weighted degrees, rows of degree 0 staying 0.

    Args:
      weights: R [U, I], above 0.
    """
    scales = []
    for axis in (1, 0):
        degrees = np.asarray(weights.sum(axis=axis), np.float64).ravel()
        scales.append(np.divide(1.0, np.sqrt(degrees), where=degrees > 0, out=0.0 * degrees))
    users, items = (sparse.diags(scale) for scale in scales)
    return sparse.csr_matrix(users @ weights @ items, dtype=np.float32)


class LightPropagation:
    """sum_{l=1..L} E^l with E^l = A E^(l-1), A = D^(-1/2) [[0, R], [R^T, 0]] D^(-1/2).

    No layer: there is nothing to learn. Everything is float32.

    Args:
      weights: R, CSR [U, I], above 0.
      num_layers: L.

    Example: a user who did one thing. Each layer gives the user what the item had, and the item
    what the user had.

    >>> walk = LightPropagation(sparse.csr_matrix([[5.0]]), num_layers=2)
    >>> [vectors.numpy().tolist() for vectors in walk(tf.constant([[1.0]]), tf.constant([[3.0]]))]
    [[[4.0]], [[4.0]]]
    """

    def __init__(self, weights: sparse.csr_matrix, num_layers: int) -> None:
        if num_layers < 1:
            raise ValueError(f"num_layers: must be at least 1, got {num_layers}")
        self.num_layers = num_layers
        matrix = normalized(weights).tocoo()
        places = np.stack([matrix.row, matrix.col], axis=1).astype(np.int64)
        with tf.init_scope():
            # one tensor that all traced functions share, in none of their graphs
            self._matrix = tf.SparseTensor(places, matrix.data, matrix.shape)

    def __call__(self, users: tf.Tensor, items: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """From E^0 of users [U, D] and items [I, D] to the sums, of the same shapes."""
        sums = tf.zeros_like(users), tf.zeros_like(items)
        for _ in range(self.num_layers):
            users, items = (
                tf.sparse.sparse_dense_matmul(self._matrix, items),
                tf.sparse.sparse_dense_matmul(self._matrix, users, adjoint_a=True),
            )
            sums = sums[0] + users, sums[1] + items
        return sums
