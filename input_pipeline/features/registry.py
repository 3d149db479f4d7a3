"""The providers of features, in the order in which a row holds what they add."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from input_pipeline.feature import NODES, Feature, Vocabulary
from input_pipeline.features.activity import Activity
from input_pipeline.features.context_features import ContextFeatures
from input_pipeline.features.graph_cut import GraphCut
from input_pipeline.features.graph_node import GraphNode
from input_pipeline.features.ids import Ids, Outcomes
from input_pipeline.features.macro_features import MacroEdges, MacroIds, TaskTable
from input_pipeline.features.micro_neighbors import MicroNeighbors
from input_pipeline.features.provider import Cut, LogFacts, Provider
from input_pipeline.features.side_features import SideFeatures
from input_pipeline.graph.node_table import Column, DenseColumn, ListColumn, NodeTable, take
from input_pipeline.log.interactions import Interactions, Past

PROVIDERS: tuple[Provider, ...] = (
    Ids(),
    SideFeatures(),
    ContextFeatures(),
    Activity(),
    MacroEdges(),
    MacroIds(),
    TaskTable(),
    MicroNeighbors(),
    GraphCut(),
    GraphNode(),
    Outcomes(),
)


def describe_features(facts: LogFacts) -> tuple[Feature, ...]:
    """The features that all providers add to a row."""
    return tuple(feature for provider in PROVIDERS for feature in provider.describe(facts))


def other_features(tasks: tuple[str, ...], activity: bool) -> tuple[str, ...]:
    """Names of the features of a row that the log's own columns do not tell."""
    ids = tuple(Vocabulary(f"{o}_id", "int64", o, 0, (), 0, "") for o in NODES)
    facts = LogFacts(
        tasks=tasks,
        vocabularies={vocabulary.name: vocabulary for vocabulary in ids},
        num_macro_nodes=dict.fromkeys(NODES, 1),
        max_neighbors=1,
        has_clock=True,
        activity=activity,
    )
    return tuple(feature.name for feature in describe_features(facts))


def value_names(feature: Feature, tasks: tuple[str, ...]) -> tuple[str, ...]:
    """What to call each number of a feature: its name, and in brackets which one of several."""
    if feature.length is None:
        return (feature.name,)
    told = next(filter(None, (p.entry_names(feature, tasks) for p in PROVIDERS)), None)
    entries = told or tuple(map(str, range(feature.length)))
    return tuple(f"{feature.name}[{entry}]" for entry in entries)


def tables_at(cut: Cut) -> dict[str, NodeTable]:
    """By owner, the tables of all nodes known at a cut."""
    return _merged(provider.columns(cut) for provider in PROVIDERS)


def empty_tables(features: Sequence[Feature]) -> dict[str, NodeTable]:
    """By owner, the tables of these features before the first event: without nodes."""
    tables: dict[str, NodeTable] = {owner: {} for owner in NODES}
    for feature in features:
        if feature.owner not in NODES or feature.role == "id" or feature.aligned_with:
            continue
        tables[feature.owner][feature.column] = _empty_column(feature, features)
    return tables


def _empty_column(feature: Feature, features: Sequence[Feature]) -> Column:
    if feature.ragged:
        aligned = {"weights" for f in features if f.aligned_with == feature.name}
        dtypes = {"rows": np.int32} | dict.fromkeys(aligned, np.float32)
        arrays = {name: np.zeros(0, dtype) for name, dtype in dtypes.items()}
        return ListColumn(np.zeros(1, np.int64), arrays)
    of_float = feature.dtype == "float"
    values = np.zeros((0, *feature.shape), np.float32 if of_float else np.int32)
    missing = -1 if feature.vocabulary else feature.filler
    assert not isinstance(missing, bytes)
    return DenseColumn(values, missing)


def tables_for_window(
    at_cut: Mapping[str, NodeTable], past: Past, nodes: Mapping[str, NDArray[Any]]
) -> dict[str, NodeTable]:
    """By owner, the tables of some nodes as the rows of the window after the past see them.

    Args:
      at_cut: tables of all nodes at the cut before the window.
      past: up to that cut.
      nodes: by owner, ascending vocabulary rows.
    """
    brought = _merged(provider.next_window(past, nodes) for provider in PROVIDERS)
    return {
        owner: take(
            {n: c for n, c in at_cut[owner].items() if n not in brought[owner]}, nodes[owner]
        )
        | brought[owner]
        for owner in NODES
    }


def table_of_events(log: Interactions, events: NDArray[Any]) -> NodeTable:
    """The context of rows, entry by entry of the events that tell them, [E]."""
    table: NodeTable = {}
    for provider in PROVIDERS:
        table |= provider.of_events(log, events)
    return table


def _merged(parts: Iterable[Mapping[str, NodeTable]]) -> dict[str, NodeTable]:
    merged: dict[str, NodeTable] = {owner: {} for owner in NODES}
    for part in parts:
        for owner, table in part.items():
            merged[owner] |= table
    return merged
