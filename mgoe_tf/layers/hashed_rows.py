"""Raw ids to the rows of a hashed table, inside a graph; `input_pipeline.log.id_hashes` defines it.

Between lookup and embedding an id is one number, its code: both rows, the first in the upper half
of an int64. So whatever holds or moves rows of a vocabulary's table does the same with codes; a
code of 0 is the row that says nothing, as there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from input_pipeline.feature import UNKNOWN_INT64
from input_pipeline.log import id_hashes, keyed_random
from input_pipeline.log.raw_ids import RawIds

_HALF = 2**32


def hash_codes(ids: tf.Tensor, hash_rows: int) -> tf.Tensor:
    """The codes of raw ids, int64 or strings: int64, of the same shape."""
    if ids.dtype == tf.string:
        hashes = [
            tf.strings.to_hash_bucket_strong(ids, hash_rows, [_signed(half) for half in key])
            for key in id_hashes.SIP_KEYS
        ]
        missing = tf.strings.length(ids) == 0
    else:
        ids = tf.cast(ids, tf.int64)
        hashes = [_split_mix(ids, place) % hash_rows for place in (1, 2)]
        missing = ids == UNKNOWN_INT64
    first, second = (hashed + 1 for hashed in hashes)
    return tf.where(missing, tf.zeros_like(first), first * _HALF + second)


def _signed(number: int) -> int:
    """The int64 of the same bits."""
    return number - 2**64 if number >= 2**63 else number


def _split_mix(seeds: tf.Tensor, place: int) -> tf.Tensor:
    """Half of a number of SplitMix64, the first or the second one: int64, at least 0."""
    # int64 wraps around as uint64 does, which has fewer operations on some devices.
    numbers = seeds + _signed(place * keyed_random.GOLDEN_GAMMA % 2**64)
    for shift, factor in keyed_random.MIXING:
        numbers = (numbers ^ _shifted(numbers, shift)) * _signed(factor)
    return _shifted(numbers ^ _shifted(numbers, keyed_random.LAST_SHIFT), 1)


def _shifted(numbers: tf.Tensor, bits: int) -> tf.Tensor:
    """The bits moved to the right, zeros after them."""
    moved = tf.bitwise.right_shift(numbers, tf.constant(bits, tf.int64))
    return tf.bitwise.bitwise_and(moved, tf.constant(2 ** (64 - bits) - 1, tf.int64))


def rows_of_codes(codes: tf.Tensor) -> tf.Tensor:
    """Both rows of codes [...]: int32 [..., 2].

    >>> rows_of_codes(tf.constant([3 * 2**32 + 5, 0], tf.int64)).numpy().tolist()
    [[3, 5], [0, 0]]
    """
    codes = tf.cast(codes, tf.int64)
    return tf.cast(tf.stack([codes // _HALF, codes % _HALF], axis=-1), tf.int32)


def halves_of(codes: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """As `rows_of_codes`, of an array of codes [N]: the first rows and the second ones, [N] each"""
    return codes // _HALF, codes % _HALF


def codes_of_ids(ids: RawIds, hash_rows: int) -> NDArray[Any]:
    """As `hash_codes`, of a column of the data set: int64 [N]."""
    rows = id_hashes.hashed_rows(ids, hash_rows).astype(np.int64)
    codes: NDArray[Any] = rows[:, 0] * _HALF + rows[:, 1]
    return codes
