"""Weighted k-means of sparse rows, in one thread: equal input gives equal labels, all of them.

Axes: V rows, W columns, K clusters.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy import sparse

# After so many iterations a seeding or a swap has shown what it is worth, within some 0.1 %.
_TRIAL_ITERATIONS = 10
# Iterations end by themselves; this only bounds a pathological case.
_MAX_ITERATIONS = 1_000
# Swaps tried after the restarts: more of them where the rows have few entries.
_MIN_SWAPS, _MAX_SWAPS, _SWAPPED_ENTRIES = 10, 200, 2_000_000
# Clusters that leave less than this share of the rows' squared lengths are exact but for rounding.
_EXACT = 1e-12


@dataclasses.dataclass(frozen=True)
class _Clusters:
    """Labels int64 [V], centers [W, K], and the weighted squared distances between them [V]."""

    labels: np.ndarray
    centers: np.ndarray
    costs: np.ndarray

    @property
    def inertia(self) -> float:
        return float(self.costs.sum())


def kmeans(
    x: sparse.csr_matrix,
    weights: np.ndarray,
    num_clusters: int,
    *,
    restarts: int,
    random: np.random.Generator,
) -> np.ndarray:
    """Labels that minimize sum_v weight_v ||x_v - center||^2, the centers being weighted means.

    Lloyd's iterations from the best of several k-means++ seedings, then random swaps (Fränti,
    2018): a cluster moves to a badly served row, which stays where that helps. Restarts alone can
    all end in poor optima where there are few rows; then swaps are also cheap.

    Args:
      x: CSR [V, W].
      weights: [V], above 0.
      num_clusters: K, at most V.
      restarts: how many seedings are tried.
      random: the source of draws.

    Returns:
      int64 [V]. Where there are fewer distinct rows than clusters some clusters stay empty.
    """
    if not 1 <= num_clusters <= x.shape[0]:
        raise ValueError(
            f"num_clusters: must be from 1 to the number of rows, {x.shape[0]}, got {num_clusters}"
        )
    # Single precision is good enough to find the way, and twice as fast.
    points = _Points(x.astype(np.float32), weights)
    seeded = (
        points.iterate(points.seeds(num_clusters, random), _TRIAL_ITERATIONS)
        for _ in range(restarts)
    )
    best = min(seeded, key=lambda clusters: clusters.inertia)
    best = points.iterate(best.centers, _MAX_ITERATIONS)
    swaps = min(_MAX_SWAPS, max(_MIN_SWAPS, _SWAPPED_ENTRIES // max(1, x.nnz)))
    for _ in range(swaps):
        if best.inertia <= _EXACT * float((weights * points.lengths).sum()):
            break
        centers = best.centers.copy()
        row = random.choice(len(best.costs), p=best.costs / best.costs.sum())
        centers[:, random.integers(num_clusters)] = points.dense([row])[:, 0]
        swapped = points.iterate(centers, _TRIAL_ITERATIONS)
        if swapped.inertia < best.inertia:
            best = swapped
    return _Points(x, weights).iterate(best.centers, _MAX_ITERATIONS).labels


class _Points:
    """The weighted rows, and what is computed of them once."""

    def __init__(self, x: sparse.csr_matrix, weights: np.ndarray):
        self.x = x
        self.weights = weights
        # [V]: ||x_v||^2
        self.lengths = np.asarray(x.multiply(x).sum(axis=1), np.float64).ravel()
        self._counts = np.diff(x.indptr)
        self._weighted_entries = x.data * np.repeat(weights, self._counts)

    def dense(self, rows: list[int] | np.ndarray) -> np.ndarray:
        """Some of the rows as columns, [W, rows]."""
        return np.ascontiguousarray(self.x[rows].toarray().T)

    def seeds(self, num_clusters: int, random: np.random.Generator) -> np.ndarray:
        """Centers [W, K] by greedy k-means++ (Arthur and Vassilvitskii, 2007)."""
        trials = 2 + int(np.log(num_clusters))
        chosen = random.choice(len(self.weights), p=self.weights / self.weights.sum(), size=1)
        costs = self._costs_of(chosen)[:, 0]
        while len(chosen) < num_clusters:
            # Costs that are all 0 leave nothing to choose from: then any row will do.
            cumulated = np.cumsum(costs) if costs.any() else np.cumsum(self.weights)
            draws = np.searchsorted(cumulated, random.random(trials) * cumulated[-1], side="right")
            candidates = np.minimum(draws, len(costs) - 1)
            # [V, trials]
            lowered = np.minimum(costs[:, np.newaxis], self._costs_of(candidates))
            best = lowered.sum(axis=0).argmin()
            chosen, costs = np.append(chosen, candidates[best]), lowered[:, best]
        return self.dense(chosen)

    def iterate(self, centers: np.ndarray, limit: int) -> _Clusters:
        """Lloyd's iterations until nothing changes, at most `limit` of them."""
        found = self._assign(centers)
        for _ in range(limit - 1):
            improved = self._assign(self._means(found))
            if not improved.inertia < found.inertia:
                break
            found = improved
        return found

    def _assign(self, centers: np.ndarray) -> _Clusters:
        """The nearest center of each row; ties go to the lowest."""
        # [V, K]: ||x - c||^2 without ||x||^2. The clusters' axis runs fastest, so that an entry of
        # x meets its K numbers side by side.
        distances = self.x @ centers.astype(self.x.dtype)
        distances *= -2
        distances += np.einsum("wk,wk->k", centers, centers)
        labels = distances.argmin(axis=1)
        nearest = np.take_along_axis(distances, labels[:, np.newaxis], axis=1)[:, 0]
        return _Clusters(labels, centers, self.weights * np.maximum(nearest + self.lengths, 0))

    def _means(self, clusters: _Clusters) -> np.ndarray:
        """Weighted means of the rows of each label, [W, K]; of no rows: the worst served row."""
        width, num_clusters = clusters.centers.shape
        cells = self.x.indices.astype(np.int64) * num_clusters
        cells += np.repeat(clusters.labels, self._counts)
        sums = np.bincount(cells, self._weighted_entries, minlength=width * num_clusters)
        totals = np.bincount(clusters.labels, self.weights, minlength=num_clusters)
        means = sums.reshape(width, num_clusters) / np.where(totals > 0, totals, 1)
        empty = np.flatnonzero(totals == 0)
        if len(empty):
            worst = np.argsort(-clusters.costs, kind="stable")[: len(empty)]
            means[:, empty] = self.dense(worst)
        return means

    def _costs_of(self, rows: np.ndarray) -> np.ndarray:
        """Weighted squared distances of all rows to some of them, [V, rows]."""
        distances = self.x @ self.dense(rows)
        distances *= -2
        distances += self.lengths[:, np.newaxis] + self.lengths[rows]
        return np.maximum(distances, 0) * self.weights[:, np.newaxis]
