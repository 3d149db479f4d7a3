"""Many strings of bytes without a Python object each; NumPy alone, for the client reads them too.

Axes: N strings, M of them taken.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from input_pipeline.graph.ragged import offsets_of, taken
from input_pipeline.graph.stable_order import stable_order

# Strings at once, where each byte needs a place of its own: these fit in a cache.
_BLOCK = 1 << 15
_LINE_END = 10
# Strings as wide as this are copied a string at a time, longer ones a character at a time.
_WIDEST = 64
_WORD_BYTES = 8
# Characters that are counted at once; each takes eight bytes on the way.
_COUNTED = 1 << 20
# Hashes are products of words with an odd number (2^64 divided by the golden ratio), whose high
# bits, which depend on all of a word's, are folded onto the low ones.
_HASH_FACTOR, _HASH_FOLD = np.uint64(0x9E3779B97F4A7C15), np.uint64(32)


@dataclasses.dataclass(frozen=True, eq=False)
class ByteStrings:
    """N strings.

    Attributes:
      flat: uint8, the bytes of all, one string after the other.
      offsets: int64 [N + 1], from 0; string n is flat[offsets[n]:offsets[n + 1]].

    Example:

    >>> strings = ByteStrings.of([b"one", b"", b"three"])
    >>> strings[2], strings[:2].tolist()
    (b'three', [b'one', b''])
    """

    flat: NDArray[np.uint8]
    offsets: NDArray[np.int64]

    @classmethod
    def of(cls, values: Iterable[bytes]) -> ByteStrings:
        """A few strings."""
        listed = list(values)
        flat = np.frombuffer(b"".join(listed), np.uint8)
        return cls(flat, offsets_of(np.array([len(value) for value in listed], np.int64)))

    @classmethod
    def of_lines(cls, text: bytes) -> ByteStrings:
        """The lines of a text; what follows the last line break does not count."""
        characters = np.frombuffer(text, np.uint8)
        ends = np.flatnonzero(characters == _LINE_END)
        offsets = np.zeros(len(ends) + 1, np.int64)
        # Each string is shorter than its line.
        offsets[1:] = ends - np.arange(len(ends))
        flat = characters[: ends[-1] + 1] if len(ends) else characters[:0]
        return cls(flat[flat != _LINE_END], offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @overload
    def __getitem__(self, index: int | np.integer[Any]) -> bytes: ...

    @overload
    def __getitem__(self, index: slice | NDArray[Any]) -> ByteStrings: ...

    def __getitem__(
        self, index: int | np.integer[Any] | slice | NDArray[Any]
    ) -> bytes | ByteStrings:
        """One string, or several as NumPy takes them: by a slice, by places or by a mask."""
        if isinstance(index, (int, np.integer)):
            place = range(len(self))[index]
            return self.flat[self.offsets[place] : self.offsets[place + 1]].tobytes()
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step == 1:
                part = self.offsets[start : max(start, stop) + 1]
                return ByteStrings(self.flat[part[0] : part[-1]], part - part[0])
            index = np.arange(start, stop, step)
        if index.dtype == bool:
            if index.all() and len(index) == len(self):
                return self
            index = np.flatnonzero(index)
        if (index < 0).any():
            index = np.where(index < 0, index + len(self), index)
        return self._take(index)

    def _take(self, index: NDArray[Any]) -> ByteStrings:
        offsets = np.zeros(len(index) + 1, np.int64)
        blocks = [slice(start, start + _BLOCK) for start in range(0, len(index), _BLOCK)]
        for block in blocks:
            offsets[1:][block] = self.offsets[index[block] + 1] - self.offsets[index[block]]
        np.cumsum(offsets, out=offsets)
        # A string is copied with what follows it, which the next one overwrites.
        flat = np.empty(offsets[-1] + _WIDEST, np.uint8)
        for block in blocks:
            starts, bounds = self.offsets[index[block]], offsets[block.start : block.stop + 1]
            width, last = int(np.diff(bounds).max()), len(self.flat) - int(starts.max())
            if width <= min(last, _WIDEST):
                if width:
                    _windows(flat, width)[bounds[:-1]] = _windows(self.flat, width)[starts]
            else:
                characters = taken(self.offsets, index[block])[1]
                flat[bounds[0] : bounds[-1]] = self.flat[characters]
        return ByteStrings(flat[: offsets[-1]], offsets)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.tolist())

    def tolist(self) -> list[bytes]:
        """All strings as Python objects: for a few of them."""
        whole, bounds = self.flat.tobytes(), self.offsets.tolist()
        return [whole[start:end] for start, end in itertools.pairwise(bounds)]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """int64 [N], in bytes."""
        return np.diff(self.offsets)

    def lines(self) -> NDArray[np.uint8]:
        """The strings, each with a line break behind it."""
        text = np.full(len(self.flat) + len(self), _LINE_END, np.uint8)
        of_strings = np.ones(len(text), bool)
        of_strings[self.offsets[1:] + np.arange(len(self))] = False
        text[of_strings] = self.flat
        return text

    def with_any(self, characters: bytes) -> NDArray[np.int64]:
        """The places of the strings that hold one of some characters, ascending."""
        found = np.zeros(len(self.flat), bool)
        for character in characters:
            found |= self.flat == character
        places = np.searchsorted(self.offsets, np.flatnonzero(found), side="right") - 1
        return np.unique(places)

    def distinct(self) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """The distinct strings, ascending as bytes, a shorter one before those that go on from it.

        What all strings begin with is left out. Characters count by their rank among those that
        occur, 0 being the end of a string: then as many as fit in a number are compared at once.
        Where these are equal the next ones count.

        Returns:
          int64 [V]: a place of each; int32 [N]: which of them each string is.
        """
        shared = self._shared_beginning()
        used = self._occurrences() > len(self) * np.bincount(shared, minlength=256)
        ranks = np.cumsum(used).astype(np.uint16)
        base = int(used.sum()) + 1
        small = np.int32 if len(self) < 2**31 else np.int64
        order, skipped = np.arange(len(self), dtype=small), len(shared)
        # Strings that are equal so far: where they stand in the order, and the number of the group.
        tied = order.copy()
        group: NDArray[Any] = np.zeros(len(self), small)
        # Nothing is left to compare of strings that have ended: these are equal.
        while (self.lengths[order[tied]] > skipped).any():
            width = _characters(base, len(tied), int(group[-1]) + 1)
            keys = self._keys(order[tied], group, skipped, width, ranks, base)
            sorting = stable_order(keys)
            order[tied] = order[tied[sorting]]
            keys = keys[sorting]
            same = keys[1:] == keys[:-1]
            in_tie = np.append(same, False) | np.append(False, same)
            group = np.cumsum(np.append(True, ~same)[in_tie], dtype=small)
            group -= 1
            tied, skipped = tied[in_tie], skipped + width
        is_first = np.ones(len(self), bool)
        is_first[tied[1:][group[1:] == group[:-1]]] = False
        which = np.empty(len(self), np.int32)
        which[order] = np.cumsum(is_first, dtype=np.int32) - np.int32(1)
        return order[is_first].astype(np.int64), which

    def _shared_beginning(self) -> NDArray[np.uint8]:
        """The characters that all strings begin with."""
        shortest = int(self.lengths.min()) if len(self) else 0
        starts = self.offsets[:-1]
        for length in range(shortest):
            # Most often the first strings tell.
            for some in (starts[:_BLOCK], starts):
                if (self.flat[some + length] != self.flat[length]).any():
                    return self.flat[:length]
        return self.flat[:shortest]

    def _occurrences(self) -> NDArray[np.int64]:
        """How often each character occurs, [256]."""
        counts = np.zeros(256, np.int64)
        for start in range(0, len(self.flat), _COUNTED):
            counts += np.bincount(self.flat[start : start + _COUNTED], minlength=256)
        return counts

    def _keys(
        self,
        places: NDArray[Any],
        group: NDArray[Any],
        skipped: int,
        width: int,
        ranks: NDArray[Any],
        base: int,
    ) -> NDArray[np.int64]:
        """The groups of some strings and their next `width` characters as one number each."""
        keys = group.astype(np.int64)
        for start in range(0, len(places), _BLOCK):
            part = slice(start, start + _BLOCK)
            place, end = self.offsets[places[part]] + skipped, self.offsets[places[part] + 1]
            key = keys[part]
            for _ in range(width):
                key *= base
                there = place < end
                if there.all():
                    key += ranks[self.flat[place]]
                else:
                    key[there] += ranks[self.flat[place[there]]]
                place += 1
        return keys

    def hashes(self) -> NDArray[np.uint64]:
        """uint64 [N], equal for equal strings, and hardly ever for others."""
        hashes = np.empty(len(self), np.uint64)
        for start in range(0, len(self), _BLOCK):
            offsets = self.offsets[start : start + _BLOCK + 1]
            part = np.zeros(offsets[-1] - offsets[0] + _WORD_BYTES, np.uint8)
            part[:-_WORD_BYTES] = self.flat[offsets[0] : offsets[-1]]
            # From every character on the next eight, as one number: [characters + 1]
            words: NDArray[Any] = np.ndarray(len(part) - _WORD_BYTES + 1, "<u8", part, strides=(1,))
            first, left = offsets[:-1] - offsets[0], np.diff(offsets)
            found = left.astype(np.uint64)
            longer = np.flatnonzero(left > 0)
            while len(longer):
                bits = np.minimum(left[longer], _WORD_BYTES).astype(np.uint64) * np.uint64(8)
                # what follows the string is shifted out
                word = words[first[longer]] << (np.uint64(64) - bits)
                mixed = (found[longer] ^ word) * _HASH_FACTOR
                found[longer] = mixed ^ (mixed >> _HASH_FOLD)
                first[longer] += _WORD_BYTES
                left[longer] -= _WORD_BYTES
                longer = longer[left[longer] > 0]
            hashes[start : start + len(first)] = found
        return hashes


def _windows(flat: NDArray[np.uint8], width: int) -> NDArray[Any]:
    """From every character on the next ones, as one value each: [characters]."""
    return np.ndarray(len(flat) - width + 1, f"V{width}", np.ascontiguousarray(flat), strides=(1,))


def _characters(base: int, strings: int, groups: int) -> int:
    """How many characters fit in a key, beside the group, and the place that `stable_order` adds.

    At least one: a key of a group and a character fits in any case, which then sorts slower.
    """
    room = 63 - (strings - 1).bit_length() - (groups - 1).bit_length()
    width = 1
    while base ** (width + 1) <= 2**room:
        width += 1
    return width


def same_strings(left: ByteStrings, right: ByteStrings) -> NDArray[np.bool_]:
    """bool [N]: whether each string is equal to its counterpart."""
    same = left.lengths == right.lengths
    places = np.flatnonzero(same)
    ours, theirs = left[places], right[places]
    differing = offsets_of(ours.flat != theirs.flat)[ours.offsets]
    same[places] = differing[1:] == differing[:-1]
    return same
