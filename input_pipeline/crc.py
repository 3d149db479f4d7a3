"""Cyclic redundancy checks of many byte strings at once, and of concatenations.

A CRC is linear over GF(2), so the checksum of a concatenation follows from the checksums and
lengths of its parts. That is what lets the rows of a window be framed as TFRecords without touching
their bytes again.
"""

from __future__ import annotations

import functools
import itertools

import numpy as np

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
        self._shifts: list[np.ndarray] = []
        last = identity
        for power in range(4):
            operators = np.empty((_DIGITS, 4, 256), np.uint32)
            operators[0] = identity
            for length in range(1, _DIGITS):
                operators[length] = self._step(operators[length - 1], power, last)
            last = self._step(operators[-1], power, last)
            self._shifts.append(operators)

    def _step(self, crc: np.ndarray, power: int, operator: np.ndarray) -> np.ndarray:
        """Appends 256 ** power zero bytes; `operator` does so for power > 0."""
        if power == 0:
            return (crc >> np.uint32(8)) ^ self._table[crc & np.uint32(255)]
        return _apply(operator, crc)

    def _shift(self, crc: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Appends `lengths` zero bytes to strings with these checksums (without the inversions)."""
        power = 0
        while True:
            crc = _apply_each(self._shifts[power], lengths & 255, crc)
            lengths = lengths >> 8
            if not lengths.any():
                return crc
            power += 1

    def combine(self, left: np.ndarray, right: np.ndarray, right_lengths: np.ndarray) -> np.ndarray:
        """Checksums of left + right, uint32 [N], given those of the parts.

        `right_lengths` are in bytes, below 2^32.
        """
        return self._shift(left, right_lengths) ^ right

    def of_strings(self, data: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """Checksums, uint32 [N], of data[offsets[n]:offsets[n + 1]].

        Args:
          data: uint8, the strings one after the other, data[offsets[0]:offsets[N]].
          offsets: int64 [N + 1].
        """
        lengths = np.diff(offsets)
        ones = np.full(len(lengths), 0xFFFFFFFF, np.uint32)
        # The inversion at the start, carried to the end of the string, and the one at the end.
        crc = self._shift(ones, lengths) ^ ones
        filled = np.flatnonzero(lengths)
        if not len(filled):
            return crc
        by_distance = self._values_by_distance(int(lengths.max()))
        # Groups of about 64 KB keep the index in the processor's cache.
        group = (offsets[filled] - offsets[0]) >> 16
        bounds = [0, *(np.flatnonzero(np.diff(group)) + 1).tolist(), len(filled)]
        for first, last in itertools.pairwise(bounds):
            part = filled[first:last]
            start, end = int(offsets[part[0]]), int(offsets[part[-1] + 1])
            ends = np.repeat((offsets[part + 1] - start - 1).astype(np.int32), lengths[part])
            following: np.ndarray = ends - np.arange(end - start, dtype=np.int32)
            entry = np.left_shift(following, 8) + data[start:end]
            crc[part] ^= np.bitwise_xor.reduceat(by_distance.take(entry), offsets[part] - start)
        return crc

    def of_bytes(self, data: bytes) -> int:
        """The checksum of one short string."""
        offsets = np.array([0, len(data)], np.int64)
        return int(self.of_strings(np.frombuffer(data, np.uint8), offsets)[0])

    def _values_by_distance(self, longest: int) -> np.ndarray:
        """uint32 [longest * 256]: what a byte adds to the checksum when so many bytes follow it."""
        distance = np.repeat(np.arange(longest, dtype=np.int64), 256)
        return self._shift(np.tile(self._table, longest), distance)


def _apply(operator: np.ndarray, crc: np.ndarray) -> np.ndarray:
    result = operator[0][crc & np.uint32(255)]
    for byte in range(1, 4):
        result = result ^ operator[byte][(crc >> np.uint32(8 * byte)) & np.uint32(255)]
    return result


def _apply_each(operators: np.ndarray, which: np.ndarray, crc: np.ndarray) -> np.ndarray:
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
