"""Raw ids as a column: int64, or strings of bytes; as lines of text, and found by their value.

NumPy alone, for the client reads them too. Axes: N ids.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from input_pipeline.log.byte_strings import ByteStrings, same_strings

# int64 [N], or N strings of bytes.
RawIds: TypeAlias = "NDArray[np.int64] | ByteStrings"

_BLOCK = 1 << 16
_DIGITS = 19  # of the largest int64
_ZERO, _MINUS, _LINE_END = 48, 45, 10


def dtype_of(ids: RawIds) -> str:
    """`int64` or `bytes`."""
    return "bytes" if isinstance(ids, ByteStrings) else "int64"


def to_lines(ids: RawIds) -> bytes:
    """One id a line, integers as decimals."""
    if isinstance(ids, ByteStrings):
        return ids.lines().tobytes()
    blocks = (ids[start : start + _BLOCK] for start in range(0, len(ids), _BLOCK))
    return b"".join(_decimal_lines(block) for block in blocks)


def _decimal_lines(numbers: NDArray[np.int64]) -> bytes:
    # Of int64 itself the smallest has no positive counterpart.
    rest = np.where(numbers < 0, np.uint64(0) - numbers.view(np.uint64), numbers.view(np.uint64))
    # [N, sign, digits and line end], from the right
    text = np.empty((len(numbers), _DIGITS + 2), np.uint8)
    text[:, -1] = _LINE_END
    length = np.ones(len(numbers), np.int64)
    for place in range(_DIGITS):
        rest, digit = np.divmod(rest, np.uint64(10))
        text[:, _DIGITS - place] = digit + _ZERO
        length += rest > 0
    negative = numbers < 0
    text[negative, _DIGITS - length[negative]] = _MINUS
    first = _DIGITS + 1 - length - negative
    return text[np.arange(_DIGITS + 2) >= first[:, np.newaxis]].tobytes()


def from_lines(text: bytes, dtype: str, origin: str) -> RawIds:
    """Reads `to_lines`.

    Raises:
      ValueError: a line is not the decimal of an int64; names `origin` and the line.
    """
    lines = ByteStrings.of_lines(text)
    if dtype == "bytes":
        return lines
    numbers = np.empty(len(lines), np.int64)
    for start in range(0, len(lines), _BLOCK):
        part = lines[start : start + _BLOCK]
        found, wrong = _numbers(part)
        if wrong.any():
            line = int(np.flatnonzero(wrong)[0])
            raise ValueError(
                f"{origin}, line {start + line + 1}: must be a decimal integer within int64, got "
                f"{part[line]!r}"
            )
        numbers[start : start + len(part)] = found
    return numbers


def _numbers(lines: ByteStrings) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """int64 [N], and bool [N] of the lines that are no canonical decimals of int64."""
    starts, ends = lines.offsets[:-1], lines.offsets[1:]
    size = np.zeros(len(lines), np.uint64)
    filled = np.flatnonzero(ends > starts)
    negative = np.zeros(len(lines), bool)
    negative[filled] = lines.flat[starts[filled]] == _MINUS
    digits = ends - starts - negative
    wrong = (digits < 1) | (digits > _DIGITS)
    for place in range(_DIGITS, 0, -1):
        there = np.flatnonzero((digits >= place) & ~wrong)
        digit = lines.flat[ends[there] - place] - np.uint8(_ZERO)
        wrong[there] |= digit > 9  # others than digits wrap around
        size[there] = size[there] * np.uint64(10) + digit
    wrong |= size > np.uint64(2**63 - 1) + negative.astype(np.uint64)
    size = np.where(negative, np.uint64(0) - size, size)
    return size.view(np.int64), wrong


class IdIndex:
    """Finds ids by their value: by binary search of integers, or of the hashes of strings.

    Args:
      ids: distinct.
    """

    def __init__(self, ids: RawIds):
        self._ids = ids
        keys = ids.hashes() if isinstance(ids, ByteStrings) else ids
        self._order = np.argsort(keys)
        self._keys = keys[self._order]

    def rows(self, wanted: NDArray[Any]) -> NDArray[np.int64]:
        """int64 [N]: the place of each id, -1 of those that are not there.

        Args:
          wanted: [N], int64, or object of bytes.
        """
        if not len(self._order):
            return np.full(len(wanted), -1)
        if not isinstance(self._ids, ByteStrings):
            place = np.minimum(np.searchsorted(self._keys, wanted), len(self._order) - 1)
            return np.where(self._keys[place] == wanted, self._order[place], -1)
        strings = ByteStrings.of(wanted.tolist())
        hashes = strings.hashes()
        rows = np.full(len(wanted), -1)
        # Different strings may share a hash: then the next place with it is looked at.
        open_ids, place = np.arange(len(wanted)), np.searchsorted(self._keys, hashes)
        while True:
            inside = place < len(self._keys)
            open_ids, place = open_ids[inside], place[inside]
            candidate = self._keys[place] == hashes[open_ids]
            open_ids, place = open_ids[candidate], place[candidate]
            if not len(open_ids):
                return rows
            found = same_strings(self._ids[self._order[place]], strings[open_ids])
            rows[open_ids[found]] = self._order[place[found]]
            open_ids, place = open_ids[~found], place[~found] + 1


def as_array(ids: RawIds) -> NDArray[Any]:
    """A few ids as an array [N] that holds them: int64, or object of bytes."""
    if not isinstance(ids, ByteStrings):
        return ids
    array = np.empty(len(ids), object)
    array[:] = ids.tolist()
    return array
