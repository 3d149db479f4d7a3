"""Preference-based grouping on Spark (Eq. 8 and 9): weighted k-means with broadcast centers.

Seedings and swaps look at a sample, as on one machine; an iteration over all nodes gives K x r
sums a block of nodes, which the driver adds up in the order of the blocks.

Axes: V nodes of a block, K clusters, r dimensions.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
from absl import logging
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from input_pipeline.engines.spark.array_file import ArrayFile
from input_pipeline.engines.spark.cut_pairs import SideTask
from input_pipeline.engines.spark.order_statistics import quantiles
from input_pipeline.engines.spark.plan import OTHER, Plan, Shared, add_shared, write_sums
from input_pipeline.engines.spark.products import Slab, times_file
from input_pipeline.engines.spark.spectral import singular_values
from input_pipeline.engines.spark.workspace import Workspace, slabs
from input_pipeline.files import filesystem
from input_pipeline.graph.kmeans import find_centers
from input_pipeline.graph.macro_nodes import GroupingOptions, node_activity
from input_pipeline.graph.node_rows import DenseRows
from input_pipeline.graph.unit_rows import squared_lengths, unit
from input_pipeline.log.keyed_random import keyed_uniform

_SAMPLE_NUMBERS = 5_000_000
_MAX_ITERATIONS = 1_000


@dataclasses.dataclass(frozen=True)
class GroupedSide:
    """What `graph.json` tells of a grouping."""

    baseline: float | None
    theta_high: float
    theta_low: float
    inertia: float


@dataclasses.dataclass(frozen=True)
class _Nodes:
    """The nodes of a side with what they are grouped by.

    Attributes:
      places: path of A, float32 [V, r].
      ratios: of the dimensions, [r].
      activity, degrees: paths, [V].
      weights: omega of inactive, middling and active nodes, and the limits between them.
    """

    places: str
    ratios: NDArray[Any]
    activity: str
    degrees: str
    omega: tuple[float, float, float]
    theta: tuple[float, float]

    def read(self, slab: tuple[int, int]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Numbers of the nodes with an interaction, their x [V, r] and omega [V]."""
        nodes = np.flatnonzero(ArrayFile(self.degrees).read(*slab) > 0)
        x = unit(ArrayFile(self.places).read(*slab)[nodes] * self.ratios)
        activity = ArrayFile(self.activity).read(*slab)[nodes]
        low, middle, high = self.omega
        weights = np.full(len(nodes), middle)
        weights[activity < self.theta[0]] = low
        weights[activity > self.theta[1]] = high
        assert isinstance(x, np.ndarray)
        return nodes + slab[0], x, weights


def group_side(
    plan: Plan,
    owner: str,
    tasks: list[SideTask],
    mean: float,
    options: GroupingOptions,
    work: Workspace,
) -> GroupedSide:
    """Groups the nodes of one owner; writes `graph/<owner>_centroids.npy` and `macro/<owner>.npy`.

    Args:
      plan: where everything is.
      owner: whose nodes.
      tasks: the parts of its pairs.
      mean: of the entries of S.
      options: how.
      work: where.
    """
    size = plan.known_at(owner, 1)
    activity = work.path("activity", f"{owner}.npy")
    ArrayFile.create(activity, (size,), np.float64)
    baseline = None
    if options.activity == "copreference":
        totals = plan.path("sums", f"{OTHER[owner]}.npy")
        add_shared(activity, work.run(functools.partial(_copreference, totals, activity), tasks))
    else:
        baseline = mean if options.baseline is None else options.baseline
        add_shared(activity, work.run(functools.partial(sum_scores, baseline, activity), tasks))
    degrees = plan.path("degrees", f"{owner}.npy")
    count = sum(int((block > 0).sum()) for _, block in ArrayFile(degrees).blocks())
    high, low = quantiles(activity, degrees, count, (0.8, 0.2), work)
    high = high if options.theta_high is None else options.theta_high
    low = low if options.theta_low is None else options.theta_low
    omega = (options.omega_low, 1.0, options.omega_high) if options.preference else (1.0,) * 3
    values = singular_values(plan)
    nodes = _Nodes(
        places=plan.path("projection", f"{owner}.npy"),
        ratios=(values / values[0]) ** plan.options.grouping_power,
        activity=activity,
        degrees=degrees,
        omega=omega,
        theta=(low, high),
    )
    if count < options.num_macro_nodes:
        logging.warning(
            "--num_%s_macro_nodes: only %d %ss have an interaction in history, so the rest of the "
            "%d macro nodes stay empty", owner, count, owner, options.num_macro_nodes,
        )  # fmt: skip
    centers = _seeded(nodes, size, count, options, work)
    inertia = _iterate(plan, owner, nodes, centers, size, options.num_macro_nodes, work)
    return GroupedSide(baseline, high, low, inertia)


def sum_scores(baseline: float, path: str, task: SideTask) -> Shared:
    """Writes the sum of each node's scores above a baseline."""
    slab = Slab.load(task.slab)
    found = node_activity(slab.matrix, baseline)
    return write_sums(task.plan, task.owner, task.part, slab.first, found, path)


def _copreference(totals: str, path: str, task: SideTask) -> Shared:
    slab = Slab.load(task.slab)
    file = ArrayFile(totals)
    found = times_file(slab.matrix, file, 1, lambda band: band[:, np.newaxis])[:, 0]
    found -= squared_lengths(slab.matrix)
    return write_sums(task.plan, task.owner, task.part, slab.first, found, path)


