"""Leaving out the users of whom the log has few lines."""

from __future__ import annotations

import dataclasses

import numpy as np

from input_pipeline.log.events import EventLog
from input_pipeline.sources.layout import select_lines
from input_pipeline.sources.remarks import LINES_OF_INACTIVE_USERS


def keep_active_users(log: EventLog, min_user_events: int) -> EventLog:
    """The lines of users with at least so many lines; the others are counted.

    Raises:
      ValueError: no user has as many.
    """
    # lines: [U], by user
    lines = np.bincount(log.user_id.codes, minlength=1)
    kept = lines[log.user_id.codes] >= min_user_events
    if kept.all():
        return log
    if not kept.any():
        raise ValueError(
            f"--min_user_events: must be at most {lines.max()}, the lines of the most active user, "
            f"got {min_user_events}"
        )
    left_out = {LINES_OF_INACTIVE_USERS: int(np.count_nonzero(~kept))}
    return dataclasses.replace(
        select_lines(log, kept), other_counts={**log.other_counts, **left_out}
    )
