"""Cells to lines of the log, block by block on the executors, as the local engine reads them."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from absl import logging
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from input_pipeline.engines.spark.source_tables import (
    CORRUPT,
    PLACE,
    open_source,
    plain_path,
)
from input_pipeline.engines.spark.workspace import Workspace
from input_pipeline.files import filesystem
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.sources.block import Block
from input_pipeline.sources.layout import Layout
from input_pipeline.sources.malformed import MalformedLines, Problem
from input_pipeline.sources.parquet import CellWriter
from input_pipeline.sources.raw_files import stored_file
from input_pipeline.sources.remarks import COUNTED, LEFT_OUT, TIMES_OFF_LOGGED
from input_pipeline.sources.table import make_layout
from input_pipeline.sources.time_range import TimeRange
from input_pipeline.spec import SourceFile

_GOOD, _MALFORMED, _LEFT_OUT = range(3)
_KINDS = tuple(dict.fromkeys([*COUNTED, TIMES_OFF_LOGGED]))
_SHOWN = 5
_FEATURE_TYPES = {"numeric": ("float", pa.float32())}
_CELL_TYPE = ("binary", pa.binary())


@dataclasses.dataclass(frozen=True)
class ReadLines:
    """A log that was read.

    Attributes:
      frame: the lines that are part of it: file, block, row (their order), user, item, positive,
        unlabeled, timestamp, and f0, f1, ... of the layout's features.
      layout: what they mean.
      num_lines, malformed: how many were read and are part of the log, and how many were refused.
      counts: by kind of remark, of how many lines it was made.
      source_files: what was read.
    """

    frame: DataFrame
    layout: Layout
    num_lines: int
    malformed: int
    counts: dict[str, int]
    source_files: tuple[SourceFile, ...]


def read_lines(session: SparkSession, options: PreparationOptions, work: Workspace) -> ReadLines:
    """Reads the log that `--source` and `--input` name.

    Raises:
      ValueError: a column is missing, too many lines are malformed, or none is left.
    """
    layout = make_layout(options)
    unit = layout.timestamp_unit or options.timestamp_unit
    TimeRange.of(options, layout.timestamp_column, unit)  # refused here, not on an executor
    table = open_source(session, options, layout.columns)
    parse = functools.partial(
        _parse, options, table.columns, table.paths, table.cells, table.has_corrupt
    )
    parsed = table.frame.mapInArrow(parse, _schema(layout))
    frame = work.save(parsed, "lines")
    counts = _counts(frame)
    report = MalformedLines()
    problems = []
    if counts["malformed"]:
        rows = frame.where("problem is not null").orderBy("file", "block", "row").limit(_SHOWN)
        problems = [
            Problem(
                table.paths[row["file"]] if table.paths else options.input[0],
                row["row"] & ((1 << 33) - 1),
                *row["problem"].split("\0"),
            )
            for row in rows.collect()
        ]
    report.add(problems, counts["malformed"], counts["lines"])
    report.check(options.max_malformed)
    if not counts["good"]:
        raise ValueError(
            "no line is left by --time_from, --time_to, --partition_filter and --task_columns"
        )
    kinds = {kind: counts[kind] for kind in _KINDS}
    for kind, number in kinds.items():
        if number:
            logging.warning("%s: %d", COUNTED.get(kind, kind).removesuffix(" were"), number)
    good = frame.where(f"status = {_GOOD}").drop("status", "problem", *_KINDS)
    files = tuple(work.run(_source_file, table.paths))
    return ReadLines(good, layout, counts["good"], counts["malformed"], kinds, files)


def _source_file(path: str) -> SourceFile:
    if filesystem.is_remote(path):
        return SourceFile(path, 0, "")
    return dataclasses.replace(stored_file(path), path=path)


def _schema(layout: Layout) -> str:
    names = [f"f{n} {_types(f.kind)[0]}" for n, f in enumerate(layout.features)]
    return ", ".join(
        [
            "file int, block long, row long, status int, problem string, user binary, item binary",
            "positive long, unlabeled long, timestamp long",
            *names,
            *(f"{kind} long" for kind in _KINDS),
        ]
    )


def _types(kind: str) -> tuple[str, pa.DataType]:
    return _FEATURE_TYPES.get(kind, _CELL_TYPE)


def _counts(frame: DataFrame) -> dict[str, int]:
    sums = [F.sum(F.coalesce(F.col(kind), F.lit(0))).alias(kind) for kind in _KINDS]
    row = frame.agg(
        F.count("*").alias("lines"),
        F.sum((F.col("status") == _GOOD).cast("long")).alias("good"),
        F.sum((F.col("status") == _MALFORMED).cast("long")).alias("malformed"),
        *sums,
    ).collect()[0]
    return {name: int(value or 0) for name, value in row.asDict().items()}


@functools.lru_cache(maxsize=4)
def _layout(options: PreparationOptions) -> Layout:
    return make_layout(options)


def _parse(
    options: PreparationOptions,
    columns: tuple[str, ...],
    paths: tuple[str, ...],
    cells: dict[str, dict[str, bytes]],
    has_corrupt: bool,
    batches: Iterable[pa.RecordBatch],
) -> Iterator[pa.RecordBatch]:
    """Batches of PLACE and c0, c1, ... to those of `_schema`."""
    layout = _layout(options)
    unit = layout.timestamp_unit or options.timestamp_unit
    times = TimeRange.of(options, layout.timestamp_column, unit)
    ids = {layout.user_column, layout.item_column}
    ids |= {f.cells for f in layout.features if f.kind in ("categorical", "multi")}
    separators = {f.column: f.separator for f in layout.features if f.kind == "multi"}
    writer = CellWriter(unit, separators, frozenset(ids))
    numbers = {
        path if filesystem.is_remote(path) else os.path.abspath(path): number
        for number, path in enumerate(paths)
    }
    for batch in batches:
        names = batch.schema.names
        where = batch.column(names.index(PLACE[0])).dictionary_encode()
        told = [plain_path(path) for path in where.dictionary.to_pylist()]
        files = np.array([numbers.get(path, 0) for path in told])
        files = files[where.indices.to_numpy()] if len(told) else np.zeros(len(batch), int)
        found = {}
        for place, column in enumerate(columns):
            if f"c{place}" in names:
                values = batch.column(names.index(f"c{place}"))
                found[column] = writer.cells(paths[0] if paths else "", column, values)
            else:
                of_files = [cells.get(path, {}).get(column, b"") for path in paths]
                found[column] = pa.array(of_files, pa.binary()).take(pa.array(files))
        block = Block(found, len(batch), unit, options.null_markers)
        if has_corrupt:
            corrupt = batch.column(names.index(CORRUPT)).is_valid()
            block.refuse(
                columns[0], corrupt.to_numpy(zero_copy_only=False), "a line of all columns"
            )
        yield _lines_of(block, layout, times, files, batch)


def _lines_of(
    block: Block, layout: Layout, times: TimeRange, files: NDArray[Any], batch: pa.RecordBatch
) -> pa.RecordBatch:
    positive, unlabeled = layout.behaviors(block)
    timestamps = None
    if layout.timestamp_column:
        timestamps = block.timestamps(layout.timestamp_column)
        times.cut(block, layout.timestamp_column, timestamps)
    read: list[Callable[[], pa.Array] | pa.Array] = [
        _plain(block.identifiers(layout.user_column)),
        _plain(block.identifiers(layout.item_column)),
    ]
    features = [_feature(f.kind, f.read(block)) for f in layout.features]
    status = np.where(block.malformed, _MALFORMED, np.where(block.left_out, _LEFT_OUT, _GOOD))
    problems: list[str | None] = [None] * len(block)
    for row, *told in block.problems[:_SHOWN]:
        problems[row] = "\0".join(told)
    names = batch.schema.names
    size = len(block)
    clock = pa.nulls(size, pa.int64()) if timestamps is None else pa.array(timestamps)
    arrays = [
        pa.array(files.astype(np.int32)),
        batch.column(names.index(PLACE[1])).cast(pa.int64()),
        batch.column(names.index(PLACE[2])).cast(pa.int64()),
        pa.array(status.astype(np.int32)),
        pa.array(problems, pa.string()),
        *read,
        pa.array(positive.astype(np.int64)),
        pa.array((unlabeled & ~positive).astype(np.int64)),
        clock,
        *features,
        *(_first(_remarked(block, kind), size) for kind in _KINDS),
    ]
    fields = ["file", "block", "row", "status", "problem", "user", "item", "positive", "unlabeled"]
    fields += ["timestamp", *(f"f{n}" for n in range(len(features))), *_KINDS]
    return pa.RecordBatch.from_arrays(arrays, fields)


def _plain(values: pa.Array) -> pa.Array:
    return values.cast(pa.binary())


def _feature(kind: str, values: pa.Array) -> pa.Array:
    """A cell, a number, or of a part of a time its digits; null where there is none."""
    if kind == "numeric":
        return values.cast(pa.float32())
    if pa.types.is_dictionary(values.type):
        return values.cast(pa.binary())
    numbers = values.to_numpy()
    return pa.array(numbers, mask=numbers < 0).cast(pa.string()).cast(pa.binary())


def _remarked(block: Block, kind: str) -> int:
    """How many lines a remark is made of, as `Remarks` counts them."""
    total = 0
    for (found, _), mask in block.remarks.items():
        if found == kind:
            counted = mask & ~block.malformed
            if kind not in LEFT_OUT:
                counted &= ~block.left_out
            total += int(counted.sum())
    return total


def _first(number: int, size: int) -> pa.Array:
    """A number of a batch, in its first row."""
    return (
        pa.array([number or None] + [None] * (size - 1), pa.int64())
        if size
        else pa.nulls(0, pa.int64())
    )
