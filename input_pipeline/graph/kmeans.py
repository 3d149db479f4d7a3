"""Weighted k-means of rows, in one thread: equal input gives equal labels, all of them.

Axes: V rows, W columns, K clusters.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from input_pipeline.graph.node_rows import NodeRows

# After so many iterations a seeding or a swap has shown what it is worth, within some 0.1 %.
_TRIAL_ITERATIONS = 10
# Iterations end by themselves; this only bounds a pathological case.
_MAX_ITERATIONS = 1_000
# Swaps tried after the restarts: more of them where a sample holds all rows many times over.
_MIN_SWAPS, _MAX_SWAPS = 10, 100
# Clusters that leave less than this share of the rows' squared lengths are exact but for rounding.
_EXACT = 1e-12


@dataclasses.dataclass(frozen=True)
class _Clusters:
    """Labels int64 [V], centers [W, K], and the weighted squared distances between them [V]."""

    labels: NDArray[Any]
    centers: NDArray[Any]
    costs: NDArray[Any]

    @property
    def inertia(self) -> float:
        return float(self.costs.sum())


@threadpool_limits.wrap(limits=1, user_api="blas")
def kmeans(
    x: NodeRows,
    weights: NDArray[Any],
    num_clusters: int,
    *,
    restarts: int,
    random: np.random.Generator,
) -> NDArray[Any]:
    """Labels that minimize sum_v weight_v ||x_v - center||^2, the centers being weighted means.

    Lloyd's iterations from the best of several k-means++ seedings, then random swaps (Fränti,
    2018): a cluster moves to a badly served row, which stays where that helps. Restarts alone can
    all end in poor optima where there are few rows; then swaps are also cheap.

    Args:
      x: V rows. Seedings and swaps look at a sample of them.
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
    whole = _Points(x.single(), weights)
    centers = _search(whole, num_clusters, restarts, random)
    for points in (whole, _Points(x, weights)):
        best = points.iterate(centers, _MAX_ITERATIONS)
    return best.labels


@threadpool_limits.wrap(limits=1, user_api="blas")
def find_centers(
    x: NodeRows,
    weights: NDArray[Any],
    num_clusters: int,
    *,
    restarts: int,
    random: np.random.Generator,
) -> NDArray[Any]:
    """Where `kmeans` begins its last iterations over all rows: centers [W, K].

    Args and errors: as `kmeans` has them.
    """
    if not 1 <= num_clusters <= x.shape[0]:
        raise ValueError(
            f"num_clusters: must be from 1 to the number of rows, {x.shape[0]}, got {num_clusters}"
        )
    return _search(_Points(x.single(), weights), num_clusters, restarts, random)


