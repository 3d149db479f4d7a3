"""What the whole log holds: events by day, and what is in its columns of features."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from input_pipeline.log.calendar import LOGGED, UNITS, likely_range, outside
from input_pipeline.log.raw_ids import as_array
from input_pipeline.log.vocabulary import Column, ListsColumn

_SECONDS_OF_DAY = 86_400
# Of a log that is of no usual time; a drawing reaches beyond its first and last day.
_DRAWN = (-50_000_000_000, 240_000_000_000)  # seconds: about the years 385 to 9575
# Logs have a few events with broken clocks, which would hide the other days.
_SHOWN_DAYS = (0.001, 0.999)
_SHOWN_NUMBERS = (0.005, 0.995)
_TOP = 5
_BINS = 24


@dataclasses.dataclass(frozen=True)
class IdsStatistics:
    """A feature that holds ids, over all events.

    Attributes:
      name, owner: of the feature.
      size: how many ids there are.
      missing: the share of events that tell none, or the empty one.
      frequent: the most frequent ids and their shares of the events.
      lengths: of lists, how many events have 0, 1, 2, ... ids; None: every event has one.
    """

    name: str
    owner: str
    size: int
    missing: float
    frequent: tuple[tuple[int | bytes, float], ...]
    lengths: NDArray[Any] | None = None

    @classmethod
    def of(cls, name: str, owner: str, column: Column, num_events: int) -> IdsStatistics:
        """Counts a column of the log."""
        counts, lengths = column.counts(num_events, len(column.values)), None
        if isinstance(column, ListsColumn):
            of_cells = np.diff(column.indptr)[column.cells]
            missing, lengths = int((of_cells == 0).sum()), np.bincount(of_cells)
        else:
            missing = int((column.rows < 0).sum())
            if not isinstance(column.values, np.ndarray):
                missing += int(counts[column.values.lengths == 0].sum())
        top = np.argsort(-counts, kind="stable")[:_TOP]
        shares = (counts[top] / num_events).tolist()
        frequent = tuple(zip(as_array(column.values[top]).tolist(), shares, strict=True))
        return cls(name, owner, len(column.values), missing / num_events, frequent, lengths)


@dataclasses.dataclass(frozen=True)
class NumbersStatistics:
    """A feature that is a number, or one of those that it lists.

    Attributes:
      name, owner: of the feature.
      over: what the values are of.
      missing: the share of those that have none.
      low, median, high: NaN where there are no values.
      histogram: counts in bins between two quantiles; what lies outside is in the outermost ones.
    """

    name: str
    owner: str
    over: str
    missing: float
    low: float
    median: float
    high: float
    histogram: NDArray[Any]

    @classmethod
    def of(cls, name: str, owner: str, over: str, values: NDArray[Any]) -> NumbersStatistics:
        """Of values [N]; NaN is missing."""
        there = values[~np.isnan(values)]
        missing = 1 - len(there) / max(1, len(values))
        if not len(there):
            return cls(name, owner, over, missing, *(np.nan,) * 3, np.zeros(0, np.int64))
        low, median, high = np.quantile(there, (0.0, 0.5, 1.0)).tolist()
        shown = np.clip(there, *np.quantile(there, _SHOWN_NUMBERS))
        histogram = np.histogram(shown, bins=_BINS)[0]
        return cls(name, owner, over, missing, low, median, high, histogram)


@dataclasses.dataclass(frozen=True)
class LogStatistics:
    """The whole log.

    Attributes:
      by_day: days (datetime64[D], UTC) and events by task and day, [T, days]; None without a
        clock, or where no event has a time of the calendar.
      ids, numbers: the columns of features.
    """

    by_day: tuple[NDArray[Any], NDArray[Any]] | None
    ids: tuple[IdsStatistics, ...]
    numbers: tuple[NumbersStatistics, ...]


def events_by_day(
    timestamps: NDArray[Any], behaviors: NDArray[Any], unit: str, num_tasks: int
) -> tuple[NDArray[Any], NDArray[Any]] | None:
    """Days and events by task and day, without the first and the last 0.1 % of the events.

    Times outside the calendar are left out before; None: that leaves no event.

    Args:
      timestamps: int64 [N], in `unit`, one of UNITS.
      behaviors: uint32 [N]; bit t is set where the event shows task t.
      unit: of time.
      num_tasks: T.
    """
    limits = LOGGED if likely_range(timestamps, unit) == LOGGED else _DRAWN
    told = ~outside(timestamps, unit, limits)
    if not told.any():
        return None
    timestamps, behaviors = timestamps[told], behaviors[told]
    all_days = timestamps // (_SECONDS_OF_DAY * UNITS[unit])
    low, high = (np.quantile(all_days, share) for share in _SHOWN_DAYS)
    shown = (all_days >= low) & (all_days <= high)
    days, day = np.unique(all_days[shown], return_inverse=True)
    counts = [
        np.bincount(
            day[((behaviors[shown] >> np.uint32(bit)) & np.uint32(1)) == 1], minlength=len(days)
        )
        for bit in range(num_tasks)
    ]
    return days.astype("datetime64[D]"), np.array(counts)
