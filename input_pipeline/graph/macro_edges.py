"""Macro edges (Eq. 10): how strongly each node is tied to each macro node."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from input_pipeline.graph.merging_matrix import require_float32
from input_pipeline.graph.tiled_matrix import TiledMatrix

Edges: TypeAlias = tuple[NDArray[Any], NDArray[Any]]


def one_hot(macro: NDArray[Any], num_macro_nodes: int) -> sparse.csr_matrix:
    """The assignment matrix P, float64 CSR [V, K]; a cold node (-1) has a zero row."""
    indptr = np.concatenate([[0], np.cumsum(macro >= 0)])
    members = macro[macro >= 0]
    return sparse.csr_matrix(
        (np.ones(len(members)), members, indptr), shape=(len(macro), num_macro_nodes)
    )


def macro_edges(
    matrix: sparse.csr_matrix, p_user: sparse.csr_matrix, p_item: sparse.csr_matrix
) -> tuple[Edges, Edges]:
    """One-hop and two-hop edges of users and of items (Eq. 10).

    A hop further is a hop from the one-hop edges of the other side: no product is larger than
    these, and each of the four reads E once.

    Args:
      matrix: E, [U, I].
      p_user, p_item: P_U [U, K_U] and P_I [I, K_I].

    Returns:
      E P_I [U, K_I] and E (E^T P_U) [U, K_U] of users, E^T P_U [I, K_U] and E^T (E P_I) [I, K_I] of
      items: float32, summed in float64.

    Raises:
      ValueError: an edge does not fit in float32.
    """
    width = max(p_user.shape[1], p_item.shape[1])
    by_user, by_item = TiledMatrix(matrix, width), TiledMatrix(matrix.T.tocsr(), width)
    user_one_hop, item_one_hop = by_user @ p_item.toarray(), by_item @ p_user.toarray()
    user, item = (user_one_hop, by_user @ item_one_hop), (item_one_hop, by_item @ user_one_hop)
    for edges in (*user, *item):
        require_float32(edges, "macro edges")
    return _single(user), _single(item)


def _single(edges: Edges) -> Edges:
    one_hop, two_hop = (hop.astype(np.float32) for hop in edges)
    return one_hop, two_hop
