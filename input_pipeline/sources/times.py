"""Vectorised reading of times: numbers in a unit, and ISO 8601."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from input_pipeline.log.calendar import UNITS
from input_pipeline.sources.columns import NUMBER, empty_cells, matches, parse_integers, trimmed

_DATE = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_SLASHES = "^([0-9]{4})/([0-9]{2})/([0-9]{2})"
_TIME_OF_DAY = r"[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]{1,12})?)?"
_ZONE = " ?(Z|UTC|GMT|[+-][0-9]{2}(:?[0-9]{2})?)"
_ISO = f"{_DATE}({_TIME_OF_DAY}({_ZONE})?)?"
# Digits of a fraction of a second that the unit holds.
_FRACTION_DIGITS = {"s": 0, "ms": 3, "us": 6, "ns": 9}
_INT64_END = 2.0**63


@dataclasses.dataclass(frozen=True)
class Times:
    """The times of a column.

    Attributes:
      values: int64 [N], since 1970 in UTC, in the unit asked for; arbitrary where there is none.
      missing: bool [N], the empty cells.
      malformed: bool [N], the cells that are no time.
      shortened: bool [N], where a fraction of the unit was dropped.
    """

    values: NDArray[Any]
    missing: NDArray[Any]
    malformed: NDArray[Any]
    shortened: NDArray[Any]


def parse_times(column: pa.Array, unit: str) -> Times:
    """Times as numbers in `unit`, one of UNITS, whole or not, and as ISO 8601 text.

    Text without a zone is in UTC. Of times that int64 cannot hold in the unit there are none. What
    is less than the unit is dropped: times are rounded down.
    """
    values, unread = parse_integers(column)
    missing = empty_cells(column)
    malformed, shortened = unread & ~missing, np.zeros(len(column), bool)
    rest = np.flatnonzero(malformed)
    if not len(rest):
        return Times(values, missing, malformed, shortened)
    values, cells = values.copy(), trimmed(column.take(pa.array(rest)))
    cells = pc.replace_substring_regex(cells, _SLASHES, r"\1-\2-\3")
    for pattern, read in ((NUMBER, _decimals), (_ISO, _iso)):
        told = matches(cells, pattern)
        places = rest[told]
        found = read(cells.filter(pa.array(told)).cast(pa.string()), unit)
        values[places], malformed[places], shortened[places] = found
    return Times(values, missing, malformed, shortened)


def _decimals(text: pa.Array, unit: str) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Whole units, which numbers are outside int64, and which were not whole, [N] each."""
    del unit  # numbers are in it
    numbers = text.cast(pa.float64()).to_numpy(zero_copy_only=False)
    whole = np.floor(numbers)
    outside = ~(np.abs(whole) < _INT64_END)
    return np.where(outside, 0.0, whole).astype(np.int64), outside, whole != numbers


def _iso(text: pa.Array, unit: str) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Times in `unit`, those that there are not, and those that were shortened, [N] each."""
    seconds, impossible = _iso_seconds(text)
    digits = _FRACTION_DIGITS[unit]
    shortened = matches(text, rf".*[.,][0-9]{{{digits}}}[0-9]*[1-9].*")
    impossible |= np.abs(seconds) >= _INT64_END // UNITS[unit]
    times = np.where(impossible, 0, seconds) * UNITS[unit]
    if digits:
        parts = pc.struct_field(pc.extract_regex(text, "[.,](?P<part>[0-9]+)"), "part")
        parts = pc.utf8_slice_codeunits(pc.utf8_rpad(parts, digits, "0"), 0, digits)
        times += parts.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    return times, impossible, shortened


def _iso_seconds(text: pa.Array) -> tuple[NDArray[Any], NDArray[Any]]:
    """int64 [N] of ISO 8601, and bool [N] of times that there are not, as of 30 February."""
    whole = pc.replace_substring_regex(text, r"[.,][0-9]+", "")
    whole = pc.replace_substring_regex(whole, f"^({_DATE})$", r"\1T00:00")
    whole = pc.replace_substring_regex(whole, " ?(UTC|GMT)$", "Z")
    whole = pc.replace_substring_regex(whole, " ([Z+-])", r"\1")
    whole = pc.replace_substring_regex(whole, "(:[0-9]{2})$", r"\1Z")
    # A zone ends like a time of day.
    whole = pc.replace_substring_regex(whole, "([+-][0-9]{2}:[0-9]{2})Z$", r"\1")
    kind = pa.timestamp("s", "UTC")
    try:
        return whole.cast(kind).cast(pa.int64()).to_numpy(), np.zeros(len(text), bool)
    except pa.ArrowInvalid:  # Some value is no time; which ones is a rare question.
        times = [_cast_or_none(value, kind) for value in whole]
    seconds = pa.array(times, pa.int64())
    return seconds.fill_null(0).to_numpy(), seconds.is_null().to_numpy(zero_copy_only=False)


def _cast_or_none(value: pa.Scalar, kind: pa.DataType) -> int | None:
    try:
        return value.cast(kind).cast(pa.int64()).as_py()
    except pa.ArrowInvalid:
        return None
