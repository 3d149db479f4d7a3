"""Raw logs as Spark tables of cells: csv, Parquet and ORC files, and tables of a catalogue."""

from __future__ import annotations

import dataclasses
import os
import urllib.parse

from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from input_pipeline.files import filesystem
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.sources import headers
from input_pipeline.sources.dialect import Dialect, begin_table
from input_pipeline.sources.input_files import find_files, partition_values
from input_pipeline.sources.raw_files import open_raw

# Where a line stands, and what Spark could not read of it.
PLACE = ("_path", "_block", "_line")
CORRUPT = "_corrupt"
SOURCES = ("csv", "parquet", "orc", "table")


@dataclasses.dataclass(frozen=True)
class SourceTable:
    """A raw log.

    Attributes:
      frame: PLACE, and for each column that is wanted its place among `columns` as c0, c1, ...
      columns: what is wanted.
      paths: the files, in their order; () of a table whose files are not known.
      cells: by path, what the folders of a file say of all its lines, by column.
      has_corrupt: whether lines may have been cut into the wrong number of cells.
    """

    frame: DataFrame
    columns: tuple[str, ...]
    paths: tuple[str, ...]
    cells: dict[str, dict[str, bytes]]
    has_corrupt: bool = False


def open_source(
    session: SparkSession, options: PreparationOptions, columns: tuple[str, ...]
) -> SourceTable:
    """The log that `--source` and `--input` name.

    Raises:
      ValueError: Spark does not read the source, nothing is there, or a column is missing.
    """
    if options.source not in SOURCES:
        raise ValueError(
            f"--source: --engine=spark reads {', '.join(SOURCES)}, got {options.source!r}; csv "
            "with --columns and --task_columns reads most formats"
        )
    if options.source == "table":
        return _of_catalogue(session, options, columns)
    paths = _filtered(session, find_files(options.input), options.partition_filter)
    if options.source == "csv":
        return _of_csv(session, options, columns, paths)
    # Folders called name=value are read from the paths, as the local engine reads them.
    frame = session.read.format(options.source).load(list(map(_uri, paths)))
    cells = {path: partition_values(path) for path in paths}
    named = {name.strip(): name for name in frame.columns}
    found = headers.find_columns(paths[0], list(named), columns, cells[paths[0]])
    places = {c: list(named.values())[p] for c, p in found.items() if isinstance(p, int)}
    return SourceTable(_selected(frame, columns, places), columns, paths, cells)


def _of_catalogue(
    session: SparkSession, options: PreparationOptions, columns: tuple[str, ...]
) -> SourceTable:
    if len(options.input) != 1:
        raise ValueError(
            f"--input: --source=table needs the name of a table, got {list(options.input)}"
        )
    name = options.input[0]
    if not session.catalog.tableExists(name):
        raise ValueError(f"--input: there is no table {name!r}")
    frame = session.table(name)
    found = headers.find_columns(name, frame.columns, columns, {})
    if options.partition_filter:
        frame = frame.where(options.partition_filter)
    places = {
        column: frame.columns[place] for column, place in found.items() if isinstance(place, int)
    }
    paths = tuple(sorted(map(plain_path, frame.inputFiles())))
    return SourceTable(_selected(frame, columns, places), columns, paths, {})


def _of_csv(
    session: SparkSession,
    options: PreparationOptions,
    columns: tuple[str, ...],
    paths: tuple[str, ...],
) -> SourceTable:
    if options.encoding:
        raise ValueError(f"--encoding: --engine=spark reads UTF-8, got {options.encoding!r}")
    dialect = Dialect(
        names=options.columns or None,
        delimiter=headers.delimiter_character(options.delimiter),
        quoted=options.quoted_cells,
    )
    tables = {}
    for path in paths:
        with open_raw(path) as raw:
            raw.check_text()
            tables[path] = begin_table(raw, dialect, columns)
    first = tables[paths[0]]
    places = {column: place for column, place in first.found.items() if isinstance(place, int)}
    for path, table in tables.items():
        if (table.delimiter, table.num_columns) != (first.delimiter, first.num_columns) or any(
            table.found[column] != place for column, place in places.items()
        ):
            raise ValueError(
                f"{path}: must have the columns of {paths[0]} in their order for --engine=spark, "
                f"got {table.num_columns} columns, {table.found}"
            )
    schema = ", ".join(f"c{n} string" for n in range(first.num_columns))
    frame = (
        session.read.schema(f"{schema}, {CORRUPT} string")
        .option("header", not options.columns)
        .option("sep", first.delimiter)
        .option("quote", '"' if options.quoted_cells else "")
        .option("escape", '"')
        .option("mode", "PERMISSIVE")
        .option("columnNameOfCorruptRecord", CORRUPT)
        .csv(list(map(_uri, paths)))
    )
    named = {column: f"c{place}" for column, place in places.items()}
    cells = {
        path: {c: value for c, value in table.found.items() if isinstance(value, bytes)}
        for path, table in tables.items()
    }
    return SourceTable(_selected(frame, columns, named, CORRUPT), columns, paths, cells, True)


def _selected(
    frame: DataFrame, columns: tuple[str, ...], places: dict[str, str], *more: str
) -> DataFrame:
    wanted = [F.col(f"`{places[c]}`").alias(f"c{n}") for n, c in enumerate(columns) if c in places]
    line = F.monotonically_increasing_id().alias("_line")
    told = [F.col("_metadata.file_path"), F.col("_metadata.file_block_start")]
    try:
        return frame.select(told[0].alias("_path"), told[1].alias("_block"), line, *wanted, *more)
    except AnalysisException:  # A view, or files of a format of its own, is in no other order.
        nowhere = F.lit("").alias("_path"), F.lit(0).cast("long").alias("_block")
        return frame.select(*nowhere, line, *wanted, *more)


def _filtered(session: SparkSession, paths: tuple[str, ...], condition: str) -> tuple[str, ...]:
    """The files of the partitions that a condition on their folders' values chooses."""
    if not condition:
        return paths
    told = [
        (path, {name: value.decode("utf-8", "replace") for name, value in cells.items()})
        for path, cells in ((path, partition_values(path)) for path in paths)
    ]
    names = sorted({name for _, cells in told for name in cells})
    if not names:
        raise ValueError(
            f"--partition_filter: needs files in folders called name=value, got {paths[0]}"
        )
    rows = [(path, *(cells.get(name) for name in names)) for path, cells in told]
    schema = ", ".join(f"`{name}` string" for name in ["_path", *names])
    kept = {
        row["_path"] for row in session.createDataFrame(rows, schema).where(condition).collect()
    }
    if not kept:
        raise ValueError(f"--partition_filter: {condition!r} leaves none of {len(paths)} files")
    return tuple(path for path in paths if path in kept)


def _uri(path: str) -> str:
    return path if filesystem.is_remote(path) else f"file://{os.path.abspath(path)}"


def plain_path(uri: str) -> str:
    """A path as `find_files` has it, given as Spark tells it."""
    path = urllib.parse.unquote(uri)
    for scheme in ("file://", "file:"):
        if path.startswith(scheme):
            return path.removeprefix(scheme)
    return path
