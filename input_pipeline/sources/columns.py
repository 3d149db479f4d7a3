"""Vectorised checks and conversions of columns that were read as bytes.

A check takes a pa.Array of binary values without nulls, an empty cell being b"", and returns what
the values mean with a mask of the rows whose value is malformed; what it returns for those is
arbitrary.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from input_pipeline.log.events import Categorical

_INT64 = np.iinfo(np.int64)


def matches(column: pa.Array, pattern: str) -> np.ndarray:
    """bool [N]: whether the whole value matches the regular expression."""
    matched = pc.match_substring_regex(column, rf"\A(?:{pattern})\z")
    return matched.to_numpy(zero_copy_only=False)


def _decimals_to_int64(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Decimals to int64, and a mask of those outside its range."""
    text = column.cast(pa.string())
    try:
        return text.cast(pa.int64()).to_numpy(), np.zeros(len(column), bool)
    except pa.ArrowInvalid:  # Some value is out of range; which ones is a rare question.
        numbers = [int(value) for value in text.to_pylist()]
    outside = np.array([not _INT64.min <= number <= _INT64.max for number in numbers])
    return np.where(outside, 0, np.array(numbers, object)).astype(np.int64), outside


def parse_integers(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """int64 [N] of decimal values, and bool [N] of those that are none or lie outside int64."""
    malformed = ~matches(column, "-?[0-9]{1,30}")
    if malformed.any():
        column = pc.if_else(pa.array(malformed), pa.scalar(b"0", column.type), column)
    numbers, outside = _decimals_to_int64(column)
    return numbers, malformed | outside


def parse_choices(column: pa.Array, choices: tuple[bytes, ...]) -> tuple[np.ndarray, np.ndarray]:
    """int64 [N] of places in `choices`, and bool [N] of the values that are none of them."""
    places = pc.index_in(column, value_set=pa.array(choices, column.type))
    numbers = places.fill_null(-1).to_numpy().astype(np.int64)
    return numbers, numbers < 0


def empty_cells(column: pa.Array) -> np.ndarray:
    """bool [N]: whether the cell is empty."""
    return pc.equal(pc.binary_length(column), 0).to_numpy(zero_copy_only=False)


def to_categorical(chunks: list[pa.DictionaryArray]) -> Categorical:
    """Joins the encoded blocks of a column; int64 only if every value is canonical within int64."""
    column = pa.chunked_array(chunks).unify_dictionaries()
    values = column.chunk(0).dictionary
    codes = np.concatenate([chunk.indices.to_numpy() for chunk in column.chunks])
    # "-0", "007" and "+5" are other ids than "0", "7" and "5".
    if matches(values, "0|-?[1-9][0-9]{0,18}").all():
        numbers, outside = _decimals_to_int64(values)
        if not outside.any():
            order = np.argsort(numbers)
            return Categorical(_ranks(order)[codes], numbers[order])
    order = pc.sort_indices(values).to_numpy()  # As bytes: unsigned, the shorter of equals first.
    raw = values.take(pa.array(order)).to_numpy(zero_copy_only=False)
    return Categorical(_ranks(order)[codes], raw)


def _ranks(order: np.ndarray) -> np.ndarray:
    ranks = np.empty(len(order), np.int32)
    ranks[order] = np.arange(len(order), dtype=np.int32)
    return ranks
