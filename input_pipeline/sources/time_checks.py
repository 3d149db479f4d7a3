"""Whether a log's times are likely what they are read as."""

from __future__ import annotations

from typing import Any

import numpy as np
from absl import logging
from numpy.typing import NDArray

from input_pipeline.log.calendar import LOGGED, UNITS, likely_range
from input_pipeline.sources.remarks import TIMES_OFF_CALENDAR, TIMES_OFF_LOGGED, Remarks

# Seconds since 1970, to 1971 and from 2000 on.
_YEAR_1970, _FROM_2000 = 31_536_000, 946_684_800


def time_remark(timestamps: NDArray[Any] | None, unit: str, remarks: Remarks) -> str | None:
    """The kind of remark that tells of times out of the ordinary.

    Warns of times that look like dates, or as if they were in another unit.

    Args:
      timestamps: int64 [N] in `unit`; None: there are none.
      unit: of UNITS.
      remarks: of the blocks.

    Raises:
      ValueError: most are outside the calendar, so that they are likely in another unit.
    """
    if timestamps is None:
        return None
    median = int(np.quantile(timestamps, 0.5, method="lower"))
    likely = [u for u, scale in UNITS.items() if _FROM_2000 <= median // scale <= LOGGED[1]]
    asked = f"are they in {likely[0]}?" if likely else "are they in another unit?"
    seconds = likely_range(timestamps, unit)
    if seconds is None:
        (remark,) = remarks.of(TIMES_OFF_CALENDAR).values()
        raise ValueError(
            f"--timestamp_unit={unit}: the median timestamp {median} is outside the years 1 to "
            f"9999, as are {remark.count:,} timestamps: {remark}; {asked}"
        )
    if _are_dates(timestamps):
        logging.warning(
            "timestamps such as %d look like dates: they are read as numbers of %s, which order "
            "lines as the dates do, but are times in 1970; write dates as 2024-01-31",
            timestamps[0],
            unit,
        )
    elif 0 <= median // UNITS[unit] < _YEAR_1970 and likely:
        logging.warning(
            "--timestamp_unit=%s: the median timestamp %d is a time in 1970; %s",
            unit,
            median,
            asked,
        )
    return TIMES_OFF_LOGGED if seconds == LOGGED else TIMES_OFF_CALENDAR


def _are_dates(timestamps: NDArray[Any]) -> bool:
    """Whether all are year, month and day as eight digits."""
    if timestamps.min() < 1900_01_01 or timestamps.max() > 2100_12_31:
        return False
    month, day = timestamps // 100 % 100, timestamps % 100
    return bool(((month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)).all())
