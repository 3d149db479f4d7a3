"""Macro nodes by preference-based grouping (Eq. 8 and 9): weighted k-means of placed nodes."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from absl import logging
from numpy.typing import NDArray
from scipy import sparse
from threadpoolctl import threadpool_limits

from input_pipeline.graph.kmeans import kmeans
from input_pipeline.graph.node_rows import DenseRows, NodeRows, SparseRows
from input_pipeline.graph.projection import Placement
from input_pipeline.graph.unit_rows import NodeArray, squared_lengths


@dataclasses.dataclass(frozen=True)
class GroupingOptions:
    """How one side's nodes are grouped; see the flags of the same names.

    Attributes:
      preference: False groups on [S > 0], and every node weighs 1.
      baseline: b, one number for both sides; None: the mean of the non-zero entries of S.
      theta_high, theta_low: None: the 0.8 and 0.2 quantiles of the activities.
    """

    num_macro_nodes: int
    preference: bool = True
    activity: str = "baseline"
    baseline: float | None = None
    omega_high: float = 2.0
    omega_low: float = 0.5
    theta_high: float | None = None
    theta_low: float | None = None
    restarts: int = 5
    seed: tuple[int, ...] = (0,)


@dataclasses.dataclass(frozen=True)
class Grouping:
    """The macro nodes of one side, fixed on history.

    Attributes:
      macro: int32 [V], the macro node of each node; -1 for a node without an interaction.
      centroids: float64 [K, W], weighted means of the members' x, as wide as these. Zero where a
        macro node has no members.
      inertia: sum_v omega_v ||x_v - centroid||^2.
      baseline: as used; None where activity knows none.
      theta_high, theta_low: as used.
    """

    macro: NDArray[Any]
    centroids: NDArray[Any]
    inertia: float
    baseline: float | None
    theta_high: float
    theta_low: float


def grouping_matrix(matrix: sparse.csr_matrix, preference: bool) -> sparse.csr_matrix:
    """What nodes are placed by: S, or [S > 0] without preference."""
    if preference:
        return matrix
    return sparse.csr_matrix(
        (np.ones_like(matrix.data), matrix.indices, matrix.indptr), matrix.shape
    )


def node_activity(matrix: sparse.csr_matrix, baseline: float) -> NDArray[Any]:
    """a_v = sum_j S_vj [S_vj > b], float64 [V] (Eq. 8)."""
    counted = np.where(matrix.data > baseline, matrix.data, 0.0)
    return _row_sums(sparse.csr_matrix((counted, matrix.indices, matrix.indptr), matrix.shape))


def copreference_activity(matrix: sparse.csr_matrix) -> NDArray[Any]:
    """a_v = sum_{j != v} (S S^T)_vj = s_v . (S^T 1) - ||s_v||^2, float64 [V] (Eq. 8 at b = 0)."""
    return matrix @ np.asarray(matrix.sum(axis=0)).ravel() - squared_lengths(matrix)


@threadpool_limits.wrap(limits=1, user_api="blas")
def group_nodes(
    matrix: sparse.csr_matrix, positions: NodeArray, options: GroupingOptions, side: str
) -> Grouping:
    """Groups the nodes that are the rows of `matrix` into macro nodes.

    Args:
      matrix: S at t_1 for users, its transpose for items; [V, W], with at least one entry.
      positions: x of each node, [V, ...].
      options: how.
      side: `user` or `item`, for messages.
    """
    nodes = np.flatnonzero(np.diff(matrix.indptr))
    if options.activity == "copreference":
        baseline, activity = None, copreference_activity(matrix)
    else:
        baseline = float(matrix.data.mean()) if options.baseline is None else options.baseline
        activity = node_activity(matrix, baseline)
    theta_high, theta_low = (
        float(np.quantile(activity[nodes], quantile)) if given is None else given
        for given, quantile in ((options.theta_high, 0.8), (options.theta_low, 0.2))
    )
    # omega_v of Eq. 9, [V].
    omega = np.ones(len(activity))
    if options.preference:
        omega[activity < theta_low] = options.omega_low
        omega[activity > theta_high] = options.omega_high
    x, weights = positions[nodes], omega[nodes]
    if len(nodes) < options.num_macro_nodes:
        logging.warning(
            "--num_%s_macro_nodes: only %d %ss have an interaction in history, so the rest of "
            "the %d macro nodes stay empty",
            side,
            len(nodes),
            side,
            options.num_macro_nodes,
        )
    labels = _by_size(_cluster(x, weights, options))
    centroids = _weighted_means(x, weights, labels, options.num_macro_nodes)
    totals = np.bincount(labels, weights, minlength=options.num_macro_nodes)
    # sum_v omega_v ||x_v - c||^2 with c the weighted means.
    inertia = weights @ squared_lengths(x) - totals @ squared_lengths(centroids)
    macro = np.full(matrix.shape[0], -1, np.int32)
    macro[nodes] = labels
    return Grouping(
        macro=macro,
        centroids=centroids,
        inertia=max(0.0, float(inertia)),  # rounding may leave less where it is 0
        baseline=baseline,
        theta_high=theta_high,
        theta_low=theta_low,
    )


@threadpool_limits.wrap(limits=1, user_api="blas")
def assign_new_nodes(
    macro: NDArray[Any], matrix: sparse.csr_matrix, centroids: NDArray[Any], placement: Placement
) -> NDArray[Any]:
    """Macro nodes at a later cut: assigned nodes stay, others go to the nearest centroid.

    Args:
      macro: int32 [V'], the assignment at the cut before, V' <= V.
      matrix: what nodes are placed by at this cut, S for users, its transpose for items, [V, W].
      centroids: of the grouping, [K, ...]; a zero one is of a macro node without members.
      placement: of history.

    Returns:
      int32 [V]; -1 where a node's place is zero. Ties go to the lowest macro node.
    """
    extended = np.full(matrix.shape[0], -1, np.int32)
    extended[: len(macro)] = macro
    candidates = np.flatnonzero(extended < 0)
    x = placement.place(matrix[candidates])
    lengths = squared_lengths(centroids)
    # [V'', K]: ||x - c||^2 without ||x||^2. A macro node without members attracts nobody.
    distance = np.where(lengths > 0, lengths - 2 * (x @ centroids.T), np.inf)
    placed = squared_lengths(x) > 0
    extended[candidates[placed]] = distance[placed].argmin(axis=1)
    return extended


def _row_sums(matrix: sparse.csr_matrix) -> NDArray[Any]:
    return np.asarray(matrix.sum(axis=1)).ravel()


def _cluster(x: NodeArray, weights: NDArray[Any], options: GroupingOptions) -> NDArray[Any]:
    """Labels of the best weighted k-means found, int [V]."""
    num_clusters = min(options.num_macro_nodes, x.shape[0])
    rows: NodeRows = DenseRows(x) if isinstance(x, np.ndarray) else SparseRows(x, num_clusters)
    random = np.random.default_rng(list(options.seed))
    return kmeans(rows, weights, num_clusters, restarts=options.restarts, random=random)


def _by_size(labels: NDArray[Any]) -> NDArray[Any]:
    """Renames the clusters so that the largest is 0 (ties: the lower old name first)."""
    rank = np.empty(labels.max() + 1, np.int64)
    rank[np.argsort(-np.bincount(labels), kind="stable")] = np.arange(len(rank))
    return rank[labels]


def _weighted_means(
    x: NodeArray, weights: NDArray[Any], labels: NDArray[Any], num_clusters: int
) -> NDArray[Any]:
    """centroid_k = sum_{v in k} omega_v x_v / sum_{v in k} omega_v, float64 [K, W] (Eq. 9)."""
    totals = np.bincount(labels, weights, minlength=num_clusters)
    shares = weights / totals[labels]
    nodes = np.arange(len(labels))
    means = sparse.csr_matrix((shares, (labels, nodes)), shape=(num_clusters, len(labels))) @ x
    return means if isinstance(means, np.ndarray) else means.toarray()
