"""Vectorised checks and conversions of columns that were read as bytes.

A check takes a pa.Array of binary values without nulls, an empty cell being b"", and returns what
the values mean with a mask of the rows whose value is malformed; what it returns for those is
arbitrary.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from input_pipeline.log.byte_strings import ByteStrings
from input_pipeline.log.events import Categorical, CategoricalLists

_INT64 = np.iinfo(np.int64)
_NUMBER = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,6})?"
_DATE = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_TIME_OF_DAY = r"[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]{1,12})?)?"
_ZONE = "(Z|[+-][0-9]{2}(:?[0-9]{2})?)"
_CALENDAR = (-62_135_596_800, 253_402_300_799)  # seconds: the years 1 to 9999


def matches(column: pa.Array, pattern: str) -> NDArray[Any]:
    """bool [N]: whether the whole value matches the regular expression."""
    matched = pc.match_substring_regex(column, rf"\A(?:{pattern})\z")
    return matched.to_numpy(zero_copy_only=False)


def _decimals_to_int64(column: pa.Array) -> tuple[NDArray[Any], NDArray[Any]]:
    """Decimals to int64, and a mask of those outside its range."""
    text = column.cast(pa.large_string())
    try:
        return text.cast(pa.int64()).to_numpy(), np.zeros(len(column), bool)
    except pa.ArrowInvalid:  # Some value is out of range; which ones is a rare question.
        numbers = [int(value) for value in text.to_pylist()]
    outside = np.array([not _INT64.min <= number <= _INT64.max for number in numbers])
    return np.where(outside, 0, np.array(numbers, object)).astype(np.int64), outside


def parse_integers(column: pa.Array) -> tuple[NDArray[Any], NDArray[Any]]:
    """int64 [N] of decimal values, and bool [N] of those that are none or lie outside int64."""
    malformed = ~matches(column, "-?[0-9]{1,30}")
    if malformed.any():
        column = pc.if_else(pa.array(malformed), pa.scalar(b"0", column.type), column)
    numbers, outside = _decimals_to_int64(column)
    return numbers, malformed | outside


def parse_choices(
    column: pa.Array, choices: tuple[bytes, ...]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """int64 [N] of places in `choices`, and bool [N] of the values that are none of them."""
    places = pc.index_in(column, value_set=pa.array(choices, column.type))
    numbers = places.fill_null(-1).to_numpy().astype(np.int64)
    return numbers, numbers < 0


def parse_numbers(column: pa.Array) -> tuple[NDArray[Any], NDArray[Any]]:
    """float32 [N], NaN where there is none, and bool [N] of values that are none or not finite.

    Numbers are decimals, `true` and `false` in any case; empty cells and `nan` in any case say that
    there is none.
    """
    readable = matches(column, f"(?i:{_NUMBER}|nan|true|false|)")
    cells = pc.if_else(pa.array(readable), column, pa.scalar(b"", column.type))
    cells = pc.ascii_lower(cells.cast(pa.string()))
    booleans = pc.index_in(cells, value_set=pa.array(["false", "true"]))
    decimals = pa.array(matches(cells, _NUMBER))
    numbers = pc.if_else(decimals, cells, pa.scalar(None, pa.string())).cast(pa.float64())
    numbers = pc.coalesce(numbers, booleans.cast(pa.float64()))
    with np.errstate(over="ignore"):
        values = numbers.fill_null(np.nan).to_numpy(zero_copy_only=False).astype(np.float32)
    return values, ~readable | np.isinf(values)


def parse_times(column: pa.Array, unit: str) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Seconds since 1970 of integers in `unit`, `s` or `ms`, and of ISO 8601 text, in UTC.

    Text without a zone is in UTC.

    Returns:
      int64 [N], bool [N] of the empty cells, and bool [N] of those that are no time, or none of the
      years 1 to 9999.
    """
    empty = empty_cells(column)
    seconds = np.zeros(len(column), np.int64)
    of_integers = matches(column, "-?[0-9]{1,30}")
    numbers, malformed = parse_integers(column.filter(pa.array(of_integers)))
    seconds[of_integers] = numbers // (1000 if unit == "ms" else 1)
    of_text = matches(column, f"{_DATE}({_TIME_OF_DAY}{_ZONE}?)?")
    seconds[of_text], impossible = _iso_seconds(column.filter(pa.array(of_text)).cast(pa.string()))
    outside = (seconds < _CALENDAR[0]) | (seconds > _CALENDAR[1])
    outside[of_integers] |= malformed
    outside[of_text] |= impossible
    return seconds, empty, ~empty & (outside | ~(of_integers | of_text))


