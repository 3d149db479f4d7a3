"""Where a node stands in the graph that its features come from."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from input_pipeline.feature import NODES, Feature
from input_pipeline.features.provider import Cut, LogFacts, Provider
from input_pipeline.graph.node_table import DenseColumn, NodeTable


class GraphNode(Provider):
    """`user_graph_node` and `item_graph_node`: i of row or column i - 1 of the merging matrix.

    0 of nodes that the graph does not know. An embedding row cannot stand for it: nodes that came
    after t_{n-1} are in the later graphs and have no row of their own, nor have rare ones.
    """

    def describe(self, facts: LogFacts) -> tuple[Feature, ...]:
        return tuple(
            Feature(
                f"{owner}_graph_node", owner, "graph_node", "int64", missing=0, bounds=(0, None)
            )
            for owner in NODES
        )

    def columns(self, cut: Cut) -> Mapping[str, NodeTable]:
        return {
            owner: {
                f"{owner}_graph_node": DenseColumn(
                    np.arange(1, cut.known(owner) + 1, dtype=np.int32)
                )
            }
            for owner in NODES
        }
