"""Hashes of ids against published values, plain Python and what TensorFlow computes."""

import numpy as np
import pytest

from input_pipeline.feature import UNKNOWN_INT64
from input_pipeline.log.byte_strings import ByteStrings
from input_pipeline.log.id_hashes import SIP_KEYS, hashed_rows, sip_hashes, split_mix

MASK = 2**64 - 1
# for rows among 1,000,000, and for whoever implements them elsewhere
GOLDEN_STRINGS = [b"", b"u1", b"video/0123", b"\xff\x00 \xe4\xb8\xad" * 7]
GOLDEN_INTEGERS = [UNKNOWN_INT64, -1, 0, 1, 1234567, 2**63 - 1]


def plain_split_mix(seed: int) -> list[int]:
    state, found = seed & MASK, []
    for _ in range(2):
        state = state + 0x9E3779B97F4A7C15 & MASK
        z = state
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK
        z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK
        found.append(z ^ z >> 31)
    return found


def plain_sip_hash(text: bytes, key: tuple[int, int]) -> int:
    def rotated(word, bits):
        return (word << bits | word >> 64 - bits) & MASK

    v = [0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573]
    v = [start ^ key[place % 2] for place, start in enumerate(v)]

    def rounds(count):
        for _ in range(count):
            v[0] = v[0] + v[1] & MASK
            v[1] = rotated(v[1], 13) ^ v[0]
            v[0] = rotated(v[0], 32)
            v[2] = v[2] + v[3] & MASK
            v[3] = rotated(v[3], 16) ^ v[2]
            v[0] = v[0] + v[3] & MASK
            v[3] = rotated(v[3], 21) ^ v[0]
            v[2] = v[2] + v[1] & MASK
            v[1] = rotated(v[1], 17) ^ v[2]
            v[2] = rotated(v[2], 32)

    padded = text + bytes(7 - len(text) % 8) + bytes([len(text) % 256])
    for start in range(0, len(padded), 8):
        word = int.from_bytes(padded[start : start + 8], "little")
        v[3] ^= word
        rounds(2)
        v[0] ^= word
    v[2] ^= 0xFF
    rounds(4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def test_published_values():
    # Rosetta Code's "Pseudo-random numbers/Splitmix64"
    np.testing.assert_array_equal(
        split_mix(np.array([1234567])), [[6457827717110365317, 3203168211198807973]]
    )
    # the example of the appendix of the paper on SipHash
    (found,) = sip_hashes(ByteStrings.of([bytes(range(15))]), SIP_KEYS[0])
    assert int(found) == 0xA129CA6149BE45E5


def test_as_plain_python():
    random = np.random.default_rng(0)
    texts = [random.bytes(size) for size in (*range(40), 255, 256, 300)]
    for key in SIP_KEYS:
        expected = [plain_sip_hash(text, key) for text in texts]
        assert sip_hashes(ByteStrings.of(texts), key).tolist() == expected
    seeds = random.integers(-(2**63), 2**63 - 1, 50, endpoint=True)
    assert split_mix(seeds).tolist() == [plain_split_mix(seed) for seed in seeds.tolist()]


def test_golden_rows():
    rows = hashed_rows(ByteStrings.of(GOLDEN_STRINGS), 1_000_000)
    assert rows.dtype == np.int32
    assert rows.tolist() == [[0, 0], [221305, 395575], [380496, 586440], [634098, 343029]]
    assert hashed_rows(np.array(GOLDEN_INTEGERS), 1_000_000).tolist() == [
        *([0, 0], [221969, 944485], [303768, 177851]),
        *([411233, 214260], [182659, 403987], [176020, 345124]),
    ]


def test_collisions_of_both_are_rare():
    ids = np.arange(100_000)
    rows = hashed_rows(ids, 10_000)
    assert rows.min() == 1
    assert rows.max() == 10_000
    # n^2 / R^2 = 100 pairs of ids share both rows, in either order; nearly all share one
    shared = len(ids) - len(np.unique(np.sort(rows, axis=1), axis=0))
    assert 60 < shared < 145
    counts = np.bincount(rows.ravel())[1:]
    assert 0.9 < counts.var() / counts.mean() < 1.1  # as of independent throws


def test_refusals():
    for rows in (0, 2**31 - 1):
        with pytest.raises(
            ValueError, match=f"hash_rows: must be from 1 to 2147483646, got {rows}"
        ):
            hashed_rows(np.arange(3), rows)
