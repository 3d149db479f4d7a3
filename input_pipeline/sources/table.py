"""Any table with a header, as csv or parquet, whose columns the flags name."""

from __future__ import annotations

from input_pipeline.features.registry import other_features
from input_pipeline.log.events import EventLog
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.sources.delimited import read_files
from input_pipeline.sources.dialect import Dialect
from input_pipeline.sources.feature_columns import FeatureColumn, parse_feature_columns
from input_pipeline.sources.headers import delimiter_character
from input_pipeline.sources.input_files import find_files
from input_pipeline.sources.layout import Layout, read_log
from input_pipeline.sources.parquet import CellWriter, read_parquet_files
from input_pipeline.sources.task_columns import parse_task_columns
from input_pipeline.spec import INPUT_OWNERS


def _features(options: PreparationOptions, tasks: tuple[str, ...]) -> tuple[FeatureColumn, ...]:
    """The columns of features of all owners."""
    taken = set(other_features(tasks, options.activity_features))
    _check_tasks(tasks, taken, "a feature of every row")
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
    _check_tasks(tasks, {feature.name for feature in found}, "one of the feature columns")
    return tuple(found)


def _check_tasks(tasks: tuple[str, ...], taken: set[str], what: str) -> None:
    """Raises ValueError where a task has the name of a feature."""
    for task in tasks:
        if task in taken:
            raise ValueError(
                f"--task_columns: task name {task!r} is reserved: it is that of {what}; give "
                "another as column:another_name"
            )


def make_layout(options: PreparationOptions) -> Layout:
    """The layout that the flags describe.

    Raises:
      ValueError: a name cannot be used, or a label is a feature too.
    """
    tasks = parse_task_columns(options)
    features = _features(options, tasks.names)
    leaks = sorted({feature.column for feature in features} & set(tasks.columns))
    if leaks:
        raise ValueError(f"--task_columns: a label must not be a feature too, got {leaks}")
    return Layout(
        tasks=tasks.names,
        user_column=options.user_column,
        item_column=options.item_column,
        timestamp_column=options.timestamp_column or None,
        timestamp_unit=options.timestamp_unit,
        behaviors=tasks.behaviors,
        label_columns=tasks.columns,
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
        encoding=options.encoding or None,
    )
    return read_log(read_files(find_files(options.input), dialect, layout.columns), layout, options)


def read_parquet(options: PreparationOptions) -> EventLog:
    """Reads Parquet files; a column of timestamps is taken in `options.timestamp_unit`."""
    layout = make_layout(options)
    separators = {f.column: f.separator for f in layout.features if f.kind == "multi"}
    ids = {f.cells for f in layout.features if f.kind in ("categorical", "multi")}
    ids |= {layout.user_column, layout.item_column}
    cells = CellWriter(options.timestamp_unit, separators, frozenset(ids))
    files = read_parquet_files(find_files(options.input), layout.columns, cells)
    return read_log(files, layout, options)
