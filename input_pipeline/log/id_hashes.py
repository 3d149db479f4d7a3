"""Raw ids to the rows of a hashed table: the definition, with NumPy alone.

An id has two rows of its table, whose embeddings are summed: rows 1 + h_1(id) and 1 + h_2(id) of
R + 1. Two ids are taken for one another only where both functions agree, which of n ids some
n^2 / R^2 pairs do; one function would mix up n^2 / 2 R. Row 0, twice, belongs to the id that says
nothing: the smallest int64, or the empty string.

    int64    h_1, h_2 = floor(z_1 / 2) mod R, floor(z_2 / 2) mod R, of z_1, z_2, the first two
             numbers of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014) with the id as its seed
    strings  h_k = SipHash-2-4(id) mod R (Aumasson and Bernstein, 2012), with the keys 00 01 .. 0f
             and 10 11 .. 1f, as bytes

`mgoe_tf.layers.hashed_rows` computes the same inside a graph. Whoever writes another
implementation finds values to check it by in the tests of this module.

Axes: N ids.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from input_pipeline.feature import UNKNOWN_INT64
from input_pipeline.log.byte_strings import ByteStrings
from input_pipeline.log.keyed_random import GOLDEN_GAMMA, mix
from input_pipeline.log.raw_ids import RawIds

MOST_ROWS = 2**31 - 2
SIP_KEYS = (
    (0x0706050403020100, 0x0F0E0D0C0B0A0908),
    (0x1716151413121110, 0x1F1E1D1C1B1A1918),
)
_SIP_START = (0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573)
_WORD = 8


def hashed_rows(ids: RawIds, hash_rows: int) -> NDArray[np.int32]:
    """The two rows of each id, int32 [N, 2].

    Args:
      ids: N of them.
      hash_rows: R, from 1 to MOST_ROWS.

    >>> hashed_rows(np.array([1234567, UNKNOWN_INT64]), 1000)
    array([[659, 987],
           [  0,   0]], dtype=int32)
    """
    if not 1 <= hash_rows <= MOST_ROWS:
        raise ValueError(f"hash_rows: must be from 1 to {MOST_ROWS}, got {hash_rows}")
    if isinstance(ids, ByteStrings):
        hashes = np.stack([sip_hashes(ids, key) for key in SIP_KEYS], axis=1)
        missing = ids.lengths == 0
    else:
        hashes = split_mix(ids) >> np.uint64(1)
        missing = ids == UNKNOWN_INT64
    rows = (hashes % np.uint64(hash_rows)).astype(np.int32) + 1
    rows[missing] = 0
    return rows


def split_mix(seeds: NDArray[np.int64]) -> NDArray[np.uint64]:
    """The first two numbers of SplitMix64 for each seed, uint64 [N, 2]."""
    steps = np.array([1, 2], np.uint64) * np.uint64(GOLDEN_GAMMA)
    return mix(np.ascontiguousarray(seeds, np.int64).view(np.uint64)[:, np.newaxis] + steps)


def sip_hashes(strings: ByteStrings, key: tuple[int, int]) -> NDArray[np.uint64]:
    """SipHash-2-4 of each string, uint64 [N].

    Args:
      strings: N of them.
      key: its halves, each read with the lowest byte first.
    """
    words, counts = _words(strings)
    first = np.append(0, np.cumsum(counts))[:-1]
    keys = [np.uint64(key[place % 2]) for place in range(4)]
    starts = zip(_SIP_START, keys, strict=True)
    state = [np.full(len(strings), np.uint64(start) ^ half) for start, half in starts]
    # The longest last, so that those that have ended are a part in front.
    order = np.argsort(counts, kind="stable")
    ended = np.searchsorted(counts[order], np.arange(counts.max(initial=0)), side="right")
    for place, begin in enumerate(ended):
        word = words[first[order[begin:]] + place]
        part = [v[begin:] for v in state]
        part[3] ^= word
        _sip_rounds(part, 2)
        part[0] ^= word
    state[2] ^= np.uint64(0xFF)
    _sip_rounds(state, 4)
    hashes = np.empty(len(strings), np.uint64)
    hashes[order] = state[0] ^ state[1] ^ state[2] ^ state[3]
    return hashes


def _words(strings: ByteStrings) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """The strings in words of 8 bytes, the last of which ends in the length; how many each has."""
    counts = strings.lengths // _WORD + 1
    ends = np.cumsum(counts) * _WORD
    padded = np.zeros(ends[-1] if len(ends) else 0, np.uint8)
    moved = np.repeat(ends - counts * _WORD - strings.offsets[:-1], strings.lengths)
    padded[np.arange(len(strings.flat)) + moved] = strings.flat
    padded[ends - 1] = strings.lengths & 0xFF
    return padded.view("<u8").astype(np.uint64), counts


def _sip_rounds(state: list[NDArray[np.uint64]], rounds: int) -> None:
    """Some rounds of SipHash, in place."""
    a, b, c, d = state
    for _ in range(rounds):
        a += b
        c += d
        b[:], d[:] = _rotated(b, 13) ^ a, _rotated(d, 16) ^ c
        a[:] = _rotated(a, 32)
        c += b
        a += d
        b[:], d[:] = _rotated(b, 17) ^ c, _rotated(d, 21) ^ a
        c[:] = _rotated(c, 32)


def _rotated(words: NDArray[np.uint64], bits: int) -> NDArray[np.uint64]:
    return (words << np.uint64(bits)) | (words >> np.uint64(64 - bits))
