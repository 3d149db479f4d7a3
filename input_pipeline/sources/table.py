"""Any table with a header, as csv or parquet, whose columns the flags name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from input_pipeline.feature import check_name
from input_pipeline.files import filesystem
from input_pipeline.log.events import EventLog
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.sources.delimited import Dialect, check_header, read_files
from input_pipeline.sources.labels import label_reader
from input_pipeline.sources.layout import Layout, RawRows, read_log
from input_pipeline.sources.malformed import LineNumbers
from input_pipeline.sources.raw_files import find_files, open_raw, progress
from input_pipeline.spec import SourceFile

_MAX_TASKS = 31
_BATCH_ROWS = 1 << 19

# The keys of a row that are not side features.
_ROW_FEATURE = re.compile(
    r"(user|item)_(id|1hop|2hop|macro|neighbors_.*|neighbor_weights_.*)|task_table|label_.*"
)


def _split_name(flag: str, text: str) -> tuple[str, str]:
    """`column:name` or `column`, which then is the name too."""
    column, colon, name = text.rpartition(":")
    if not colon:
        column = name
    if not column:
        raise ValueError(f"--{flag}: expected column:name, got {text!r}")
    return column, name


def _tasks(options: PreparationOptions) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Columns and names of the tasks."""
    pairs = [_split_name("task_columns", text) for text in options.task_columns]
    if not 1 <= len(pairs) <= _MAX_TASKS:
        raise ValueError(
            f"--task_columns: needs 1 to {_MAX_TASKS} of column:task, got {len(pairs)}"
        )
    names = tuple(check_name("task", name) for _, name in pairs)
    if len(set(names)) < len(names):
        raise ValueError(f"--task_columns: task names must differ, got {list(names)}")
    return tuple(column for column, _ in pairs), names


def _features(flag: str, texts: Sequence[str]) -> dict[str, str]:
    """Columns by name of the side features."""
    features: dict[str, str] = {}
    for column, name in (_split_name(flag, text) for text in texts):
        try:
            check_name("side feature", name)
        except ValueError as error:
            raise ValueError(f"--{flag}: {error}; give another as {column}:name") from None
        if _ROW_FEATURE.fullmatch(name):
            raise ValueError(f"--{flag}: {name!r} is the name of another feature of a row")
        if name in features:
            raise ValueError(f"--{flag}: {name!r} is named twice")
        features[name] = column
    return features


def make_layout(options: PreparationOptions) -> Layout:
    """The layout that the flags describe.

    Raises:
      ValueError: a name cannot be used, or a label is a feature too.
    """
    label_columns, tasks = _tasks(options)
    user_features = _features("user_feature_columns", options.user_feature_columns)
    item_features = _features("item_feature_columns", options.item_feature_columns)
    both = sorted(set(user_features) & set(item_features))
    if both:
        raise ValueError(f"--item_feature_columns: already names of user features: {both}")
    feature_columns = {*user_features.values(), *item_features.values()}
    leaks = sorted(feature_columns & set(label_columns))
    if leaks:
        raise ValueError(f"--task_columns: a label must not be a feature too, got {leaks}")
    return Layout(
        tasks=tasks,
        user_column=options.user_column,
        item_column=options.item_column,
        timestamp_column=options.timestamp_column or None,
        timestamp_unit=options.timestamp_unit,
        behaviors=label_reader(label_columns, unlabeled_cells=True),
        label_columns=label_columns,
        user_features=user_features,
        item_features=item_features,
        has_exposures=None,
    )


def read_csv(options: PreparationOptions) -> EventLog:
    """Reads comma-separated files with a header each; cells may be quoted."""
    layout = make_layout(options)
    files = read_files(find_files(options.input), Dialect(quoted=True), layout.columns)
    return read_log(files, layout, options)


def read_parquet(options: PreparationOptions) -> EventLog:
    """Reads Parquet files; a column of timestamps is taken in `options.timestamp_unit`."""
    layout = make_layout(options)
    files = _parquet_files(find_files(options.input), layout.columns, options.timestamp_unit)
    return read_log(files, layout, options)


def _parquet_files(
    paths: Sequence[str], columns: Sequence[str], timestamp_unit: str
) -> Iterator[RawRows]:
    for path in paths:
        with open_raw(path) as raw:
            # Parquet is read from its end, so the checksum is a pass of its own.
            source_file = raw.source_file()
        with filesystem.open_binary(path) as file:
            try:
                table = pyarrow.parquet.ParquetFile(pa.PythonFile(file, mode="r"))
            except pa.ArrowInvalid as error:
                raise ValueError(f"{path}: {error}") from error
            check_header(path, table.schema_arrow.names, columns)
            yield _parquet_rows(path, table, columns, timestamp_unit, source_file)


def _parquet_rows(
    path: str,
    table: pyarrow.parquet.ParquetFile,
    columns: Sequence[str],
    timestamp_unit: str,
    source_file: SourceFile,
) -> RawRows:
    def blocks() -> Iterator[tuple[dict[str, pa.Array], int]]:
        with progress(path) as bar:
            for batch in table.iter_batches(_BATCH_ROWS, columns=list(columns)):
                bar.update(batch.nbytes)
                cells = {
                    name: _as_cells(batch.column(name), timestamp_unit, f"{path}: column {name!r}")
                    for name in columns
                }
                yield cells, len(batch)

    return RawRows(path, blocks(), LineNumbers(1), [], lambda: source_file)


def _as_cells(values: pa.Array, timestamp_unit: str, origin: str) -> pa.Array:
    """Typed values as the bytes that a csv file would hold; a null is an empty cell."""
    kind = values.type
    try:
        if pa.types.is_dictionary(kind):
            return _as_cells(values.cast(kind.value_type), timestamp_unit, origin)
        if pa.types.is_timestamp(kind):
            values = values.cast(pa.timestamp(timestamp_unit, kind.tz), safe=False)
            values = values.cast(pa.int64())
        elif pa.types.is_boolean(kind):
            values = values.cast(pa.int8())
        elif pa.types.is_floating(kind):  # What integers with gaps become on many roads.
            values = pc.if_else(pc.is_nan(values), pa.scalar(None, kind), values)
            whole = pc.all(pc.equal(values, pc.trunc(values)), min_count=0).as_py()
            values = values.cast(pa.int64()) if whole else values
        if not (pa.types.is_binary(values.type) or pa.types.is_large_binary(values.type)):
            values = values.cast(pa.string())
        return values.cast(pa.binary()).fill_null(b"")
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ValueError(f"{origin} of type {kind} cannot be read: {error}") from error
