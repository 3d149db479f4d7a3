"""What the macro graph says of a node: its macro node, its edges, the macro task lookup table."""

from __future__ import annotations

from collections.abc import Mapping

from input_pipeline.feature import NODES, Feature
from input_pipeline.features.provider import Cut, LogFacts, Provider, other
from input_pipeline.graph.macro_edges import macro_edges, one_hot
from input_pipeline.graph.node_table import DenseColumn, NodeTable
from input_pipeline.graph.task_table import task_table


class MacroIds(Provider):
    """`user_macro` and `item_macro`; -1 for cold nodes."""

    def describe(self, facts: LogFacts) -> tuple[Feature, ...]:
        return tuple(
            Feature(
                f"{owner}_macro",
                owner,
                "macro_id",
                "int64",
                macro_nodes=owner,
                missing=-1,
                bounds=(-1, facts.num_macro_nodes[owner] - 1),
            )
            for owner in NODES
        )

    def columns(self, cut: Cut) -> Mapping[str, NodeTable]:
        return {owner: {f"{owner}_macro": DenseColumn(cut.macro[owner], -1)} for owner in NODES}


class MacroEdges(Provider):
    """Edge weights to the macro nodes one and two hops away (Eq. 10); 0 for unknown nodes."""

    def describe(self, facts: LogFacts) -> tuple[Feature, ...]:
        return tuple(
            Feature(
                f"{owner}_{hops}hop",
                owner,
                "macro_edges",
                "float",
                facts.num_macro_nodes[nodes],
                macro_nodes=nodes,
                missing=0.0,
                bounds=(0.0, None),
            )
            for owner in NODES
            for hops, nodes in ((1, other(owner)), (2, owner))
        )

    def columns(self, cut: Cut) -> Mapping[str, NodeTable]:
        one_hots = [one_hot(cut.macro[o], cut.facts.num_macro_nodes[o]) for o in NODES]
        edges = macro_edges(cut.matrix, *one_hots)
        return {
            owner: {
                f"{owner}_{hops}hop": DenseColumn(of_hop) for hops, of_hop in enumerate(both, 1)
            }
            for owner, both in zip(NODES, edges, strict=True)
        }


class TaskTable(Provider):
    """`task_table`: on how many items of each macro node a user did each task (for Eq. 22)."""

    def describe(self, facts: LogFacts) -> tuple[Feature, ...]:
        length = len(facts.tasks) * facts.num_macro_nodes["item"]
        return (
            Feature(
                "task_table",
                "user",
                "task_table",
                "float",
                length,
                macro_nodes="item",
                missing=0.0,
                bounds=(0.0, None),
            ),
        )

    def columns(self, cut: Cut) -> Mapping[str, NodeTable]:
        table = task_table(
            cut.pairs,
            cut.macro["item"],
            cut.known("user"),
            len(cut.facts.tasks),
            cut.facts.num_macro_nodes["item"],
        )
        return {"user": {"task_table": DenseColumn(table)}}
