"""Micro neighbours: the latest items of a user, and the latest users of an item, by each task."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from input_pipeline.feature import NODES, Feature
from input_pipeline.features.provider import Cut, LogFacts, Provider, other
from input_pipeline.graph.neighbors import latest_neighbors
from input_pipeline.graph.node_table import ListColumn, NodeTable


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
        active = cut.pairs.behaviors > 0
        behaviors = cut.pairs.behaviors[active]
        ends = {"user": cut.pairs.user[active], "item": cut.pairs.item[active]}
        tables: dict[str, NodeTable] = {owner: {} for owner in NODES}
        for bit, task in enumerate(cut.facts.tasks):
            did = np.flatnonzero((behaviors >> np.uint32(bit)) & np.uint32(1))
            latest, weight = cut.pairs.latest[bit][active][did], cut.matrix.data[did]
            for owner in NODES:
                found = latest_neighbors(
                    ends[owner][did],
                    ends[other(owner)][did],
                    latest,
                    weight,
                    cut.codes[other(owner)],
                    cut.known(owner),
                    cut.facts.max_neighbors,
                )
                lists = ListColumn(found.indptr, {"rows": found.rows, "weights": found.weights})
                tables[owner][f"{owner}_neighbors_{task}"] = lists
        return tables
