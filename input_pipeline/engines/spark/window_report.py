"""What the report shows of a window and of the log: exact counts, and rankings of a sample of rows.

Logs of up to `SAMPLE_ROWS` rows a window are told of whole.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from input_pipeline.engines.engine import WindowDescription
from input_pipeline.engines.spark.array_file import ArrayFile
from input_pipeline.engines.spark.node_columns import values_of
from input_pipeline.engines.spark.plan import Plan, rows_of
from input_pipeline.engines.spark.window_moments import WindowMoments
from input_pipeline.engines.spark.window_records import tables_of
from input_pipeline.engines.spark.window_rows import CountedRows, macro_of
from input_pipeline.engines.spark.workspace import Workspace, slabs
from input_pipeline.features.moments import Moments
from input_pipeline.features.registry import value_names
from input_pipeline.log.calendar import UNITS
from input_pipeline.log.interactions import OWNERS
from input_pipeline.log.keyed_random import keyed_uniform
from input_pipeline.log.raw_ids import as_array
from input_pipeline.log.rows import Rows
from input_pipeline.report.column_signals import ColumnSignals
from input_pipeline.report.log_statistics import IdsStatistics, LogStatistics, NumbersStatistics
from input_pipeline.report.macro_statistics import EdgeStatistics, edge_statistics
from input_pipeline.report.window_statistics import SIGNALS, window_statistics

SAMPLE_ROWS = 200_000
_SECONDS_OF_DAY = 86_400
_SHOWN_DAYS = (0.001, 0.999)
_TOP = 5
_STREAM_SAMPLE = 1 << 20


def describe_window(
    plan: Plan, window: int, counted: list[CountedRows], signals: ColumnSignals, work: Workspace
) -> WindowDescription:
    """Describes the rows that `make_rows` wrote; `signals` takes them in."""
    num_rows = sum(part.rows for part in counted)
    share = min(1.0, SAMPLE_ROWS / max(1, num_rows))
    sampled = functools.partial(_sample, plan, share)
    table = pa.concat_tables(work.run(sampled, range(len(plan.events))))
    rows = rows_of(table, has_clock=False)
    touched = table["touched"].to_numpy().astype(np.int64)
    values: dict[str, NDArray[Any]] = {}
    edges = None
    name, tasks = plan.windows.name(window), plan.spec.task_names
    if window:
        cold = [macro_of(plan, window, o, getattr(rows, o)) < 0 for o in ("item", "user")]
        told = (*cold, touched, _popularity(plan, window, rows.item))
        values = {n: v.astype(np.int64) for n, v in zip(SIGNALS, told, strict=True)}
        edges = _edges(plan, window, rows, touched, work)
    tables, _, places = tables_of(plan, window, rows, table)
    found = window_statistics(name, rows, tasks, values)
    aucs = signals.add(rows, tables, places)
    totals = [
        dict(zip(tasks, np.sum([getattr(p, field) for p in counted], axis=0).tolist(), strict=True))
        for field in ("positives", "labels")
    ]
    statistics = dataclasses.replace(
        found,
        rows=num_rows,
        positives=totals[0],
        labels=totals[1],
        users=sum(part.users for part in counted),
        aucs=found.aucs | aucs if window else found.aucs,
    )
    missing, dropped = (sum(getattr(p, n) for p in counted) for n in ("missing", "dropped"))
    return WindowDescription(statistics, edges, missing, dropped)


def _sample(plan: Plan, share: float, part: int) -> pa.Table:
    table = pq.ParquetFile(plan.path("rows", f"{part:05d}.parquet")).read()
    if share == 1.0:
        return table
    chosen = keyed_uniform(_STREAM_SAMPLE, table["order"].to_numpy()) < share
    return table.filter(pa.array(chosen))


def _popularity(plan: Plan, window: int, items: NDArray[Any]) -> NDArray[Any]:
    """Events of items before a window, int64 [R]."""
    distinct, place = np.unique(items, return_inverse=True)
    total = np.zeros(len(distinct), np.int64)
    for number in range(window):
        total += ArrayFile(plan.path("window_counts", f"{number}.npy")).take(distinct)
    return total[place]


def _edges(
    plan: Plan, window: int, rows: Rows, touched: NDArray[Any], work: Workspace
) -> EdgeStatistics:
    """What the macro edges say, of the sample; their totals are those of all nodes."""
    local, macro, edges = {}, {}, {}
    for owner in OWNERS:
        nodes, local[owner] = np.unique(getattr(rows, owner), return_inverse=True)
        path = plan.graph(window, f"{owner}_1hop.npy")
        size = plan.known_at(owner, window)
        sums = sum(work.run(functools.partial(_column_sums, path), slabs(size, work.part_rows)))
        known = nodes[nodes < size]
        found = np.zeros((len(nodes) + 1, ArrayFile(path).shape[1]))
        found[: len(known)] = ArrayFile(path).take(known)
        found[-1] = sums - found[:-1].sum(axis=0)
        edges[owner] = found
        macro[owner] = np.append(macro_of(plan, window, owner, nodes), -1)
    compact = dataclasses.replace(
        rows, user=local["user"].astype(np.int32), item=local["item"].astype(np.int32)
    )
    name = plan.windows.name(window)
    return edge_statistics(name, compact, plan.spec.task_names, macro, edges, touched)


def _column_sums(path: str, slab: tuple[int, int]) -> NDArray[Any]:
    found: NDArray[Any] = ArrayFile(path).read(*slab).sum(axis=0, dtype=np.float64)
    return found


def told_moments(plan: Plan, work: Workspace) -> list[WindowMoments]:
    """By part, of numeric features that the log's own columns tell, over the events."""
    return work.run(functools.partial(_moments, plan), plan.events)


