"""Micro neighbours: the latest items of a user, and the latest users of an item, by each task."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from input_pipeline.feature import NODES, Feature
from input_pipeline.features.provider import Cut, LogFacts, Provider, other
from input_pipeline.graph.merging_matrix import Pairs
from input_pipeline.graph.neighbors import latest_neighbors
from input_pipeline.graph.node_table import Column, ListColumn, NodeTable, updated


class MicroNeighbors(Provider):
    """`<owner>_neighbors_<task>` and `<owner>_neighbor_weights_<task>`; none of unknown nodes."""

    def describe(self, facts: LogFacts) -> tuple[Feature, ...]:
        features = []
        for owner in NODES:
            ids = facts.vocabularies[f"{other(owner)}_id"]
            for task in facts.tasks:
                neighbors = f"{owner}_neighbors_{task}"
                features += [
                    Feature(
                        neighbors,
                        owner,
                        "neighbors",
                        ids.dtype,
                        facts.max_neighbors,
                        ragged=True,
                        vocabulary=ids.name,
                        task=task,
                        missing=0 if ids.dtype == "int64" else "",
                    ),
                    Feature(
                        f"{owner}_neighbor_weights_{task}",
                        owner,
                        "neighbor_weights",
                        "float",
                        facts.max_neighbors,
                        ragged=True,
                        task=task,
                        aligned_with=neighbors,
                        missing=0.0,
                        bounds=(0.0, None),
                    ),
                ]
        return tuple(features)

    def columns(self, cut: Cut) -> Mapping[str, NodeTable]:
        # E stores the pairs with a behaviour in the same order, by user, then item.
        active, weights = cut.pairs.take(cut.pairs.behaviors > 0), cut.matrix.data
        if cut.since is None:
            return {o: _lists(cut, o, active, weights, cut.known(o)) for o in NODES}
        tables = {}
        for owner in NODES:
            # only what a pair of its own changed has changed in a node's lists
            nodes, size = cut.since.touched[owner], cut.known(owner)
            place = np.full(size, -1, np.int32)
            place[nodes] = np.arange(len(nodes), dtype=np.int32)
            here = place[getattr(active, owner)]
            kept = np.flatnonzero(here >= 0)
            pairs = dataclasses.replace(active.take(kept), **{owner: here[kept]})
            found = _lists(cut, owner, pairs, weights[kept], len(nodes))
            tables[owner] = updated(cut.since.tables[owner], nodes, found, size)
        return tables


def _lists(
    cut: Cut, owner: str, pairs: Pairs, weights: NDArray[Any], num_nodes: int
) -> dict[str, Column]:
    """The neighbours of nodes by each task, of their active pairs and the scores of these."""
    columns: dict[str, Column] = {}
    for bit, task in enumerate(cut.facts.tasks):
        did = np.flatnonzero((pairs.behaviors >> np.uint32(bit)) & np.uint32(1))
        found = latest_neighbors(
            getattr(pairs, owner)[did],
            getattr(pairs, other(owner))[did],
            pairs.latest[bit][did],
            weights[did],
            cut.codes[other(owner)],
            num_nodes,
            cut.facts.max_neighbors,
        )
        lists = ListColumn(found.indptr, {"rows": found.rows, "weights": found.weights})
        columns[f"{owner}_neighbors_{task}"] = lists
    return columns
