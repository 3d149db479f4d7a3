"""Side features: facts about a user or an item that the log tells with every event."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from input_pipeline.feature import NODES, UNKNOWN_INT64, Feature, Transform
from input_pipeline.features.provider import Cut, LogFacts, Provider
from input_pipeline.graph.node_table import NodeTable
from input_pipeline.log.interactions import Past


class SideFeatures(Provider):
    """What the node's latest event before the cut tells; of new nodes, their first event.

    Ids, lists of ids and numbers alike.
    """

    def describe(self, facts: LogFacts) -> tuple[Feature, ...]:
        return tuple(feature for owner in NODES for feature in told_features(facts, owner))

    def columns(self, cut: Cut) -> Mapping[str, NodeTable]:
        return {owner: cut.past.told(owner) for owner in NODES}

    def next_window(self, past: Past, nodes: Mapping[str, NDArray[Any]]) -> Mapping[str, NodeTable]:
        return {owner: past.told_by_next_window(owner, nodes[owner]) for owner in NODES}


def told_features(facts: LogFacts, owner: str) -> tuple[Feature, ...]:
    """The features that the log's own columns tell of users, of items or of rows."""
    features = []
    for vocabulary in facts.vocabularies.values():
        if vocabulary.owner != owner or vocabulary.name in {f"{node}_id" for node in NODES}:
            continue
        length = facts.list_lengths.get(vocabulary.name)
        features.append(
            Feature(
                vocabulary.name,
                owner,
                "side",
                vocabulary.dtype,
                length,
                ragged=length is not None,
                vocabulary=vocabulary.name,
                missing=UNKNOWN_INT64 if vocabulary.dtype == "int64" else "",
            )
        )
    features += [
        Feature(
            name,
            owner,
            "numeric",
            "float",
            missing="nan",
            optional=True,
            transform=Transform(transform),
        )
        for name, (owner_of_number, transform) in facts.numbers.items()
        if owner_of_number == owner
    ]
    return tuple(features)
