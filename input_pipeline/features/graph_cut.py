"""Which graph a node's features come from: what models that walk the whole graph go by."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from input_pipeline.feature import NODES, Feature
from input_pipeline.features.provider import Cut, LogFacts, Provider
from input_pipeline.graph.node_table import DenseColumn, NodeTable


class GraphCut(Provider):
    """`user_graph_cut` and `item_graph_cut`, the number of the cut whose graph knows the node.

    k of `graph/<k>`, n + 1 of `graph/latest`; 0 of a node that the row's graph does not know, and
    of all nodes in history, which reads no graph.
    """

    def describe(self, facts: LogFacts) -> tuple[Feature, ...]:
        return tuple(
            Feature(f"{owner}_graph_cut", owner, "graph_cut", "int64", missing=0, bounds=(0, None))
            for owner in NODES
        )

    def columns(self, cut: Cut) -> Mapping[str, NodeTable]:
        number = cut.past.num_windows
        return {
            owner: {f"{owner}_graph_cut": DenseColumn(np.full(cut.known(owner), number, np.int32))}
            for owner in NODES
        }
