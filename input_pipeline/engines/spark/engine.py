"""The Spark engine: the stages of preparation on executors that share a file system."""

from __future__ import annotations

import os
import shutil

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from input_pipeline.engines import engine
from input_pipeline.engines.spark import parts, shard_assembly, window_moments, window_report
from input_pipeline.engines.spark.cut_graph import CutGraph
from input_pipeline.engines.spark.graph_parts import store_parts
from input_pipeline.engines.spark.graph_report import macro_graph
from input_pipeline.engines.spark.id_lists import appearances_of, lists_of, split_cells
from input_pipeline.engines.spark.lines import ReadLines, read_lines
from input_pipeline.engines.spark.log_state import write_state
from input_pipeline.engines.spark.node_columns import write_node_columns
from input_pipeline.engines.spark.ordered_log import OrderedLog, order_log
from input_pipeline.engines.spark.plan import Plan
from input_pipeline.engines.spark.session import start_session
from input_pipeline.engines.spark.vocabularies import NumberedIds, appearances, number_ids
from input_pipeline.engines.spark.window_records import write_records
from input_pipeline.engines.spark.window_rows import make_rows
from input_pipeline.engines.spark.workspace import SortedParts, Workspace
from input_pipeline.features.moments import Moments
from input_pipeline.features.provider import LogFacts
from input_pipeline.files import filesystem
from input_pipeline.log.interactions import OWNERS
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.report.column_signals import ColumnSignals
from input_pipeline.spec import DatasetSpec

# What this engine does not do, by flag: the values that it refuses, and what else can be done.
_REFUSED = {
    "grouping": (("rows",), "centroids would be as wide as the log has items"),
    "duplicates": (("drop",), "repeated lines are counted and kept"),
    "split": (("random",), "a permutation of all events belongs to one machine"),
}
_WORKSPACE = ".spark"


