"""Which times a log can be of: the years that a clock tells, and those that a calendar has."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# How many of the unit are a second.
UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
# Seconds since 1970. The years that a calendar has, 1 to 9999, and those that logs are of, 1970 to
# 2099: what lies outside is another unit, or a date that stands for none.
CALENDAR = (-62_135_596_800, 253_402_300_799)
LOGGED = (0, 4_102_444_799)


def outside(times: NDArray[Any], unit: str, seconds: tuple[int, int]) -> NDArray[Any]:
    """bool [N]: whether times in `unit` lie outside of two limits in seconds, both included."""
    int64 = np.iinfo(np.int64)
    low = max(seconds[0] * UNITS[unit], int64.min)
    high = min((seconds[1] + 1) * UNITS[unit] - 1, int64.max)
    return (times < low) | (times > high)


def likely_range(times: NDArray[Any], unit: str) -> tuple[int, int] | None:
    """LOGGED where the median of the times lies in it, else CALENDAR; None: not there either."""
    median = np.quantile(times, 0.5, method="lower", keepdims=True)
    for seconds in (LOGGED, CALENDAR):
        if not outside(median, unit, seconds).any():
            return seconds
    return None
