"""Builds the graphs of a data set cut by cut, grouping macro nodes once, on history."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from absl import logging
from numpy.typing import NDArray
from scipy import sparse

from input_pipeline.engines.given_groups import GivenGroups
from input_pipeline.engines.grouping_options import grouping_options, spectral_options
from input_pipeline.features.provider import Cut, LogFacts, Since
from input_pipeline.features.registry import empty_tables, tables_at
from input_pipeline.files import filesystem, stored
from input_pipeline.graph.balance import balance
from input_pipeline.graph.macro_matching import centers, matching, renumbered
from input_pipeline.graph.macro_nodes import (
    Grouping,
    assign_new_nodes,
    group_nodes,
    grouping_matrix,
)
from input_pipeline.graph.merging_matrix import Pairs, merging_matrix
from input_pipeline.graph.node_table import NodeTable, save
from input_pipeline.graph.projection import (
    Placement,
    Projection,
    RowPlacement,
)
from input_pipeline.log.interactions import OWNERS, Interactions, Past
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.spec import DatasetSpec


@dataclasses.dataclass(frozen=True)
class _ScoredPairs:
    """The pairs at one cut, E, CSR [U, I], and whether the nodes were grouped by them."""

    past: Past
    pairs: Pairs
    matrix: sparse.csr_matrix
    are_grouped: bool = False


class MergingGraph:
    """The macro task merging graph of one data set, cut by cut in order of time.

    At each cut `pairs`, then `edges`, and `group` between those of the first: a node keeps the
    macro node that it had at an earlier cut.

    Args:
      interactions: the log.
      facts: what its features were described by.
      spec: of the data set.
      preparation: the options.
      data_dir: has a folder `graph`.

    Attributes:
      macro: by owner, int32 [U] and [I], -1 for cold nodes.
      tables: by owner, what a row may know of each node at the latest cut.
    """

    def __init__(
        self,
        interactions: Interactions,
        facts: LogFacts,
        spec: DatasetSpec,
        preparation: PreparationOptions,
        data_dir: str,
    ):
        self._facts = facts
        self._codes = {owner: interactions.ids[owner].codes for owner in OWNERS}
        self._spec = spec
        self._data_dir = data_dir
        self._preparation = preparation
        self._beta = preparation.beta
        self._options = grouping_options(preparation, spec)
        self._spectral = None
        if preparation.grouping == "spectral":
            self._spectral = spectral_options(preparation)
        self._placements: dict[str, Placement] = {}
        self._groupings: dict[str, Grouping] = {}
        self._pairs: _ScoredPairs | None = None
        self._touched: dict[str, NDArray[Any]] | None = None
        self.macro: dict[str, NDArray[Any]] = {owner: np.zeros(0, np.int32) for owner in OWNERS}
        self.tables: dict[str, NodeTable] = empty_tables(spec.features)

    def go_on(
        self,
        groupings: Mapping[str, Grouping],
        placements: Mapping[str, Placement],
        tables: Mapping[str, NodeTable],
        touched: Mapping[str, NDArray[Any]],
    ) -> None:
        """Begins at a cut that an earlier run came to; `pairs` and `edges` are those of the next.

        Args:
          groupings: by owner; `macro` is of all nodes known at that cut.
          placements: by owner, of those that were grouped.
          tables: by owner, of all nodes known at that cut.
          touched: by owner, ascending: the nodes of the events from that cut to the next.
        """
        self._groupings, self._placements = dict(groupings), dict(placements)
        self.macro = {owner: groupings[owner].macro for owner in OWNERS}
        self.tables, self._touched = dict(tables), dict(touched)

    def pairs(self, name: str, past: Past) -> None:
        """Scores the pairs of the past, and writes them to `graph/<name>`."""
        pairs, levels = past.pairs(), [task.level for task in self._spec.tasks]
        matrix = merging_matrix(pairs, levels, self._beta, past.known("user"), past.known("item"))
        self._pairs = _ScoredPairs(past, pairs, matrix)
        folder = filesystem.join(self._data_dir, "graph", name)
        filesystem.make_dirs(folder)
        save_sparse(filesystem.join(folder, "merging_matrix.npz"), matrix)

    def edges(self, name: str) -> None:
        """Writes to `graph/<name>` what is known of each node by the scored pairs."""
        assert self._pairs is not None
        past, matrix = self._pairs.past, self._pairs.matrix
        since = None
        if not self._pairs.are_grouped:
            before = self.macro
            self.macro = self._joined(matrix)
            since = self._since(before)
        cut = Cut(
            self._facts, past, self._pairs.pairs, matrix, dict(self.macro), self._codes, since
        )
        self.tables = tables_at(cut)
        folder = filesystem.join(self._data_dir, "graph", name)
        for table in self.tables.values():
            save(folder, table)
        description = json.dumps(self._describe(matrix.nnz, past.num_windows), indent=2) + "\n"
        filesystem.write_text(filesystem.join(folder, "graph.json"), description)
        self._pairs = None

    def _joined(self, matrix: sparse.csr_matrix) -> dict[str, NDArray[Any]]:
        """By owner, the macro node of each node at the next cut."""
        return {
            owner: assign_new_nodes(
                self.macro[owner], rows, self._groupings[owner].centroids, self._placements[owner]
            )
            for owner, rows in self._sides(matrix).items()
        }

    def _since(self, before: Mapping[str, NDArray[Any]]) -> Since | None:
        """What the next cut's columns may go on from, where it is known what was touched."""
        if self._touched is None:
            return None
        joined = {}
        for owner, macro in self.macro.items():
            known = np.full(len(macro), -1, np.int32)
            known[: len(before[owner])] = before[owner]
            joined[owner] = np.flatnonzero((known < 0) & (macro >= 0))
        since, self._touched = Since(self.tables, self._touched, joined), None
        return since

    def _sides(self, matrix: sparse.csr_matrix) -> dict[str, sparse.csr_matrix]:
        """What the nodes of each side are placed by, in rows."""
        placed_by = grouping_matrix(matrix, self._preparation.preference)
        return {"user": placed_by, "item": placed_by.T.tocsr()}

    def group(self) -> None:
        """Places and groups the nodes of history, and writes what the later cuts are placed by."""
        assert self._pairs is not None
        matrix = self._pairs.matrix
        if not matrix.nnz:
            raise ValueError("--cuts: history has no interactions, so there is nothing to group")
        logging.info("grouping %d users and %d items", *matrix.shape)
        folder, sides = filesystem.join(self._data_dir, "graph"), self._sides(matrix)
        given = None
        if self._preparation.grouping_from:
            given = GivenGroups(self._preparation, self._spec, self._data_dir)
        if self._spectral:
            if given is not None:
                arrays = filesystem.load_arrays(given.path("projection.npz"))
                projection = Projection.of_arrays(arrays, self._spectral.power)
            else:
                projection = Projection.of(sides["user"], self._spectral)
            self._placements = {owner: projection.placement(owner) for owner in OWNERS}
            filesystem.save_arrays(filesystem.join(folder, "projection.npz"), projection.arrays())
        else:
            self._placements = {owner: RowPlacement(rows) for owner, rows in sides.items()}
        for owner, scores in (("user", matrix), ("item", matrix.T.tocsr())):
            if given is not None:
                grouping = _given_grouping(given, owner)
            else:
                grouping = group_nodes(
                    scores, self._placements[owner].positions, self._options[owner], owner
                )
            self._take(owner, grouping)
        self._pairs = dataclasses.replace(self._pairs, are_grouped=True)

    def regroup(self) -> None:
        """Groups all nodes anew by the scored pairs, under the numbers of the macro nodes so far.

        Old and new macro nodes are matched so that the squared distances between them, summed, are
        least; an old one lies where its members do among the new places.
        """
        assert self._pairs is not None
        before = self._joined(self._pairs.matrix)
        self.group()
        for owner, macro in before.items():
            grouping = self._groupings[owner]
            old = centers(self._placements[owner].positions, macro, len(grouping.centroids))
            self._take(owner, renumbered(grouping, matching(old, grouping.centroids)))

    def _take(self, owner: str, grouping: Grouping) -> None:
        path = filesystem.join(self._data_dir, "graph", f"{owner}_centroids.npy")
        filesystem.save_array(path, grouping.centroids)
        self._groupings[owner], self.macro[owner] = grouping, grouping.macro

    def _describe(self, interactions: int, num_windows: int) -> dict[str, Any]:
        """What `graph.json` tells."""
        cut = num_windows if num_windows <= len(self._spec.cuts) else None
        description: dict[str, Any] = {
            "cut": cut,
            "quantile": self._spec.cuts[cut - 1] if cut else None,
            "time": self._spec.cut_times[cut - 1] if cut else None,
            "interactions": interactions,
            "beta": self._beta,
            "task_levels": {task.name: task.level for task in self._spec.tasks},
            "projection": dataclasses.asdict(self._spectral) if self._spectral else None,
        }
        for owner, macro in self.macro.items():
            grouping, grouped_with = self._groupings[owner], self._options[owner]
            sizes = np.bincount(macro[macro >= 0], minlength=grouped_with.num_macro_nodes)
            description[owner] = {
                "nodes": len(macro),
                "cold": int((macro < 0).sum()),
                "macro_node_sizes": sizes.tolist(),
                **dataclasses.asdict(balance(sizes)),
                "parameters": dataclasses.asdict(grouped_with),
                "baseline": grouping.baseline,
                "theta_high": grouping.theta_high,
                "theta_low": grouping.theta_low,
                "weighted_inertia": grouping.inertia,
            }
        return description


def _given_grouping(given: GivenGroups, owner: str) -> Grouping:
    """That of another data set."""
    told = given.description(owner)
    return Grouping(
        macro=stored.load_array(given.path("1", f"{owner}_macro.npy")),
        centroids=filesystem.load_array(given.path(f"{owner}_centroids.npy")),
        inertia=told["weighted_inertia"],
        baseline=told["baseline"],
        theta_high=told["theta_high"],
        theta_low=told["theta_low"],
    )


def save_sparse(path: str, matrix: sparse.csr_matrix) -> None:
    """Writes a sparse matrix so that `scipy.sparse.load_npz` reads it."""
    buffer = io.BytesIO()
    sparse.save_npz(buffer, matrix, compressed=False)
    filesystem.write_bytes(path, buffer.getvalue())
