"""What the macro edges say of a pair by themselves, without a model."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def plain_score(
    user_edges: NDArray[Any],
    item_edges: NDArray[Any],
    user_macro: NDArray[Any],
    item_macro: NDArray[Any],
    user: NDArray[Any],
    item: NDArray[Any],
) -> NDArray[Any]:
    """How much stronger a user and an item are tied than what both sides' totals tell.

        log(1 + W_u1[u, m(i)]) - log(1 + sum_k W_u1[u, k]) - log(1 + sum_v W_u1[v, m(i)])

    and the same of W_i1[i, m(u)], added.

    Args:
      user_edges: W_u1, [U, K_I].
      item_edges: W_i1, [I, K_U].
      user_macro, item_macro: m, [U] and [I].
      user, item: the pairs, [R]; both with a macro node.

    Returns:
      float64 [R].

    Raises:
      ValueError: a user or an item is cold.
    """
    user_to, item_to = item_macro[item], user_macro[user]
    cold = (user_to < 0) | (item_to < 0)
    if cold.any():
        raise ValueError(f"pairs must be of warm users and items, got {int(cold.sum())} others")
    return _tie(user_edges, user, user_to) + _tie(item_edges, item, item_to)


def _tie(edges: NDArray[Any], nodes: NDArray[Any], macro: NDArray[Any]) -> NDArray[Any]:
    by_node, by_macro = (np.log1p(edges.sum(axis=axis, dtype=np.float64)) for axis in (1, 0))
    return np.log1p(edges[nodes, macro].astype(np.float64)) - by_node[nodes] - by_macro[macro]
