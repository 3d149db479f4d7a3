import itertools
import zlib

import numpy as np

from input_pipeline.records.crc import crc32, crc32c


def test_castagnoli_check_value():
    # The check value of CRC-32C in the catalogue of parametrised CRC algorithms.
    assert crc32c().of_bytes(b"123456789") == 0xE3069283
    assert crc32c().of_bytes(b"") == 0


def test_strings_of_many_lengths_agree_with_zlib():
    random = np.random.default_rng(0)
    lengths = np.concatenate([random.integers(0, 300, 500), [0, 1, 70_000, 0]])
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    data = random.integers(0, 256, offsets[-1], dtype=np.uint8)
    raw = data.tobytes()
    expected = [zlib.crc32(raw[a:b]) for a, b in itertools.pairwise(offsets)]
    np.testing.assert_array_equal(crc32().of_strings(data, offsets), expected)


def test_combine_is_the_checksum_of_the_concatenation():
    left, right = b"macro graph ", b"of experts" * 30_000  # Beyond two digits of base 256.
    pair = [np.array([zlib.crc32(part)], np.uint32) for part in (left, right)]
    combined = crc32().combine(*pair, np.array([len(right)]))
    assert combined[0] == zlib.crc32(left + right)
