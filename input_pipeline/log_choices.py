"""What a preparation takes rows and their order to be, as told or by what the log has."""

from __future__ import annotations

from absl import logging

from input_pipeline.engines.engine import LogDescription
from input_pipeline.preparation_options import PreparationOptions


def choose_rows(log: LogDescription, preparation: PreparationOptions) -> str:
    """What a row is, as told or by what the log has.

    Raises:
      ValueError: exposures are asked for, and the log has none.
    """
    rows = preparation.rows or ("exposures" if log.has_exposures else "pairs")
    if rows == "exposures" and not log.has_exposures:
        raise ValueError(
            "--rows=exposures: needs a log of exposures, but every line has a behaviour"
        )
    return rows


def choose_split(log: LogDescription, preparation: PreparationOptions) -> str:
    """How rows are ordered into windows, as told or by what the log has."""
    without_order = log.timestamp_unit is None or log.single_time is not None
    return preparation.split or ("order" if without_order else "time")


def tell_what_order_means(log: LogDescription, preparation: PreparationOptions, split: str) -> None:
    """Says on the terminal what follows from a log without times, or with a single one."""
    if split != "order" or (log.timestamp_unit is not None and log.single_time is None):
        return
    reason = "the log has no times"
    if log.single_time is not None:
        reason = f"all lines have the time {log.single_time}"
    elif preparation.source in ("csv", "parquet", "orc", "table"):
        reason = "there is no --timestamp_column"
    windows = "--cuts cut each user's lines by their position"
    if preparation.cuts is None:
        windows = "each user's last line is test, and the one before validation"
    logging.warning(
        "%s, so that lines are ordered within each user alone, as they are in the files "
        "(--split=order): %s; rows may read what other users did later, and there are no ages "
        "(--activity_features). --split=random draws the windows instead",
        reason,
        windows,
    )