def _search(
    whole: _Points, num_clusters: int, restarts: int, random: np.random.Generator
) -> NDArray[Any]:
    """Centers [W, K] by seedings and swaps on a sample."""
    x = whole.x
    sample, columns = whole.sample(max(num_clusters, x.sample_rows), random)
    seeded = (
        sample.iterate(sample.seeds(num_clusters, random), _TRIAL_ITERATIONS)
        for _ in range(restarts)
    )
    best = min(seeded, key=lambda clusters: clusters.inertia)
    best = sample.iterate(best.centers, _MAX_ITERATIONS)
    swaps = min(_MAX_SWAPS, max(_MIN_SWAPS, 2 * x.sample_rows // x.shape[0]))
    for _ in range(swaps):
        if best.inertia <= _EXACT * float((sample.weights * sample.x.lengths).sum()):
            break
        centers = best.centers.copy()
        row = random.choice(len(best.costs), p=best.costs / best.costs.sum())
        centers[:, random.integers(num_clusters)] = sample.x.columns_of([row])[:, 0]
        swapped = sample.iterate(centers, _TRIAL_ITERATIONS)
        if swapped.inertia < best.inertia:
            best = swapped
    centers = np.zeros((x.shape[1], num_clusters))
    centers[columns] = best.centers
    return centers


class _Points:
    """The weighted rows."""

    def __init__(self, x: NodeRows, weights: NDArray[Any]):
        self.x = x
        self.weights = weights

    def sample(self, size: int, random: np.random.Generator) -> tuple[_Points, NDArray[Any]]:
        """So many of the rows, without the columns that they leave empty, and those columns.

        All rows and columns where there are no more rows.
        """
        num_rows, width = self.x.shape
        if size >= num_rows:
            return self, np.arange(width)
        rows = np.sort(random.choice(num_rows, size, replace=False))
        x, columns = self.x.sample(rows)
        return _Points(x, self.weights[rows]), columns

    def seeds(self, num_clusters: int, random: np.random.Generator) -> NDArray[Any]:
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
        return self.x.columns_of(chosen)

    def iterate(self, centers: NDArray[Any], limit: int) -> _Clusters:
        """Lloyd's iterations until nothing changes, at most `limit`; `centers` change in place.

        After a few of them few rows change their label: then only their share of the sums, and
        distances to the centers that these move, are computed again.
        """
        num_clusters = centers.shape[1]
        distances = self._distances(centers)
        found = self._nearest(distances, centers)
        sums, moved = np.zeros_like(centers), np.arange(num_clusters)
        self._add(sums, np.arange(len(found.labels)), found.labels)
        for _ in range(limit - 1):
            totals = np.bincount(found.labels, self.weights, minlength=num_clusters)
            these = _columns(moved, num_clusters)
            centers[:, these] = sums[:, these] / np.where(totals > 0, totals, 1)[these]
            empty = np.flatnonzero(totals == 0)
            if len(empty):  # of no rows: the worst served ones
                worst = np.argsort(-found.costs, kind="stable")[: len(empty)]
                centers[:, empty] = self.x.columns_of(worst)
                these = _columns(np.union1d(moved, empty), num_clusters)
            distances[:, these] = self._distances(centers[:, these])
            improved = self._nearest(distances, centers)
            if not improved.inertia < found.inertia:
                break
            changed = np.flatnonzero(improved.labels != found.labels)
            self._add(sums, changed, found.labels, sign=-1)
            self._add(sums, changed, improved.labels)
            moved = np.union1d(found.labels[changed], improved.labels[changed])
            found = improved
        return found

    def _distances(self, centers: NDArray[Any]) -> NDArray[Any]:
        """||x - c||^2 without ||x||^2, [V, K]."""
        distances = self.x.times(centers)
        distances *= -2
        distances += np.einsum("wk,wk->k", centers, centers)
        return distances

    def _nearest(self, distances: NDArray[Any], centers: NDArray[Any]) -> _Clusters:
        """The nearest center of each row; ties go to the lowest."""
        labels = distances.argmin(axis=1)
        nearest = np.take_along_axis(distances, labels[:, np.newaxis], axis=1)[:, 0]
        return _Clusters(labels, centers, self.weights * np.maximum(nearest + self.x.lengths, 0))

    def _add(
        self, sums: NDArray[Any], rows: NDArray[Any], labels: NDArray[Any], sign: int = 1
    ) -> None:
        """Adds weighted rows, or takes them away, to the sums [W, K] of their labels."""
        self.x.add_to(sums, rows, labels[rows], sign * self.weights[rows])

    def _costs_of(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Weighted squared distances of all rows to some of them, [V, rows]."""
        distances = self.x.times(self.x.columns_of(rows))
        distances *= -2
        distances += self.x.lengths[:, np.newaxis] + self.x.lengths[rows]
        return np.maximum(distances, 0) * self.weights[:, np.newaxis]


def _columns(which: NDArray[Any], num_columns: int) -> NDArray[Any] | slice:
    """Some columns of a matrix, distinct; all of them as a slice, which selects without a copy."""
    return which if len(which) < num_columns else slice(None)