def _moments(plan: Plan, path: str) -> WindowMoments:
    features = [f for f in plan.spec.select(role="numeric") if f.name in plan.columns]
    if not features:
        return {}
    table = pq.ParquetFile(path).read(columns=["window", *(plan.columns[f.name] for f in features)])
    windows = table["window"].to_numpy()
    found: WindowMoments = {}
    for feature in features:
        values = values_of(table, plan.columns[feature.name], feature).astype(np.float64)
        assert feature.transform is not None
        if feature.transform.kind == "log":
            values = np.sign(values) * np.log1p(np.abs(values))
        for window in np.unique(windows).tolist():
            moments = found[feature.name, window] = Moments()
            moments.add(values[windows == window, np.newaxis])
    return found


def log_statistics(
    plan: Plan, events: DataFrame, num_events: int, work: Workspace
) -> LogStatistics:
    """What the report shows of the whole log."""
    ids, numbers = [], []
    for feature in plan.spec.features:
        column = plan.columns.get(feature.name)
        if column is not None and feature.role == "side":
            ids.append(_ids(plan, events, feature.name, feature.owner, column, num_events))
    share = min(1.0, SAMPLE_ROWS / num_events)
    sample = work.run(functools.partial(_sample_events, plan, share), plan.events)
    for feature in plan.spec.select(role="numeric"):
        column = plan.columns.get(feature.name)
        if column is not None:
            values = np.concatenate([part[column] for part in sample])
            numbers.append(NumbersStatistics.of(feature.name, feature.owner, "events", values))
            continue
        file = ArrayFile(plan.graph(plan.windows.num_windows, f"{feature.column}.npy"))
        rows = np.unique(np.linspace(0, len(file) - 1, SAMPLE_ROWS).astype(np.int64))
        names = value_names(feature, plan.spec.task_names)
        for name, values in zip(names, file.take(rows).T, strict=True):
            numbers.append(NumbersStatistics.of(name, feature.owner, "nodes at the end", values))
    return LogStatistics(_by_day(plan, events), tuple(ids), tuple(numbers))


def _sample_events(plan: Plan, share: float, path: str) -> dict[str, NDArray[Any]]:
    features = [f for f in plan.spec.select(role="numeric") if f.name in plan.columns]
    names = [plan.columns[f.name] for f in features]
    table = pq.ParquetFile(path).read(columns=["event", *names])
    chosen = keyed_uniform(_STREAM_SAMPLE, table["event"].to_numpy()) < share
    chosen |= share == 1.0
    return {plan.columns[f.name]: values_of(table, plan.columns[f.name], f)[chosen]
            for f in features}  # fmt: skip


def _ids(
    plan: Plan, events: DataFrame, name: str, owner: str, column: str, num_events: int
) -> IdsStatistics:
    lengths = None
    if plan.spec.feature(name).ragged:
        size = F.when(F.col(column).isNull(), 0).otherwise(F.size(column)).alias("size")
        by_size = {row["size"]: row["count"] for row in events.groupBy(size).count().collect()}
        lengths = np.array([by_size.get(n, 0) for n in range(max(by_size) + 1)])
        events = events.select(F.explode(column).alias(column))
    counts = events.groupBy(column).count().where(f"{column} >= 0")
    counts = counts.orderBy(F.desc("count"), column)
    top = counts.limit(_TOP).collect()
    there = counts.agg(F.sum("count")).collect()[0][0] or 0
    missing = num_events - there if lengths is None else int(lengths[0])
    rows = np.array([row[column] for row in top], np.int64)
    order = np.argsort(rows)
    values = as_array(plan.ids[name].take(rows[order]))[np.argsort(order)].tolist()
    frequent = [(value, row["count"] / num_events) for value, row in zip(values, top, strict=True)]
    if lengths is None:
        missing += sum(round(part * num_events) for value, part in frequent if value == b"")
    vocabulary = plan.spec.vocabulary(name)
    share = missing / num_events
    return IdsStatistics(name, owner, vocabulary.size, share, tuple(frequent), lengths)


def _by_day(plan: Plan, events: DataFrame) -> tuple[NDArray[Any], NDArray[Any]] | None:
    unit = plan.spec.timestamp_unit
    if unit is None:
        return None
    day = F.floor(F.col("timestamp") / F.lit(_SECONDS_OF_DAY * UNITS[unit])).alias("day")
    bits = [
        F.sum(F.col("positive").bitwiseAND(1 << bit) / F.lit(1 << bit))
        .cast("long")
        .alias(f"c{bit}")
        for bit in range(len(plan.spec.tasks))
    ]
    found = events.groupBy(day).agg(F.count("*").alias("count"), *bits).orderBy("day").collect()
    reached = np.cumsum([row["count"] for row in found])
    low, high = (share * reached[-1] for share in _SHOWN_DAYS)
    shown = [
        row
        for row, end in zip(found, reached, strict=True)
        if end > low and end - row["count"] < high
    ]
    days = np.array([row["day"] for row in shown], np.int64).astype("datetime64[D]")
    counts = [[row[f"c{bit}"] for row in shown] for bit in range(len(bits))]
    return days, np.array(counts)
