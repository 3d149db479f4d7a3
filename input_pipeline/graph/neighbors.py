"""Micro neighbours: the latest items of a user by one task, and the latest users of an item."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from input_pipeline.graph.stable_order import stable_order


@dataclasses.dataclass(frozen=True)
class Neighbors:
    """Neighbours of V nodes by one task, newest first.

    Attributes:
      indptr: int64 [V + 1]; node v has the entries indptr[v]:indptr[v + 1].
      rows: int32, vocabulary rows of the neighbours.
      weights: float32, their scores s_vj in the merging matrix.
    """

    indptr: NDArray[Any]
    rows: NDArray[Any]
    weights: NDArray[Any]


def latest_neighbors(
    node: NDArray[Any],
    neighbor: NDArray[Any],
    time: NDArray[Any],
    weight: NDArray[Any],
    neighbor_codes: NDArray[Any],
    num_nodes: int,
    max_neighbors: int,
) -> Neighbors:
    """The newest `max_neighbors` neighbours of each node.

    Args:
      node, neighbor: int32 [P], distinct pairs of vocabulary rows.
      time: int64 [P], of the latest event of the pair by this task.
      weight: float [P].
      neighbor_codes: [W], by vocabulary row; at equal times the smaller code comes first.
      num_nodes: V.
      max_neighbors: L.
    """
    order = _newest_first(node, neighbor_codes[neighbor], time)
    count = np.bincount(node, minlength=num_nodes)
    first = np.cumsum(count) - count
    # int64 [P]: 0 for a node's newest neighbour, 1 for the next, ...
    age = np.arange(len(order)) - first[node[order]]
    kept = order[age < max_neighbors]
    indptr = np.concatenate([[0], np.cumsum(np.minimum(count, max_neighbors))])
    return Neighbors(
        indptr.astype(np.int64),
        neighbor[kept].astype(np.int32),
        weight[kept].astype(np.float32),
    )


def _newest_first(node: NDArray[Any], code: NDArray[Any], time: NDArray[Any]) -> NDArray[Any]:
    """The order by node, then from the latest to the earliest time, then by code; int64 [P].

    Two sorts of single numbers take a fraction of the time of np.lexsort.
    """
    if not len(node):
        return np.zeros(0, np.int64)
    code_bits = int(code.max()).bit_length()
    if (int(time.max()) - int(time.min())).bit_length() + code_bits > 63:
        time = np.unique(time, return_inverse=True)[1]
    order = stable_order((time.max() - time) << code_bits | code)
    return order[stable_order(node[order])]
