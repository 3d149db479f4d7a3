"""What the macro graph says of a node: its macro node, its edges, the macro task lookup table."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from input_pipeline.feature import NODES, Feature
from input_pipeline.features.provider import Cut, LogFacts, Provider, other
from input_pipeline.graph.macro_edges import macro_edges, one_hot
from input_pipeline.graph.merging_matrix import Pairs
from input_pipeline.graph.node_table import DenseColumn, NodeTable, updated
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
        since, num_users = cut.since, cut.known("user")
        if since is None:
            return {"user": {"task_table": DenseColumn(_counts(cut, cut.pairs, num_users))}}
        changed = np.zeros(num_users, bool)
        changed[since.touched["user"]] = True
        # an item that joins a macro node counts for all who have met it
        joined = np.zeros(cut.known("item"), bool)
        joined[since.joined["item"]] = True
        changed[cut.pairs.user[joined[cut.pairs.item]]] = True
        users = np.flatnonzero(changed)
        place = np.cumsum(changed, dtype=np.int32) - np.int32(1)
        pairs = cut.pairs.take(np.flatnonzero(changed[cut.pairs.user]))
        pairs = dataclasses.replace(pairs, user=place[pairs.user])
        found = {"task_table": DenseColumn(_counts(cut, pairs, len(users)))}
        return {"user": updated(since.tables["user"], users, found, num_users)}


def _counts(cut: Cut, pairs: Pairs, num_users: int) -> NDArray[Any]:
    """float32 [U, T, K_I]."""
    num_tasks, num_macro_nodes = len(cut.facts.tasks), cut.facts.num_macro_nodes["item"]
    return task_table(pairs, cut.macro["item"], num_users, num_tasks, num_macro_nodes)