def _seeded(
    nodes: _Nodes, size: int, count: int, options: GroupingOptions, work: Workspace
) -> NDArray[Any]:
    """Centers [r, K] by seedings and swaps on a sample of the nodes."""
    most = _SAMPLE_NUMBERS // len(nodes.ratios)
    share = min(1.0, 0.9 * most / count)
    sample = functools.partial(_sample, nodes, options.seed, share)
    parts = work.run(sample, slabs(size, work.part_rows))
    x, weights = (np.concatenate([part[n] for part in parts]) for n in (0, 1))
    found = find_centers(
        DenseRows(x),
        weights,
        min(options.num_macro_nodes, len(x)),
        restarts=options.restarts,
        random=np.random.default_rng(list(options.seed)),
    )
    return found


def _sample(
    nodes: _Nodes, seed: tuple[int, ...], share: float, slab: tuple[int, int]
) -> tuple[NDArray[Any], NDArray[Any]]:
    found, x, weights = nodes.read(slab)
    kept = keyed_uniform(*seed, found) < share if share < 1 else np.ones(len(found), bool)
    return x[kept], weights[kept]


@dataclasses.dataclass(frozen=True)
class _Sums:
    """What a block says of given centers.

    Attributes:
      totals: of weights, [K].
      sums: of weighted x, [K, r].
      sizes: how many nodes, [K].
      cost: sum of weighted squared distances.
      length: sum of weighted squared lengths.
      worst: the most costly nodes' costs [K] and x [K, r].
    """

    totals: NDArray[Any]
    sums: NDArray[Any]
    sizes: NDArray[Any]
    cost: float
    length: float
    worst: tuple[NDArray[Any], NDArray[Any]]


def _nearest(x: NDArray[Any], centers: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    distances = np.einsum("rk,rk->k", centers, centers) - 2 * (x @ centers)
    labels = distances.argmin(axis=1)
    return labels, distances[np.arange(len(x)), labels]


@threadpool_limits.wrap(limits=1, user_api="blas")
def _assign(nodes: _Nodes, centers: NDArray[Any], slab: tuple[int, int]) -> _Sums:
    _, x, weights = nodes.read(slab)
    num_clusters = centers.shape[1]
    labels, nearest = _nearest(x, centers)
    lengths = squared_lengths(x)
    costs = weights * np.maximum(nearest + lengths, 0)
    sums = np.zeros((num_clusters, x.shape[1]))
    for cluster in range(num_clusters):
        chosen = labels == cluster
        sums[cluster] = weights[chosen] @ x[chosen]
    worst = np.argsort(-costs, kind="stable")[:num_clusters]
    return _Sums(
        np.bincount(labels, weights, minlength=num_clusters),
        sums,
        np.bincount(labels, minlength=num_clusters),
        float(costs.sum()),
        float(weights @ lengths),
        (costs[worst], x[worst]),
    )


def _iterate(
    plan: Plan,
    owner: str,
    nodes: _Nodes,
    centers: NDArray[Any],
    size: int,
    num_macro_nodes: int,
    work: Workspace,
) -> float:
    """Lloyd's iterations over all nodes; writes macro nodes and centroids, and returns inertia."""
    best, cost = centers, np.inf
    blocks = slabs(size, work.part_rows)
    for _ in range(_MAX_ITERATIONS):
        found = work.run(functools.partial(_assign, nodes, centers), blocks)
        now = sum(part.cost for part in found)
        if not now < cost:
            break
        best, cost = centers, now
        kept = found
        totals = np.sum([part.totals for part in found], axis=0)
        sums = np.sum([part.sums for part in found], axis=0)
        centers = (sums / np.where(totals > 0, totals, 1)[:, np.newaxis]).T
        empty = np.flatnonzero(totals == 0)
        if len(empty):  # of no nodes: the worst served ones
            costs, x = (np.concatenate([part.worst[n] for part in found]) for n in (0, 1))
            worst = np.argsort(-costs, kind="stable")[: len(empty)]
            centers[:, empty[: len(worst)]] = x[worst].T
    totals, sums = (np.sum([getattr(p, n) for p in kept], axis=0) for n in ("totals", "sums"))
    sizes = np.sum([part.sizes for part in kept], axis=0)
    # The largest is macro node 0; of equally large ones the lower cluster comes first.
    order = np.argsort(-sizes, kind="stable")
    name = np.empty(len(order), np.int32)
    name[order] = np.arange(len(order))
    centroids = np.zeros((num_macro_nodes, len(nodes.ratios)))
    means = sums / np.where(totals > 0, totals, 1)[:, np.newaxis]
    centroids[: len(order)] = means[order]
    inertia = sum(part.length for part in kept) - float(totals @ squared_lengths(means))
    macro = work.path("macro", f"{owner}.npy")
    file = ArrayFile.create(macro, (size,), np.int32)
    for start, stop in blocks:
        file.write(start, np.full(stop - start, -1, np.int32))
    work.run(functools.partial(_label, nodes, best, name, macro), blocks)
    filesystem.save_array(f"{plan.data_dir}/graph/{owner}_centroids.npy", centroids)
    return max(0.0, inertia)


@threadpool_limits.wrap(limits=1, user_api="blas")
def _label(
    nodes: _Nodes, centers: NDArray[Any], name: NDArray[Any], path: str, slab: tuple[int, int]
) -> None:
    found, x, _ = nodes.read(slab)
    macro = np.full(slab[1] - slab[0], -1, np.int32)
    macro[found - slab[0]] = name[_nearest(x, centers)[0]]
    ArrayFile(path).write(slab[0], macro)
