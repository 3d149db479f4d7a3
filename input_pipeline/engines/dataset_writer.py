"""Walks through the windows of a log and writes graphs, rows and the report of a data set."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np
from absl import logging
from tqdm import tqdm

from input_pipeline.engines.merging_graph import MergingGraph
from input_pipeline.engines.numeric_statistics import NumericStatistics
from input_pipeline.feature import Feature
from input_pipeline.features import registry
from input_pipeline.features.provider import LogFacts
from input_pipeline.files import filesystem
from input_pipeline.graph.node_table import DenseColumn, NodeTable
from input_pipeline.log.interactions import OWNERS, Interactions, Past
from input_pipeline.log.rows import Rows, add_negatives, group_pairs
from input_pipeline.log.windows import STREAM_NEGATIVES, STREAM_REQUESTS
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.records import example_encoder as examples
from input_pipeline.records.example_encoder import ExampleEncoder
from input_pipeline.records.request_encoder import RequestEncoder
from input_pipeline.records.shards import ShardWriter
from input_pipeline.report import data_report as report
from input_pipeline.report.best_auc import BestAuc
from input_pipeline.report.column_signals import ColumnSignals
from input_pipeline.report.macro_statistics import EdgeStatistics, edge_statistics
from input_pipeline.spec import DatasetSpec

ENCODERS: dict[str, type[ExampleEncoder] | type[RequestEncoder]] = {
    "example": ExampleEncoder,
    "request": RequestEncoder,
}


class DatasetWriter:
    """At each window: the graph of the past, the window's rows, then the window joins the past.

    Args:
      interactions: the log.
      facts: what was known of it when its features were described.
      spec: of the data set, without the counts of rows.
      preparation: the options.
      data_dir: a local directory.
    """

    def __init__(
        self,
        interactions: Interactions,
        facts: LogFacts,
        spec: DatasetSpec,
        preparation: PreparationOptions,
        data_dir: str,
    ):
        self._interactions = interactions
        self._windows = interactions.windows
        self._spec = spec
        self._options = preparation
        self._data_dir = data_dir
        self._past = Past(interactions, len(spec.tasks))
        self._graph = MergingGraph(interactions, facts, spec, preparation, data_dir)
        self._encoded = {
            name: examples.encode_values(column.values)
            for name, (_, column) in interactions.vocabularies.items()
        }
        self._numbers = NumericStatistics(interactions, spec)
        self._columns = ColumnSignals(spec)
        self._truth = None
        if spec.source == "synthetic":
            self._truth = BestAuc(interactions, spec, preparation)
        self._statistics: list[report.WindowStatistics] = []
        self._edges: list[EdgeStatistics] = []
        splits = dict.fromkeys(self._windows.split(w) for w in range(self._windows.num_windows))
        self._counts: dict[str, Any] = {
            "rows": dict.fromkeys(splits, 0),
            "positives": {split: dict.fromkeys(spec.task_names, 0) for split in splits},
            "missing_negatives": dict.fromkeys(splits, 0),
            "dropped_cold_rows": dict.fromkeys(splits, 0),
        }

    def write(self) -> DatasetSpec:
        """Writes everything but the vocabularies and the spec; returns the finished spec."""
        options = self._options
        windows = range(self._windows.num_windows)
        with ShardWriter(
            self._data_dir, options.num_shards, options.num_workers, options.seed
        ) as shards:
            for window in tqdm(windows, desc="windows", unit="window", disable=None):
                self._write_window(window, shards)
            shards.finish()
        snapshot = self._graph.write("latest", self._past)
        spec = dataclasses.replace(
            self._numbers.completed(self._spec),
            counts=self._spec.counts | self._counts,
            grouping=self._graph.grouping_checksum(),
        )
        page = report.render(spec, self._interactions, self._statistics, self._edges, snapshot)
        filesystem.write_text(filesystem.join(self._data_dir, "report.html"), page)
        if self._truth:
            self._truth.save(self._data_dir)
        suspicious = sum(len(window.suspicious) for window in self._statistics)
        if suspicious:
            logging.warning(
                "%d single numbers rank labels by themselves: see report.html", suspicious
            )
        return spec

    def _write_window(self, window: int, shards: ShardWriter) -> None:
        nodes = self._nodes(window)
        self._numbers.add(window, nodes)
        touched, events_of_item = self._past.touched_keys(), self._past.events_of_item()
        self._past.add_window()
        macro = self._macro(nodes)
        rows = self._rows(window, macro)
        values = {}
        if window:
            values = report.signals(
                rows, macro, touched, self._interactions.num_items,
                events_of_item,
            )  # fmt: skip
            touched_before = values["pair touched before"]
            if self._truth:
                self._truth.add(window, rows, touched_before)
            self._edges.append(
                edge_statistics(
                    self._windows.name(window), rows, self._spec.task_names, macro,
                    self._one_hop(nodes), touched_before,
                )
            )  # fmt: skip
        statistics = report.window_statistics(
            self._windows.name(window), rows, self._spec.task_names, values
        )
        tables, places = dict(nodes), {"user": rows.user, "item": rows.item}
        if self._spec.select("context"):
            events, places["context"] = examples.contexts(rows)
            tables["context"] = registry.table_of_events(self._interactions, events)
        aucs = self._columns.add(rows, tables, places)
        if window:
            statistics = dataclasses.replace(statistics, aucs=statistics.aucs | aucs)
        self._count(window, statistics)
        payloads = {
            owner: examples.node_payloads(self._spec, owner, table, self._encoded)
            for owner, table in tables.items()
        }
        random = np.random.default_rng([self._options.seed, STREAM_REQUESTS, window])
        encoder = ENCODERS[self._spec.record_layout](self._spec, rows, payloads, random)
        shards.add(self._windows.split(window), encoder)

    def _nodes(self, window: int) -> dict[str, NodeTable]:
        """All users and items up to the window's end, as the window's rows see them."""
        if window:
            tables = self._graph.write(str(window), self._past).tables
        else:
            tables = registry.empty_tables(self._spec.features)
        ids = self._interactions.ids
        sizes = {owner: int(ids[owner].known[window]) for owner in OWNERS}
        return registry.tables_for_window(tables, self._past, sizes)

    def _macro(self, nodes: dict[str, NodeTable]) -> dict[str, np.ndarray]:
        """The macro node of every user and of every item, -1 for cold ones."""
        return self._dense(nodes, self._spec.select(role="macro_id"))

    def _one_hop(self, nodes: dict[str, NodeTable]) -> dict[str, np.ndarray]:
        """The edges of users to macro nodes of items, and the other way round."""
        edges = self._spec.select(role="macro_edges")
        return self._dense(nodes, [f for f in edges if f.macro_nodes != f.owner])

    def _dense(
        self, nodes: dict[str, NodeTable], features: Iterable[Feature]
    ) -> dict[str, np.ndarray]:
        """By owner, a feature that all its nodes have."""
        values = {}
        for feature in features:
            column = nodes[feature.owner][feature.column]
            assert isinstance(column, DenseColumn)
            values[feature.owner] = column.values
        return values

    def _rows(self, window: int, macro: dict[str, np.ndarray]) -> Rows:
        """The window's rows; the past already holds the window's events."""
        options, split = self._options, self._windows.split(window)
        part = self._windows.slice(window)
        rows = self._interactions.events.take(np.arange(part.start, part.stop))
        if self._spec.rows == "pairs":
            rows, missing = add_negatives(
                group_pairs(rows, self._interactions.num_items),
                rows.item,
                self._past.touched_keys(),
                self._interactions.num_items,
                options.negatives,
                options.negative_power,
                np.random.default_rng([options.seed, STREAM_NEGATIVES, window]),
            )
            self._counts["missing_negatives"][split] += missing
        if options.drop_cold and window:
            cold = (macro["user"][rows.user] < 0) | (macro["item"][rows.item] < 0)
            self._counts["dropped_cold_rows"][split] += int(cold.sum())
            rows = rows.take(np.flatnonzero(~cold))
            if not len(rows):
                name = self._windows.describe(window)
                raise ValueError(f"--drop_cold: no row of {name} has a warm user and a warm item")
        return rows

    def _count(self, window: int, statistics: report.WindowStatistics) -> None:
        split = self._windows.split(window)
        self._statistics.append(statistics)
        self._counts["rows"][split] += statistics.rows
        for task, positives in statistics.positives.items():
            self._counts["positives"][split][task] += positives
