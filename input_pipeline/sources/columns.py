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
from absl import logging
from numpy.typing import NDArray

from input_pipeline.graph.stable_order import stable_order
from input_pipeline.log.byte_strings import ByteStrings
from input_pipeline.log.events import Categorical, CategoricalLists

_INT64 = np.iinfo(np.int64)
NUMBER = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,6})?"
# "-0", "007" and "+5" are other ids than "0", "7" and "5".
_INTEGER = "0|-?[1-9][0-9]{0,18}"
_WHOLE_FLOAT = r"-?(0|[1-9][0-9]*)\.0*|-?[0-9](\.[0-9]+)?[eE]\+?[0-9]{1,2}"
_INT64_END = 2.0**63
# Beyond it not every integer is a float: several ids may have become one.
FLOAT64_INTEGERS = 2**53
# Values whose form tells that of others.
_HEAD = 1 << 12
# What a label says, by the remainder of its place.
_WORDS = ("0", "1", "false", "true", "f", "t", "no", "yes", "n", "y")


def matches(column: pa.Array, pattern: str) -> NDArray[Any]:
    """bool [N]: whether the whole value matches the regular expression."""
    matched = pc.match_substring_regex(column, rf"\A(?:{pattern})\z")
    return matched.to_numpy(zero_copy_only=False)


def all_match(column: pa.Array, pattern: str) -> bool:
    """Whether all whole values match; of many that do not, only the first ones are looked at."""
    head = column.slice(0, _HEAD)
    return bool(matches(head, pattern).all()) and bool(matches(column.slice(_HEAD), pattern).all())


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


def trimmed(column: pa.Array) -> pa.Array:
    """The cells without blanks around them."""
    return pc.replace_substring_regex(column, r"\A[ \t]+|[ \t]+\z", "")


def parse_labels(column: pa.Array) -> tuple[NDArray[Any], NDArray[Any]]:
    """bool [N], and bool [N] of the values that are neither yes nor no.

    Numbers equal to 0 and 1, and true, false, t, f, yes, no, y and n in any case, are.
    """
    readable = matches(column, f"(?i:{NUMBER}|{'|'.join(_WORDS)})")
    cells = pc.if_else(pa.array(readable), column, pa.scalar(b"", column.type))
    cells = pc.ascii_lower(cells.cast(pa.string()))
    words = pc.index_in(cells, value_set=pa.array(_WORDS)).fill_null(-1).to_numpy()
    decimals = pa.array(matches(cells, NUMBER))
    numbers = pc.if_else(decimals, cells, pa.scalar(None, pa.string())).cast(pa.float64())
    numbers = numbers.fill_null(np.nan).to_numpy(zero_copy_only=False)
    yes = np.where(words < 0, numbers == 1, words % 2 == 1)
    return yes, (words < 0) & (numbers != 1) & (numbers != 0)


def parse_decimals(column: pa.Array) -> tuple[NDArray[Any], NDArray[Any]]:
    """float64 [N], NaN where there is none, and bool [N] of values that are none or not finite.

    Numbers are decimals, `true` and `false` in any case; empty cells and `nan` in any case say that
    there is none.
    """
    readable = matches(column, f"(?i:{NUMBER}|nan|true|false|)")
    if not readable.all():
        column = trimmed(column)
        readable = matches(column, f"(?i:{NUMBER}|nan|true|false|)")
    cells = pc.if_else(pa.array(readable), column, pa.scalar(b"", column.type))
    cells = pc.ascii_lower(cells.cast(pa.string()))
    booleans = pc.index_in(cells, value_set=pa.array(["false", "true"]))
    decimals = pa.array(matches(cells, NUMBER))
    numbers = pc.if_else(decimals, cells, pa.scalar(None, pa.string())).cast(pa.float64())
    numbers = pc.coalesce(numbers, booleans.cast(pa.float64()))
    values = numbers.fill_null(np.nan).to_numpy(zero_copy_only=False)
    return values, ~readable | np.isinf(values)


def parse_numbers(column: pa.Array) -> tuple[NDArray[Any], NDArray[Any]]:
    """float32 [N], as `parse_decimals`; what float32 cannot hold is not finite."""
    numbers, malformed = parse_decimals(column)
    with np.errstate(over="ignore"):
        values = numbers.astype(np.float32)
    return values, malformed | np.isinf(values)


def empty_cells(column: pa.Array) -> NDArray[Any]:
    """bool [N]: whether the cell is empty."""
    return pc.equal(pc.binary_length(column), 0).to_numpy(zero_copy_only=False)


def to_categorical(chunks: list[pa.DictionaryArray], column: str) -> Categorical:
    """Joins the encoded blocks of a column; int64 only if every value is canonical within int64.

    Floats are read as integers where every value that is there is a whole number.

    Args:
      chunks: the blocks; the list is emptied, for each may hold values of its own.
      column: whose values they are, for warnings.
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
    are_integers = all_match(values, _INTEGER)
    if not are_integers:
        values = _whole_floats_as_integers(values, column)
        are_integers = all_match(values, _INTEGER)
    if are_integers:
        numbers, outside = _decimals_to_int64(values)
        if not outside.any():
            first, which = _distinct(numbers)
            return Categorical(which[places], numbers[first])
    strings = _byte_strings(values)
    first, which = strings.distinct()
    return Categorical(which[places], strings[first])


def _whole_floats_as_integers(values: pa.Array, column: str) -> pa.Array:
    """The values, floats as integers where all that are not empty are whole numbers within int64.

    Tables with gaps are often written so, 108.0 for 108.
    """
    if not all_match(values, f"{_INTEGER}|{_WHOLE_FLOAT}|"):
        return values
    floats = ~(matches(values, _INTEGER) | empty_cells(values))
    if not floats.any():
        return values
    text = values.filter(pa.array(floats)).cast(pa.large_string())
    numbers = text.cast(pa.float64()).to_numpy()
    if not ((numbers == np.trunc(numbers)) & (np.abs(numbers) < _INT64_END)).all():
        return values
    stripped = pc.replace_substring_regex(text, r"\.0*$", "")
    integers = pa.array(numbers.astype(np.int64)).cast(pa.large_string())
    integers = pc.if_else(pa.array(matches(stripped, _INTEGER)), stripped, integers)
    warn_of_imprecise_ids(column, np.abs(numbers) > FLOAT64_INTEGERS, text)
    written = values.cast(pa.large_string())
    return pc.replace_with_mask(written, pa.array(floats), integers).cast(values.type)


def warn_of_imprecise_ids(column: str, imprecise: NDArray[Any], values: pa.Array) -> None:
    """Says that ids are floats so large, [N], that different ones may have become the same."""
    if imprecise.any():
        first = values[int(np.flatnonzero(imprecise)[0])].as_py()
        logging.warning(
            "column %r: %d ids are floats beyond those that hold every integer (2^53, of float32 "
            "2^24), such as %s: ids that differed may have become one before they were written; "
            "write them as integers or text",
            column,
            int(imprecise.sum()),
            first,
        )


def _distinct(numbers: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """A place of each distinct number, ascending, int64 [V], and which each is, int32 [N]."""
    # From the lowest on, as numbers that wrap around: no difference of two int64 is too large.
    keys = numbers.view(np.uint64) - numbers.min(initial=_INT64.max).view(np.uint64)
    order = stable_order(keys, keep_ties=False)
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


def to_lists(
    chunks: list[pa.DictionaryArray], separator: str, column_name: str
) -> CategoricalLists:
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
    entries = to_categorical([values], column_name)
    return CategoricalLists(codes.astype(np.int32), indptr, entries)
