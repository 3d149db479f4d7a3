"""Macro edges (Eq. 10): how strongly each node is tied to each macro node."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from input_pipeline.graph.merging_matrix import require_float32


def one_hot(macro: np.ndarray, num_macro_nodes: int) -> sparse.csr_matrix:
    """The assignment matrix P, float64 CSR [V, K]; a cold node (-1) has a zero row."""
    indptr = np.concatenate([[0], np.cumsum(macro >= 0)])
    members = macro[macro >= 0]
    return sparse.csr_matrix(
        (np.ones(len(members)), members, indptr), shape=(len(macro), num_macro_nodes)
    )


def macro_edges(
    matrix: sparse.csr_matrix, own: sparse.csr_matrix, other: sparse.csr_matrix
) -> tuple[np.ndarray, np.ndarray]:
    """One-hop and two-hop edges of the nodes that are the rows of `matrix` (Eq. 10).

    Args:
      matrix: E [V, W] for users; its transpose for items.
      own: P of the rows' side, [V, K].
      other: P of the columns' side, [W, K'].

    Returns:
      One hop, matrix P', [V, K'], and two hops, matrix (matrix^T P), [V, K]: float32, summed in
      float64.

    Raises:
      ValueError: an edge does not fit in float32.
    """
    # [V, K']
    one_hop = matrix @ other.toarray()
    # The small product comes first: [W, K], then [V, K].
    two_hop = matrix @ (matrix.T @ own.toarray())
    require_float32(one_hop, "macro edges")
    require_float32(two_hop, "macro edges")
    return one_hop.astype(np.float32), two_hop.astype(np.float32)
