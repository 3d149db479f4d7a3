"""The local engine: the whole log as arrays in memory, the stages one after the other."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from input_pipeline.engines import engine
from input_pipeline.engines.local.log_columns import log_statistics
from input_pipeline.engines.local.log_state import LogState
from input_pipeline.engines.local.merging_graph import MergingGraph
from input_pipeline.engines.local.numeric_statistics import NumericStatistics
from input_pipeline.engines.local.window_writer import WindowWriter
from input_pipeline.features.provider import LogFacts
from input_pipeline.log import vocabulary
from input_pipeline.log.events import EventLog
from input_pipeline.log.interactions import OWNERS, Interactions, Past, build_interactions
from input_pipeline.log.vocabulary import Column, ListsColumn, NumbersColumn
from input_pipeline.log.windows import cut_windows
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.records.shards import ShardWriter
from input_pipeline.report.macro_graph import MacroGraph, read_degrees
from input_pipeline.sources import read_events
from input_pipeline.spec import DatasetSpec


class LocalEngine(engine.Engine):
    """Computes with NumPy and SciPy in this process, and compresses records in threads.

    Args:
      preparation: the options.
      data_dir: a local directory to write to.
      log: what `read` is to find instead of the raw files.

    Attributes:
      interactions: the log, after `index`.
    """

    interactions: Interactions

    def __init__(self, preparation: PreparationOptions, data_dir: str, log: EventLog | None = None):
        super().__init__(preparation, data_dir)
        self._log = log
        self._open = contextlib.ExitStack()

    def close(self) -> None:
        self._open.close()

    def read(self) -> engine.LogDescription:
        if self._log is None:
            self._log = read_events(self.preparation)
        log = self._log
        single_time = None
        if log.timestamp is not None and len(log) and log.timestamp.min() == log.timestamp.max():
            single_time = int(log.timestamp[0])
        return engine.LogDescription(
            tasks=log.tasks,
            num_events=len(log),
            timestamp_unit=log.timestamp_unit,
            has_exposures=log.has_exposures,
            source_files=log.source_files,
            malformed_lines=log.malformed_lines,
            duplicate_lines=log.duplicate_lines,
            other_counts=log.other_counts,
            single_time=single_time,
        )

    def index(self, rows: str, split: str) -> engine.IndexDescription:
        log, self._log = self._log, None  # from here on in another order
        assert log is not None
        options = self.preparation
        windows = cut_windows(
            log,
            split,
            rows,
            options.quantiles,
            options.seed,
            from_the_end=options.cuts is None,
            given_times=options.cut_times,
        )
        self.interactions = interactions = build_interactions(log, windows)
        return self._index_description(
            lambda _, column: interactions.counts(column),
            cuts=None if options.cut_times is None else windows.shares,
        )

    def _index_description(
        self,
        counts_of: Callable[[str, Column], NDArray[Any]],
        *,
        cuts: tuple[float, ...] | None,
        lengths: Mapping[str, int | None] = MappingProxyType({}),
    ) -> engine.IndexDescription:
        """Writes the vocabularies of `interactions`, and describes these.

        Args:
          counts_of: from name and column, events by the end of training of each value known then.
          cuts: of the description.
          lengths: of lists, the longest that there were before.
        """
        interactions = self.interactions
        vocabularies = []
        for name, (owner, column) in interactions.vocabularies.items():
            counts = counts_of(name, column)
            vocabulary.write(self.data_dir, name, column, counts)
            vocabularies.append(
                vocabulary.describe(name, owner, column, counts, self.preparation.min_count)
            )
        return engine.IndexDescription(
            cut_times=interactions.windows.cut_times,
            vocabularies=tuple(vocabularies),
            list_lengths={
                name: max(lengths.get(name) or 1, int(np.diff(column.indptr).max(initial=0)))
                for name, (_, column) in interactions.vocabularies.items()
                if isinstance(column, ListsColumn)
            },
            numbers={
                name: (owner, column.transform)
                for owner, features in interactions.features.items()
                for name, column in features.items()
                if isinstance(column, NumbersColumn)
            },
            cuts=cuts,
        )

    def begin(self, spec: DatasetSpec, facts: LogFacts) -> None:
        options, interactions = self.preparation, self.interactions
        self._spec = spec
        self._past = Past(interactions, len(spec.tasks))
        self._graph = MergingGraph(interactions, facts, spec, options, self.data_dir)
        self._numbers = NumericStatistics(interactions, spec)
        self._shards = self._open.enter_context(
            ShardWriter(self.data_dir, options.num_shards, options.num_workers, options.seed)
        )
        self._windows = WindowWriter(interactions, spec, options)
        self._described: list[engine.WindowDescription] = []

    def pairs(self, cut: int) -> None:
        assert self._past.num_windows == cut, f"{self._past.num_windows} windows before cut {cut}"
        self._graph.pairs(self._graph_name(cut), self._past)

    def group(self) -> None:
        self._graph.group()

    def edges(self, cut: int) -> None:
        self._graph.edges(self._graph_name(cut))

    def _graph_name(self, cut: int) -> str:
        return engine.graph_name(cut, len(self._spec.cuts))

    def rows(self, window: int) -> engine.WindowDescription:
        found = self._windows.rows(window, self._past, self._graph, self._numbers)
        self._described.append(found)
        return found

    def records(self, window: int) -> None:
        self._shards.add(self.interactions.windows.split(window), self._windows.encoder(window))

    def _state(self) -> LogState:
        """What is kept of the log, after its last window."""
        interactions, windows = self.interactions, self.interactions.windows
        counts = {}
        for name, (_, column) in interactions.vocabularies.items():
            so_far = [column.counts(int(b), len(column.values)) for b in windows.bounds[-3:]]
            counts[name] = np.diff(np.stack(so_far), axis=0)
        return LogState(
            pairs=self._past.pairs(),
            activity={owner: self._past.activity(owner) for owner in OWNERS},
            counts=counts,
            numbers=self._numbers.arrays(),
            events=tuple(np.diff(windows.bounds).tolist()),
            last_time=int(windows.time.max()),
            windows=tuple(self._described),
        )

    def finish(self) -> engine.DatasetStatistics:
        self._shards.finish()
        self._windows.save_truth(self.data_dir)
        if self._spec.split == "time":
            self._state().write(self.data_dir, self._spec.task_names)
        log = log_statistics(self.interactions, self._spec, self._graph.tables)
        return engine.DatasetStatistics(
            log,
            self._numbers.transforms(),
            MacroGraph.read(self._spec, self.data_dir),
            read_degrees(self.data_dir),
        )
