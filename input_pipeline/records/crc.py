"""Cyclic redundancy checks of many byte strings at once, and of concatenations.

A CRC is linear over GF(2), so the checksum of a concatenation follows from the checksums and
lengths of its parts. That is what lets the rows of a window be framed as TFRecords without touching
their bytes again.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SEGMENT, _GROUP = 512, 128
_DIGITS = 256  # Lengths are taken apart to this base.


class Crc:
    """A reflected 32-bit CRC with the usual inversion before and after.

    Example:
      >>> hex(Crc(0x82F63B78).of_bytes(b"123456789"))
      '0xe3069283'
    """

    def __init__(self, polynomial: int):
        self._table = np.arange(256, dtype=np.uint32)
        for _ in range(8):
            odd = self._table & 1 == 1
            self._table = (self._table >> np.uint32(1)) ^ np.where(odd, polynomial, 0).astype(
                np.uint32
            )
        # [p][l] is the operator "append l * 256 ** p zero bytes", as its values on each byte of a
        # checksum.
        identity = np.arange(256, dtype=np.uint32) << np.array([[0], [8], [16], [24]], np.uint32)
        self._shifts: list[NDArray[Any]] = []
        last = identity
        for power in range(4):
            operators = np.empty((_DIGITS, 4, 256), np.uint32)
            operators[0] = identity
            for length in range(1, _DIGITS):
                operators[length] = self._step(operators[length - 1], power, last)
            last = self._step(operators[-1], power, last)
            self._shifts.append(operators)
        # [d * 256 + b]: what the byte b adds to the checksum when d bytes follow it.
        distance = np.repeat(np.arange(_SEGMENT), 256)
        self._by_distance = self._shift(np.tile(self._table, _SEGMENT), distance)

    def _step(self, crc: NDArray[Any], power: int, operator: NDArray[Any]) -> NDArray[Any]:
        """Appends 256 ** power zero bytes; `operator` does so for power > 0."""
        if power == 0:
            return (crc >> np.uint32(8)) ^ self._table[crc & np.uint32(255)]
        return _apply(operator, crc)

    def _shift(self, crc: NDArray[Any], lengths: NDArray[Any]) -> NDArray[Any]:
        """Appends `lengths` zero bytes to strings with these checksums (without the inversions)."""
        power = 0
        while True:
            crc = _apply_each(self._shifts[power], lengths & 255, crc)
            lengths = lengths >> 8
            if not lengths.any():
                return crc
            power += 1

    def combine(
        self, left: NDArray[Any], right: NDArray[Any], right_lengths: NDArray[Any]
    ) -> NDArray[Any]:
        """Checksums of left + right, uint32 [N], given those of the parts.

        `right_lengths` are in bytes, below 2^32.
        """
        return self._shift(left, right_lengths) ^ right

    def of_strings(self, data: NDArray[Any], offsets: NDArray[Any]) -> NDArray[Any]:
        """Checksums, uint32 [N], of data[offsets[n]:offsets[n + 1]].

        Args:
          data: uint8, the strings one after the other, data[offsets[0]:offsets[N]].
          offsets: int64 [N + 1].
        """
        lengths = np.diff(offsets)
        ones = np.full(len(lengths), 0xFFFFFFFF, np.uint32)
        # The inversion at the start, carried to the end of the string, and the one at the end.
        crc = self._shift(ones, lengths) ^ ones
        # Strings are cut into segments, so that the table of bytes by distance stays small.
        counts = -(-lengths // _SEGMENT)
        first = np.cumsum(counts) - counts
        string = np.repeat(np.arange(len(lengths)), counts)
        starts = offsets[string] + (np.arange(len(string)) - first[string]) * _SEGMENT
        ends = np.minimum(starts + _SEGMENT, offsets[string + 1])
        parts = self._shift(self._of_segments(data, starts, ends), offsets[string + 1] - ends)
        filled = np.flatnonzero(lengths)
        if len(filled):
            crc[filled] ^= np.bitwise_xor.reduceat(parts, first[filled])
        return crc

    def _of_segments(
        self, data: NDArray[Any], starts: NDArray[Any], ends: NDArray[Any]
    ) -> NDArray[Any]:
        """Checksums without the inversions of short adjoining segments, uint32 [N]."""
        crc = np.empty(len(starts), np.uint32)
        # So many at a time keep the index in the processor's cache.
        for group in range(0, len(starts), _GROUP):
            part = slice(group, group + _GROUP)
            low, high = int(starts[part][0]), int(ends[part][-1])
            last = np.repeat((ends[part] - low - 1).astype(np.int32), (ends - starts)[part])
            following: NDArray[Any] = last - np.arange(high - low, dtype=np.int32)
            entry = np.left_shift(following, 8) + data[low:high]
            values = self._by_distance.take(entry)
            crc[part] = np.bitwise_xor.reduceat(values, starts[part] - low)
        return crc

    def of_bytes(self, data: bytes) -> int:
        """The checksum of one short string."""
        offsets = np.array([0, len(data)], np.int64)
        return int(self.of_strings(np.frombuffer(data, np.uint8), offsets)[0])


def _apply(operator: NDArray[Any], crc: NDArray[Any]) -> NDArray[Any]:
    result = operator[0][crc & np.uint32(255)]
    for byte in range(1, 4):
        result = result ^ operator[byte][(crc >> np.uint32(8 * byte)) & np.uint32(255)]
    return result


def _apply_each(operators: NDArray[Any], which: NDArray[Any], crc: NDArray[Any]) -> NDArray[Any]:
    """Applies operators[which[n]] to crc[n]."""
    flat, base = operators.reshape(-1), which.astype(np.int64) << 10
    result = flat.take(base + (crc & np.uint32(255)))
    for byte in range(1, 4):
        result ^= flat.take(base + ((crc >> np.uint32(8 * byte)) & np.uint32(255)) + (byte << 8))
    return result


@functools.cache
def crc32c() -> Crc:
    """Castagnoli's polynomial, of TFRecord files."""
    return Crc(0x82F63B78)


@functools.cache
def crc32() -> Crc:
    """The polynomial of gzip."""
    return Crc(0xEDB88320)
