"""New macro nodes under the numbers of old ones, so that what was learnt of a number goes on.

Axes: V nodes, K macro nodes, W columns.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from input_pipeline.graph.macro_edges import one_hot
from input_pipeline.graph.macro_nodes import Grouping
from input_pipeline.graph.unit_rows import NodeArray


def centers(positions: NodeArray, macro: NDArray[Any], num_macro_nodes: int) -> NDArray[Any]:
    """Where the members of each macro node lie on average, float64 [K, W]; 0 without members.

    Args:
      positions: x of each node, an array or CSR matrix [V, W].
      macro: int32 [V], -1: in none.
      num_macro_nodes: K.
    """
    members = one_hot(macro, num_macro_nodes).T.tocsr()
    sums = members @ positions
    sums = sums if isinstance(sums, np.ndarray) else sums.toarray()
    counts = np.asarray(members.sum(axis=1))
    return sums / np.maximum(counts, 1)


def matching(old: NDArray[Any], new: NDArray[Any]) -> NDArray[Any]:
    """The number that each new macro node gets, a permutation, int64 [K].

    That with the least sum of squared distances (Kuhn, 1955).

    Args:
      old, new: [K, W], centers of the old and of the new macro nodes.
    """
    if old.shape != new.shape:
        raise ValueError(f"new: must be of the shape {old.shape} of old, got {new.shape}")
    distances = (
        np.einsum("kw,kw->k", old, old)[:, np.newaxis]
        + np.einsum("kw,kw->k", new, new)
        - 2 * old @ new.T
    )
    numbers = np.empty(len(new), np.int64)
    rows, columns = optimize.linear_sum_assignment(distances)
    numbers[columns] = rows
    return numbers


def renumbered(grouping: Grouping, numbers: NDArray[Any]) -> Grouping:
    """A grouping whose macro node k is called numbers[k]."""
    macro = np.append(numbers, -1)[grouping.macro].astype(np.int32)
    centroids = np.empty_like(grouping.centroids)
    centroids[numbers] = grouping.centroids
    return dataclasses.replace(grouping, macro=macro, centroids=centroids)
