"""Raw logs in their formats; every source turns its files into the same table, an EventLog."""

from __future__ import annotations

from collections.abc import Callable

from input_pipeline.log.events import EventLog
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.sources import movielens, table, taobao, tenrec
from input_pipeline.sources.active_users import keep_active_users
from input_pipeline.sources.synthetic import planted_log
from input_pipeline.spec import INPUT_OWNERS

_OF_TABLES = (
    *(f"{owner}_feature_columns" for owner in INPUT_OWNERS),
    "task_columns",
    "event_column",
    "implicit_task",
    "timestamp_column",
)
SOURCES: dict[str, Callable[[PreparationOptions], EventLog]] = {
    "taobao": taobao.read,
    "tenrec_qb_video": tenrec.read_qb_video,
    "tenrec_qk_article": tenrec.read_qk_article,
    "movielens": movielens.read,
    "csv": table.read_csv,
    "parquet": table.read_parquet,
    "synthetic": planted_log.read,
}
# Read by engines of their own means.
OF_ENGINES = ("orc", "table")


def read_events(options: PreparationOptions) -> EventLog:
    """Reads the log that `options.source` and `options.input` name.

    Raises:
      ValueError: the source is unknown, nothing is there to read, a file lacks a column, or too
        many lines are malformed; the message names the flag, or the file, line, column and value.
    """
    if options.source in OF_ENGINES:
        raise ValueError(
            f"--source: {options.source} is read by --engine=spark, got --engine={options.engine}"
        )
    if options.source not in SOURCES:
        raise ValueError(f"--source: must be one of {list(SOURCES)}, got {options.source!r}")
    for flag in ("delimiter", "columns", "encoding"):
        if getattr(options, flag) and options.source != "csv":
            raise ValueError(
                f"--{flag}: only csv has {flag} to name, got "
                f"--source={options.source}, which knows its own"
            )
    for flag in _OF_TABLES:
        if getattr(options, flag) and options.source not in ("csv", "parquet"):
            raise ValueError(
                f"--{flag}: only csv and parquet have columns to name, got "
                f"--source={options.source}, whose columns are fixed"
            )
    for flag in ("time_from", "time_to"):
        if getattr(options, flag) and options.source == "synthetic":
            raise ValueError(f"--{flag}: is for logs that are read, got --source=synthetic")
    return keep_active_users(SOURCES[options.source](options), options.min_user_events)
