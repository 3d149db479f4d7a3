"""Side features: facts about a user or an item that the log tells with every event."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from input_pipeline.feature import NODES, UNKNOWN_INT64, Feature
from input_pipeline.features.provider import Cut, LogFacts, Provider
from input_pipeline.graph.node_table import DenseColumn, NodeTable
from input_pipeline.log.interactions import Past


class SideFeatures(Provider):
    """The value of the node's latest event before the cut; of new nodes, that of their first."""

    def describe(self, facts: LogFacts) -> tuple[Feature, ...]:
        return tuple(
            Feature(
                vocabulary.name,
                vocabulary.owner,
                "side",
                vocabulary.dtype,
                vocabulary=vocabulary.name,
                missing=UNKNOWN_INT64 if vocabulary.dtype == "int64" else "",
            )
            for vocabulary in facts.vocabularies.values()
            if vocabulary.name not in {f"{owner}_id" for owner in NODES}
        )

    def columns(self, cut: Cut) -> Mapping[str, NodeTable]:
        return {owner: _tables(cut.past.features(owner)) for owner in NODES}

    def next_window(self, past: Past) -> Mapping[str, NodeTable]:
        return {owner: _tables(past.next_window_features(owner)) for owner in NODES}


def _tables(rows_by_name: Mapping[str, np.ndarray]) -> NodeTable:
    return {name: DenseColumn(rows, -1) for name, rows in rows_by_name.items()}