class SparkEngine(engine.Engine):
    """Reads, sorts, joins and counts with Spark, and computes on parts with NumPy.

    Args:
      preparation: the options.
      data_dir: a directory that driver and executors see under this path.

    Raises:
      ValueError: an option is refused, by its name.
    """

    def __init__(self, preparation: PreparationOptions, data_dir: str):
        super().__init__(preparation, data_dir)
        for flag, (values, reason) in _REFUSED.items():
            value = getattr(preparation, flag)
            if value in values:
                raise ValueError(f"--{flag}={value}: is not offered by --engine=spark: {reason}")
        if preparation.min_user_events > 1:
            raise ValueError("--min_user_events: is for --engine=local; filter the log before")
        master = preparation.spark_master
        if filesystem.is_remote(preparation.data_dir) and not master.startswith("local"):
            raise ValueError(
                f"--data_dir: executors write to it, so that on a cluster "
                f"(--spark_master={master}) it must be on a file system that all machines mount, "
                f"got {preparation.data_dir}"
            )
        self._session: SparkSession | None = None
        self._is_ours = False

    def close(self) -> None:
        shutil.rmtree(os.path.join(self.data_dir, _WORKSPACE), ignore_errors=True)
        if self._session is not None and self._is_ours:
            self._session.stop()
        self._session = None

    def read(self) -> engine.LogDescription:
        self._is_ours = SparkSession.getActiveSession() is None
        self._session = start_session(self.preparation)
        root = os.path.join(os.path.abspath(self.data_dir), _WORKSPACE)
        self._work = Workspace(self._session, root, self.preparation.spark_part_rows)
        self._lines: ReadLines = read_lines(self._session, self.preparation, self._work)
        frame, layout = self._lines.frame, self._lines.layout
        told = frame.agg(
            F.min("timestamp").alias("low"),
            F.max("timestamp").alias("high"),
            F.max((F.col("positive") == 0).cast("int")).alias("exposures"),
        ).collect()[0]
        low, high = told["low"], told["high"]
        return engine.LogDescription(
            tasks=layout.tasks,
            num_events=self._lines.num_lines,
            timestamp_unit=layout.timestamp_unit if layout.timestamp_column else None,
            has_exposures=bool(told["exposures"]),
            source_files=self._lines.source_files,
            malformed_lines=self._lines.malformed,
            duplicate_lines=self._duplicates(frame),
            other_counts={
                name: count
                for name, count in self._lines.counts.items()
                if not name.startswith("times_outside_1970")
            },
            single_time=low if low is not None and low == high else None,
        )

    def _duplicates(self, frame: DataFrame) -> int:
        """Lines that repeat an earlier one in every column, by 128 bits of hashes."""
        names = [n for n in frame.columns if n not in ("file", "block", "row")]
        hashes = [F.xxhash64(F.lit(seed), *names).alias(f"h{seed}") for seed in (1, 2)]
        found = frame.select(*hashes).groupBy("h1", "h2").count()
        return int(found.agg(F.sum(F.col("count") - 1)).collect()[0][0] or 0)

    def index(self, rows: str, split: str) -> engine.IndexDescription:
        del rows
        options, work, layout = self.preparation, self._work, self._lines.layout
        self._log: OrderedLog = order_log(
            self._lines.frame, self._lines.num_lines, split, options, work
        )
        num_windows = self._log.windows.num_windows
        columns = {f.name: f"f{n}" for n, f in enumerate(layout.features)}
        named = [("user_id", "user", "user"), ("item_id", "item", "item")]
        named += [(f.name, f.owner, columns[f.name]) for f in layout.features
                  if f.kind != "numeric"]  # fmt: skip
        self._numbered: dict[str, NumberedIds] = {}
        separators = {f.name: f.separator for f in layout.features if f.kind == "multi"}
        lists: dict[str, DataFrame] = {}
        lengths: dict[str, int] = {}
        frame = self._log.frame
        for name, owner, column in named:
            values = frame.select(F.col(column).alias("raw"), "window", "time")
            first = appearances(values, num_windows)
            if name in separators:
                lists[name] = split_cells(first, name, separators[name], work)
                first = appearances_of(lists[name])
            found = number_ids(first, name, owner, num_windows, self.data_dir, options, work)
            self._numbered[name] = found
        for name, _, column in named:
            ids = self._numbered[name].frame.withColumnRenamed("raw", "cell")
            if name in lists:
                ids = lists_of(lists[name], self._numbered[name].frame)
                ids = work.save(ids.withColumnRenamed("nodes", "node"), f"lists/{name}")
                longest = ids.agg(F.max(F.size("node"))).collect()[0][0]
                lengths[name] = max(1, longest or 0)
            ids = ids.select(F.col("cell").alias(column), F.col("node").alias(f"_{column}"))
            frame = frame.join(ids, column, "left").drop(column)
            frame = frame.withColumnRenamed(f"_{column}", column)
        order = ["event", "window", "time", "timestamp", "user", "item", "positive", "unlabeled"]
        coded = frame.select(*order, *columns.values())
        keys = ["user", "item", "event"]
        num_parts = work.num_parts(self._lines.num_lines)
        self._events: SortedParts = work.save_sorted(coded, "events", keys, num_parts, split=1)
        work.remove("lines", "cells", "lists", "ranked", "ordered", "positions", "shares")
        self._columns = columns
        return engine.IndexDescription(
            cut_times=self._log.windows.cut_times,
            vocabularies=tuple(found.entry for found in self._numbered.values()),
            list_lengths=lengths,
            numbers={
                f.name: (f.owner, f.transform) for f in layout.features if f.kind == "numeric"
            },
            cuts=None if options.cut_times is None else self._log.windows.shares,
        )

    def begin(self, spec: DatasetSpec, facts: LogFacts) -> None:
        del facts  # the spec's features tell the same
        work, num_tasks = self._work, len(spec.tasks)
        frame = work.session.read.parquet(*self._events.paths)
        of_users = parts.pairs_by_user(self._events, num_tasks, work)
        histories = {}
        for owner in OWNERS:
            names = [self._columns[f.name] for f in spec.select(owner) if f.name in self._columns]
            size = spec.vocabulary(f"{owner}_id").size
            found = parts.histories(frame, owner, names, num_tasks, size, work)
            histories[owner] = found.paths
        self._plan = Plan(
            root=work.root,
            data_dir=os.path.abspath(self.data_dir),
            options=self.preparation,
            spec=spec,
            windows=self._log.windows,
            known={owner: self._numbered[f"{owner}_id"].known for owner in OWNERS},
            ids={name: found.ids for name, found in self._numbered.items()},
            codes={name: found.codes for name, found in self._numbered.items()},
            events=self._events.paths,
            pairs={"user": of_users, "item": parts.pairs_by_item(of_users, num_tasks, work)},
            histories=histories,
            columns=self._columns,
            last_time=self._log.last_time,
        )
        self._graph = CutGraph(self._plan, work)
        moments = write_node_columns(self._plan, work)
        moments += window_report.told_moments(self._plan, work)
        self._numbers = window_moments.joined(moments, self._plan.windows.num_windows)
        self._signals = ColumnSignals(spec)
        self._described: list[engine.WindowDescription] = []

    def pairs(self, cut: int) -> None:
        self._graph.pairs(cut)

    def group(self) -> None:
        self._graph.group()

    def edges(self, cut: int) -> None:
        self._graph.edges(cut)

    def rows(self, window: int) -> engine.WindowDescription:
        counted = make_rows(self._plan, window, self._work)
        self._num_rows = sum(part.rows for part in counted)
        if not self._num_rows:
            name = self._plan.windows.describe(window)
            raise ValueError(f"--drop_cold: no row of {name} has a warm user and a warm item")
        found = window_report.describe_window(
            self._plan, window, counted, self._signals, self._work
        )
        self._described.append(found)
        return found

    def records(self, window: int) -> None:
        write_records(self._plan, window, self._num_rows, self._work)
        if window:
            store_parts(self._plan, window, self._work)

    def finish(self) -> engine.DatasetStatistics:
        plan, work = self._plan, self._work
        shard_assembly.assemble(plan, work)
        frame = work.session.read.parquet(*self._events.paths)
        log = window_report.log_statistics(plan, frame, self._lines.num_lines, work)
        graph = macro_graph(plan, work)
        if plan.spec.split == "time":
            write_state(plan, self._numbers, self._described, work)
        store_parts(plan, plan.windows.num_windows, work)
        transforms = {}
        for feature in plan.spec.select(role="numeric"):
            assert feature.transform is not None
            moments = Moments.of_parts(self._numbers[feature.name])
            trained = plan.windows.num_windows - 2
            transforms[feature.name] = moments.complete(feature.transform, trained)
        return engine.DatasetStatistics(log, transforms, graph, self._graph.degrees)
