"""The macro task merging graph of a data set on Spark, cut by cut in order of time."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
from typing import Any

import numpy as np

from input_pipeline.engines.given_groups import GivenGroups
from input_pipeline.engines.grouping_options import grouping_options, spectral_options
from input_pipeline.engines.spark.array_file import ArrayFile
from input_pipeline.engines.spark.clusters import GroupedSide, group_side, sum_scores
from input_pipeline.engines.spark.cut_pairs import CutPairs, score_pairs
from input_pipeline.engines.spark.edge_columns import write_columns
from input_pipeline.engines.spark.graph_report import degrees
from input_pipeline.engines.spark.macro_join import join_nodes
from input_pipeline.engines.spark.plan import Plan, add_shared
from input_pipeline.engines.spark.spectral import decompose
from input_pipeline.engines.spark.workspace import Workspace
from input_pipeline.files import filesystem, stored
from input_pipeline.graph.balance import balance
from input_pipeline.log.interactions import OWNERS
from input_pipeline.report.macro_graph import Degrees


class CutGraph:
    """At each cut `pairs`, then `edges`, and `group` between those of the first.

    Args:
      plan: where everything is.
      work: of the session.

    Attributes:
      degrees: by owner, after `edges` of the latest cut.
    """

    def __init__(self, plan: Plan, work: Workspace):
        self.degrees: dict[str, Degrees] = {}
        self._plan, self._work = plan, work
        self._options = grouping_options(plan.options, plan.spec)
        self._spectral = spectral_options(plan.options)
        self._groups: dict[str, dict[str, Any]] = {}
        self._pairs: CutPairs | None = None

    def pairs(self, cut: int) -> None:
        """Scores the pairs of the past."""
        os.makedirs(self._plan.graph(cut), exist_ok=True)
        self._pairs = score_pairs(self._plan, cut, self._work)

    def group(self) -> None:
        """Places and groups the nodes of history, or takes the groups of another data set."""
        plan, work, pairs = self._plan, self._work, self._pairs
        assert pairs is not None
        if not pairs.interactions:
            raise ValueError("--cuts: history has no interactions, so there is nothing to group")
        if plan.options.grouping_from:
            self._take_groups(GivenGroups(plan.options, plan.spec, plan.data_dir))
            return
        decompose(plan, pairs.tasks, work)
        if plan.options.activity == "copreference":
            for owner in OWNERS:
                path = work.path("sums", f"{owner}.npy")
                ArrayFile.create(path, (plan.known_at(owner, 1),), np.float64)
                sums = functools.partial(sum_scores, -np.inf, path)
                add_shared(path, work.run(sums, pairs.tasks[owner]))
        for owner in OWNERS:
            found: GroupedSide = group_side(
                plan, owner, pairs.tasks[owner], pairs.mean, self._options[owner], work
            )
            told = dataclasses.asdict(found)
            inertia = told.pop("inertia")
            self._groups[owner] = {**told, "weighted_inertia": inertia}

    def _take_groups(self, given: GivenGroups) -> None:
        plan, work = self._plan, self._work
        folder = filesystem.join(plan.data_dir, "graph")
        filesystem.copy(given.path("projection.npz"), os.path.join(folder, "projection.npz"))
        projection = os.path.join(folder, "projection.npz")
        for owner in OWNERS:
            name = f"{owner}_centroids.npy"
            filesystem.copy(given.path(name), os.path.join(folder, name))
            stored.copy(given.path("1", f"{owner}_macro.npy"), work.path("macro", f"{owner}.npy"))
            told = given.description(owner)
            names = ("baseline", "theta_high", "theta_low", "weighted_inertia")
            self._groups[owner] = {key: told[key] for key in names}
            _copy_member(projection, owner, work.path("projection", f"{owner}.npy"))
            if plan.options.grouping_scale != "none":
                degree = ArrayFile(projection, f"{owner}_degree")
                path = work.path("degree", f"{owner}_scale.npy")
                scale = ArrayFile.create(path, degree.shape, np.float64)
                for start, block in degree.blocks():
                    safe = np.where(block > 0, block, 1)
                    scale.write(start, np.where(block > 0, 1 / np.sqrt(safe), 0))

    def edges(self, cut: int) -> None:
        """Writes to `graph/<cut>` what the pairs say of each node."""
        plan, work, pairs = self._plan, self._work, self._pairs
        assert pairs is not None
        if cut > 1:
            for owner in OWNERS:
                join_nodes(plan, cut, owner, pairs.tasks[owner], work)
        write_columns(plan, cut, pairs.tasks, work)
        text = json.dumps(self._describe(cut, pairs.interactions), indent=2) + "\n"
        filesystem.write_text(plan.graph(cut, "graph.json"), text)
        if cut > len(plan.spec.cuts):
            self.degrees = degrees(plan, work)
        work.remove("slabs", "edges", "neighbors", "places", "degrees")
        self._pairs = None

    def _describe(self, number: int, interactions: int) -> dict[str, Any]:
        """What `graph.json` tells."""
        spec = self._plan.spec
        cut = number if number <= len(spec.cuts) else None
        description: dict[str, Any] = {
            "cut": cut,
            "quantile": spec.cuts[cut - 1] if cut else None,
            "time": spec.cut_times[cut - 1] if cut else None,
            "interactions": interactions,
            "beta": self._plan.options.beta,
            "task_levels": {task.name: task.level for task in spec.tasks},
            "projection": dataclasses.asdict(self._spectral),
        }
        for owner in OWNERS:
            file = ArrayFile(self._plan.path("macro", f"{owner}.npy"))
            options = self._options[owner]
            sizes = np.zeros(options.num_macro_nodes + 1, np.int64)
            for _, block in file.blocks():
                sizes += np.bincount(block + 1, minlength=len(sizes))
            description[owner] = {
                "nodes": len(file),
                "cold": int(sizes[0]),
                "macro_node_sizes": sizes[1:].tolist(),
                **dataclasses.asdict(balance(sizes[1:])),
                "parameters": dataclasses.asdict(options),
                **self._groups[owner],
            }
        return description


def _copy_member(archive: str, member: str, target: str) -> None:
    source = ArrayFile(archive, member)
    file = ArrayFile.create(target, source.shape, source.dtype)
    for start, block in source.blocks():
        file.write(start, block)
