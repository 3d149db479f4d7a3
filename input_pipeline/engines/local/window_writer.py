"""A window's rows, what they are, and their records."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from input_pipeline.engines.engine import WindowDescription
from input_pipeline.engines.local.merging_graph import MergingGraph
from input_pipeline.engines.local.numeric_statistics import NumericStatistics
from input_pipeline.engines.local.window_nodes import WindowNodes
from input_pipeline.feature import Feature
from input_pipeline.features import registry
from input_pipeline.graph.node_table import DenseColumn, NodeTable
from input_pipeline.log.interactions import OWNERS, Interactions, Past
from input_pipeline.log.rows import Rows, add_negatives, group_pairs
from input_pipeline.log.windows import STREAM_NEGATIVES, STREAM_REQUESTS
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.records.example_encoder import ExampleEncoder, contexts, node_payloads
from input_pipeline.records.request_encoder import RequestEncoder
from input_pipeline.records.wire_format import encode_values
from input_pipeline.report.best_auc import BestAuc
from input_pipeline.report.column_signals import ColumnSignals
from input_pipeline.report.macro_statistics import EdgeStatistics, edge_statistics
from input_pipeline.report.window_statistics import signals, window_statistics
from input_pipeline.spec import DatasetSpec

ENCODERS: dict[str, type[ExampleEncoder] | type[RequestEncoder]] = {
    "example": ExampleEncoder,
    "request": RequestEncoder,
}


@dataclasses.dataclass(frozen=True)
class _Window:
    """The rows of a window and what they read.

    Attributes:
      rows: R of them.
      nodes: their users and items.
      tables: by owner, what the users, the items and the contexts are.
      places: by owner, the entry of each row, [R].
    """

    rows: Rows
    nodes: WindowNodes
    tables: Mapping[str, NodeTable]
    places: Mapping[str, NDArray[Any]]


class WindowWriter:
    """Makes the rows of one window after another.

    Args:
      interactions: the log.
      spec: of the data set.
      preparation: the options.
    """

    def __init__(
        self, interactions: Interactions, spec: DatasetSpec, preparation: PreparationOptions
    ):
        self._interactions = interactions
        self._spec = spec
        self._options = preparation
        self._encoded = {
            name: encode_values(column.values)
            for name, (_, column) in interactions.vocabularies.items()
        }
        self._columns = ColumnSignals(spec)
        self._truth = None
        if spec.source == "synthetic":
            self._truth = BestAuc(interactions, spec, preparation)
        self._window: _Window | None = None

    def rows(
        self, window: int, past: Past, graph: MergingGraph, numbers: NumericStatistics
    ) -> WindowDescription:
        """Makes the rows of a window; the past, which ends before it, takes it in.

        Args:
          window: the next one.
          past: of the window.
          graph: at the cut before it.
          numbers: takes in its events.
        """
        log = self._interactions
        events = log.events.take(log.windows.slice(window))
        nodes = WindowNodes.of(events, graph.tables, past)
        numbers.add(window, nodes)
        macro = self._macro(window, graph)
        touched, events_of_item = past.touched_keys(), past.events_of_item()
        past.add_window()
        rows, missing = self._labelled(window, events, past)
        dropped = len(rows)
        if self._options.drop_cold and window:
            rows = self._warm(window, rows, macro)
            nodes = nodes.of_rows(rows)
        dropped -= len(rows)
        values, edges = {}, None
        if window:
            values = signals(rows, macro, touched, log.num_items, events_of_item)
            touched_before = values["pair touched before"]
            if self._truth:
                self._truth.add(window, rows, touched_before)
            edges = self._edges(window, rows, macro, graph, touched_before)
        statistics = window_statistics(
            log.windows.name(window), rows, self._spec.task_names, values
        )
        tables, places = dict(nodes.tables), nodes.places(rows)
        if self._spec.select("context"):
            told, places["context"] = contexts(rows)
            tables["context"] = registry.table_of_events(log, told)
        aucs = self._columns.add(rows, tables, places)
        if window:
            statistics = dataclasses.replace(statistics, aucs=statistics.aucs | aucs)
        self._window = _Window(rows, nodes, tables, places)
        return WindowDescription(statistics, edges, missing, dropped)

    def encoder(self, window: int) -> ExampleEncoder | RequestEncoder:
        """The records of the window whose rows were made last, which are then forgotten."""
        found, self._window = self._window, None
        assert found is not None
        payloads = {
            owner: node_payloads(
                self._spec, owner, table, self._encoded, found.nodes.nodes.get(owner)
            )
            for owner, table in found.tables.items()
        }
        random = np.random.default_rng([self._options.seed, STREAM_REQUESTS, window])
        encoder = ENCODERS[self._spec.record_layout]
        return encoder(self._spec, found.rows, found.places, payloads, random)

    def save_truth(self, data_dir: str) -> None:
        """Writes what is known of a planted world; nothing of other logs."""
        if self._truth:
            self._truth.save(data_dir)

    def _macro(self, window: int, graph: MergingGraph) -> dict[str, NDArray[Any]]:
        """The macro node of every user and of every item up to the window's end, -1: cold."""
        macro = {}
        for owner in OWNERS:
            size = int(self._interactions.ids[owner].known[window])
            known = graph.macro[owner]
            macro[owner] = np.pad(known, (0, size - len(known)), constant_values=-1)
        return macro

    def _edges(
        self,
        window: int,
        rows: Rows,
        macro: Mapping[str, NDArray[Any]],
        graph: MergingGraph,
        touched_before: NDArray[Any],
    ) -> EdgeStatistics:
        """What the edges of users to macro nodes of items, and the other way round, say."""
        features = self._spec.select(role="macro_edges")
        one_hop = _dense(graph.tables, [f for f in features if f.macro_nodes != f.owner])
        name, tasks = self._interactions.windows.name(window), self._spec.task_names
        return edge_statistics(name, rows, tasks, macro, one_hop, touched_before)

    def _labelled(self, window: int, events: Rows, past: Past) -> tuple[Rows, int]:
        """The rows of some events, and how many negatives are missing; the past holds them."""
        if self._spec.rows != "pairs":
            return events, 0
        log, options = self._interactions, self._options
        return add_negatives(
            group_pairs(events, log.num_items),
            events.item,
            past.touched_keys(),
            log.num_items,
            options.negatives,
            options.negative_power,
            (options.seed, STREAM_NEGATIVES, window),
        )

    def _warm(self, window: int, rows: Rows, macro: Mapping[str, NDArray[Any]]) -> Rows:
        cold = (macro["user"][rows.user] < 0) | (macro["item"][rows.item] < 0)
        if cold.all():
            name = self._interactions.windows.describe(window)
            raise ValueError(f"--drop_cold: no row of {name} has a warm user and a warm item")
        return rows.take(np.flatnonzero(~cold))


def _dense(tables: Mapping[str, NodeTable], features: Iterable[Feature]) -> dict[str, NDArray[Any]]:
    """By owner, a feature that all its nodes have."""
    values = {}
    for feature in features:
        column = tables[feature.owner][feature.column]
        assert isinstance(column, DenseColumn)
        values[feature.owner] = column.values
    return values