def _iso_seconds(text: pa.Array) -> tuple[NDArray[Any], NDArray[Any]]:
    """int64 [N] of ISO 8601, and bool [N] of times that there are not, as of 30 February."""
    whole = pc.replace_substring_regex(text, r"[.,][0-9]+", "")
    whole = pc.replace_substring_regex(whole, f"^({_DATE})$", r"\1T00:00")
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


def empty_cells(column: pa.Array) -> NDArray[Any]:
    """bool [N]: whether the cell is empty."""
    return pc.equal(pc.binary_length(column), 0).to_numpy(zero_copy_only=False)


def to_categorical(chunks: list[pa.DictionaryArray]) -> Categorical:
    """Joins the encoded blocks of a column; int64 only if every value is canonical within int64.

    Args:
      chunks: the blocks; the list is emptied, for each may hold values of its own.
    """
    values = pa.concat_arrays([chunk.dictionary.cast(pa.large_binary()) for chunk in chunks])
    # By value and block, which of the values of all blocks a line has.
    sizes = [len(chunk.dictionary) for chunk in chunks]
    starts = np.cumsum(sizes) - sizes
    places = np.concatenate(
        [
            chunk.indices.to_numpy() + np.int32(start)
            for chunk, start in zip(chunks, starts, strict=True)
        ]
    )
    chunks.clear()
    # What the pool keeps of the blocks would be held until the log is read.
    pa.default_memory_pool().release_unused()
    # "-0", "007" and "+5" are other ids than "0", "7" and "5".
    if matches(values, "0|-?[1-9][0-9]{0,18}").all():
        numbers, outside = _decimals_to_int64(values)
        if not outside.any():
            first, which = _distinct(numbers)
            return Categorical(which[places], numbers[first])
    strings = _byte_strings(values)
    first, which = strings.distinct()
    return Categorical(which[places], strings[first])


def _distinct(numbers: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """A place of each distinct number, ascending, int64 [V], and which each is, int32 [N]."""
    order = np.argsort(numbers)
    ascending = numbers[order]
    is_first = np.append(True, ascending[1:] != ascending[:-1])[: len(order)]
    which = np.empty(len(order), np.int32)
    which[order] = np.cumsum(is_first, dtype=np.int32) - np.int32(1)
    return order[is_first], which


def _byte_strings(values: pa.Array) -> ByteStrings:
    """A large_binary array without nulls; the bytes are shared."""
    _, offsets, flat = values.buffers()
    bounds = np.frombuffer(offsets, np.int64, len(values) + 1, 8 * values.offset)
    characters = np.zeros(0, np.uint8) if flat is None else np.frombuffer(flat, np.uint8)
    return ByteStrings(characters[bounds[0] : bounds[-1]], bounds - bounds[0])


def to_lists(chunks: list[pa.DictionaryArray], separator: str) -> CategoricalLists:
    """Joins the encoded blocks of a column whose cells hold several values.

    Empty parts are dropped, and a value counts once a cell, where it comes first.
    """
    column = pa.chunked_array(chunks).unify_dictionaries()
    cells = column.chunk(0).dictionary
    codes = np.concatenate([chunk.indices.to_numpy() for chunk in column.chunks])
    split = pc.split_pattern(cells, pattern=separator)
    parts = pc.dictionary_encode(split.flatten())
    # int64 [M]: the cell of each part.
    cell = np.repeat(np.arange(len(cells)), np.diff(split.offsets.to_numpy()))
    part = parts.indices.to_numpy().astype(np.int64)
    held = np.flatnonzero(~empty_cells(parts.dictionary)[part])
    key = cell[held] * len(parts.dictionary) + part[held]
    first = held[np.sort(np.unique(key, return_index=True)[1])]
    values = pc.dictionary_encode(split.flatten().take(pa.array(first)))
    indptr = np.searchsorted(cell[first], np.arange(len(cells) + 1))
    return CategoricalLists(codes.astype(np.int32), indptr, to_categorical([values]))
