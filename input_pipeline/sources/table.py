"""Any table with a header, as csv or parquet, whose columns the flags name."""

from __future__ import annotations

from input_pipeline.feature import check_name
from input_pipeline.features.registry import other_features
from input_pipeline.log.events import EventLog
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.sources.delimited import Dialect, read_files
from input_pipeline.sources.feature_columns import FeatureColumn, parse_feature_columns
from input_pipeline.sources.headers import delimiter_character
from input_pipeline.sources.input_files import find_files
from input_pipeline.sources.labels import label_reader
from input_pipeline.sources.layout import Layout, read_log
from input_pipeline.sources.parquet import CellWriter, read_parquet_files
from input_pipeline.spec import INPUT_OWNERS

_MAX_TASKS = 31


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


def _features(options: PreparationOptions, tasks: tuple[str, ...]) -> tuple[FeatureColumn, ...]:
    """The columns of features of all owners."""
    taken = set(other_features(tasks, options.activity_features))
    found: list[FeatureColumn] = []
    for owner in INPUT_OWNERS:
        flag = f"{owner}_feature_columns"
        texts = getattr(options, flag)
        for feature in parse_feature_columns(flag, owner, texts, options.multi_separator):
            if feature.name in taken:
                raise ValueError(
                    f"--{flag}: {feature.name!r} is the name of another feature of a row; give "
                    f"another as {feature.column}:name"
                )
            found.append(feature)
        taken |= {feature.name for feature in found}
    return tuple(found)


def make_layout(options: PreparationOptions) -> Layout:
    """The layout that the flags describe.

    Raises:
      ValueError: a name cannot be used, or a label is a feature too.
    """
    label_columns, tasks = _tasks(options)
    features = _features(options, tasks)
    leaks = sorted({feature.column for feature in features} & set(label_columns))
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
        features=features,
        has_exposures=None,
    )


def read_csv(options: PreparationOptions) -> EventLog:
    """Reads delimited text files, with a header each unless `options.columns` names theirs."""
    layout = make_layout(options)
    dialect = Dialect(
        names=options.columns or None,
        delimiter=delimiter_character(options.delimiter),
        quoted=options.quoted_cells,
    )
    return read_log(read_files(find_files(options.input), dialect, layout.columns), layout, options)


def read_parquet(options: PreparationOptions) -> EventLog:
    """Reads Parquet files; a column of timestamps is taken in `options.timestamp_unit`."""
    layout = make_layout(options)
    separators = {f.column: f.separator for f in layout.features if f.kind == "multi"}
    cells = CellWriter(options.timestamp_unit, separators)
    files = read_parquet_files(find_files(options.input), layout.columns, cells)
    return read_log(files, layout, options)
