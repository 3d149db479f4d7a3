"""Context features: facts of the row itself that are known when its request comes."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from input_pipeline.feature import Feature
from input_pipeline.features.provider import LogFacts, Provider
from input_pipeline.features.side_features import told_features
from input_pipeline.graph.node_table import NodeTable
from input_pipeline.log.interactions import Interactions


class ContextFeatures(Provider):
    """What the event tells that a row stands for (`Rows.event`): hour, device, position, tab."""

    def describe(self, facts: LogFacts) -> tuple[Feature, ...]:
        return told_features(facts, "context")

    def of_events(self, log: Interactions, events: NDArray[Any]) -> NodeTable:
        return {name: column.at(events) for name, column in log.features["context"].items()}
