"""Macro nodes by preference-based grouping (Eq. 8 and 9): weighted k-means on the rows of E."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from absl import logging
from scipy import sparse
from sklearn.random_projection import SparseRandomProjection

from input_pipeline.graph.kmeans import kmeans


@dataclasses.dataclass(frozen=True)
class GroupingOptions:
    """How one side's nodes are grouped; see the flags of the same names.

    Attributes:
      baseline: b, one number for both sides; None: the mean of the non-zero entries of E.
      theta_high, theta_low: None: the 0.8 and 0.2 quantiles of the activities.
    """

    num_macro_nodes: int
    preference: bool = True
    baseline: float | None = None
    omega_high: float = 2.0
    omega_low: float = 0.5
    theta_high: float | None = None
    theta_low: float | None = None
    normalize_rows: bool = True
    restarts: int = 5
    projection_columns: int = 1_000_000
    projection_dim: int = 512
    seed: tuple[int, ...] = (0,)


@dataclasses.dataclass(frozen=True)
class Grouping:
    """The macro nodes of one side, fixed on history.

    Attributes:
      macro: int32 [V], the macro node of each node; -1 for a node without an interaction.
      centroids: [K, W], weighted means of the members' rows; dense, or CSR above the projection
        limit. Zero where a macro node has no members.
      inertia: sum_v omega_v ||x_v - centroid||^2.
      baseline, theta_high, theta_low: as used.
    """

    macro: np.ndarray
    centroids: np.ndarray | sparse.csr_matrix
    inertia: float
    baseline: float
    theta_high: float
    theta_low: float


def grouping_rows(matrix: sparse.csr_matrix, options: GroupingOptions) -> sparse.csr_matrix:
    """x_v of every node, CSR [V, W]: its row of E, or of [E > 0], of unit length if so set."""
    rows = matrix.copy()
    if not options.preference:
        rows.data = np.ones_like(rows.data)
    if options.normalize_rows:
        rows.data /= np.repeat(np.sqrt(_squared_lengths(rows)), np.diff(rows.indptr))
    return rows


def node_activity(matrix: sparse.csr_matrix, baseline: float) -> np.ndarray:
    """a_v = sum_j E_vj [E_vj > b], float64 [V] (Eq. 8)."""
    counted = sparse.csr_matrix(
        (np.where(matrix.data > baseline, matrix.data, 0.0), matrix.indices, matrix.indptr),
        shape=matrix.shape,
    )
    return np.asarray(counted.sum(axis=1)).ravel()


def group_nodes(matrix: sparse.csr_matrix, options: GroupingOptions, side: str) -> Grouping:
    """Groups the nodes that are the rows of `matrix` into macro nodes.

    Args:
      matrix: E at t_1 for users, its transpose for items; [V, W], with at least one entry.
      options: how.
      side: `user` or `item`, for messages.
    """
    baseline = float(matrix.data.mean()) if options.baseline is None else options.baseline
    activity = node_activity(matrix, baseline)
    nodes = np.flatnonzero(np.diff(matrix.indptr))
    theta_high, theta_low = (
        float(np.quantile(activity[nodes], quantile)) if given is None else given
        for given, quantile in ((options.theta_high, 0.8), (options.theta_low, 0.2))
    )
    # omega_v of Eq. 9, [V].
    omega = np.ones(len(activity))
    if options.preference:
        omega[activity < theta_low] = options.omega_low
        omega[activity > theta_high] = options.omega_high
    x, weights = grouping_rows(matrix, options)[nodes], omega[nodes]
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
    inertia = weights @ _squared_lengths(x) - totals @ _squared_lengths(centroids)
    macro = np.full(matrix.shape[0], -1, np.int32)
    macro[nodes] = labels
    return Grouping(
        macro=macro,
        centroids=centroids if x.shape[1] > options.projection_columns else centroids.toarray(),
        inertia=max(0.0, float(inertia)),  # rounding may leave less where it is 0
        baseline=baseline,
        theta_high=theta_high,
        theta_low=theta_low,
    )


def assign_new_nodes(
    macro: np.ndarray, matrix: sparse.csr_matrix, grouping: Grouping, options: GroupingOptions
) -> np.ndarray:
    """Macro nodes at a later cut: assigned nodes stay, others go to the centroid nearest their row.

    Args:
      macro: int32 [V'], the assignment at the cut before, V' <= V.
      matrix: E at this cut for users, its transpose for items, [V, W].
      grouping: of history; its centroids have the first columns of `matrix`.
      options: those of the grouping.

    Returns:
      int32 [V]; -1 where the row restricted to the centroids' columns is empty. Ties go to the
      lowest macro node.
    """
    extended = np.full(matrix.shape[0], -1, np.int32)
    extended[: len(macro)] = macro
    candidates = np.flatnonzero(extended < 0)
    rows = matrix[candidates][:, : grouping.centroids.shape[1]]
    filled = np.diff(rows.indptr) > 0
    x = grouping_rows(rows[filled], options)
    # [V'', K]: ||x - c||^2 without ||x||^2. A macro node without members has no centroid.
    lengths = _squared_lengths(grouping.centroids)
    products = x @ grouping.centroids.T
    products = products.toarray() if sparse.issparse(products) else products
    distance = np.where(lengths > 0, lengths - 2 * products, np.inf)
    extended[candidates[filled]] = distance.argmin(axis=1)
    return extended


def _squared_lengths(rows: Any) -> np.ndarray:
    """||x_v||^2 of each row, float64 [V]."""
    if sparse.issparse(rows):
        return np.asarray(rows.multiply(rows).sum(axis=1)).ravel()
    return np.einsum("vw,vw->v", rows, rows)


def _cluster(x: sparse.csr_matrix, weights: np.ndarray, options: GroupingOptions) -> np.ndarray:
    """Labels of the best weighted k-means found, int [V]."""
    random = np.random.default_rng(list(options.seed))
    if x.shape[1] > options.projection_columns:
        projection = SparseRandomProjection(
            options.projection_dim, random_state=int(random.integers(2**32))
        )
        x = projection.fit_transform(x)
    num_clusters = min(options.num_macro_nodes, x.shape[0])
    return kmeans(x, weights, num_clusters, restarts=options.restarts, random=random)


def _by_size(labels: np.ndarray) -> np.ndarray:
    """Renames the clusters so that the largest is 0 (ties: the lower old name first)."""
    rank = np.empty(labels.max() + 1, np.int64)
    rank[np.argsort(-np.bincount(labels), kind="stable")] = np.arange(len(rank))
    return rank[labels]


def _weighted_means(
    x: sparse.csr_matrix, weights: np.ndarray, labels: np.ndarray, num_clusters: int
) -> sparse.csr_matrix:
    """centroid_k = sum_{v in k} omega_v x_v / sum_{v in k} omega_v, CSR [K, W] (Eq. 9)."""
    totals = np.bincount(labels, weights, minlength=num_clusters)
    shares = weights / totals[labels]
    nodes = np.arange(len(labels))
    return sparse.csr_matrix((shares, (labels, nodes)), shape=(num_clusters, len(labels))) @ x
