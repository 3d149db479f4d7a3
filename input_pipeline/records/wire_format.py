"""The bytes of serialized tf.train messages, columns at a time.

https://protobuf.dev/programming-guides/encoding describes them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from input_pipeline.log.byte_strings import ByteStrings
from input_pipeline.log.raw_ids import RawIds

_LENGTH_DELIMITED = 2
# Numbers at once, each of which takes ten bytes on the way.
_BLOCK = 1 << 18
# Shorter lengths are counted, not sorted.
_COUNTED = 1 << 12
# Field numbers of tf.train.Feature's lists; the values of bytes are not packed.
_KINDS = {"bytes": 1, "float": 2, "int64": 3}


def flat_bytes(data: pa.LargeBinaryArray) -> tuple[NDArray[Any], NDArray[Any]]:
    """The bytes, uint8, and offsets, int64 [N + 1], of an array of strings without offset."""
    _, offsets, values = data.buffers()
    offsets = np.frombuffer(offsets, np.int64, len(data) + 1, 8 * data.offset)
    empty = values is None or not values.size
    return (np.zeros(0, np.uint8) if empty else np.frombuffer(values, np.uint8)), offsets


def strings(flat: NDArray[Any], offsets: NDArray[Any]) -> pa.LargeBinaryArray:
    """The strings flat[offsets[n]:offsets[n + 1]]; the buffers are shared."""
    buffers = [None, pa.py_buffer(offsets.astype(np.int64)), pa.py_buffer(flat)]
    return pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(offsets) - 1, buffers)


def fixed_strings(matrix: NDArray[Any]) -> pa.LargeBinaryArray:
    """The bytes of each row of a matrix, little-endian."""
    flat = np.ascontiguousarray(matrix).view(np.uint8).reshape(-1)
    width = flat.size // len(matrix) if len(matrix) else 0
    return strings(flat, np.arange(len(matrix) + 1, dtype=np.int64) * width)


def varint(value: int) -> bytes:
    """One unsigned number as a protocol buffer varint."""
    result = bytearray()
    while value > 127:
        result.append(value & 127 | 128)
        value >>= 7
    return bytes(result) + bytes([value])


def varints(values: NDArray[Any]) -> pa.LargeBinaryArray:
    """Each int64 as a varint; negative numbers take ten bytes."""
    if len(values) > _BLOCK:
        blocks = range(0, len(values), _BLOCK)
        return pa.concat_arrays([varints(values[start : start + _BLOCK]) for start in blocks])
    unsigned = values.astype(np.int64).view(np.uint64)
    # uint64 [N, 10]: what is left from each byte on.
    rest = unsigned[:, None] >> (np.arange(10, dtype=np.uint64) * np.uint64(7))
    used = rest > 0
    used[:, 0] = True
    more = np.concatenate([used[:, 1:], np.zeros((len(values), 1), bool)], axis=1)
    digits = (rest & np.uint64(127)).astype(np.uint8) | (more.astype(np.uint8) << 7)
    offsets = np.concatenate([[0], np.cumsum(used.sum(axis=1))])
    return strings(digits[used], offsets)


def encode_values(values: RawIds) -> pa.LargeBinaryArray:
    """Each value as it stands in its list: a varint where int64, else tag, length and bytes."""
    if not isinstance(values, ByteStrings):
        return varints(values)
    heads = prefixes(values.lengths, lambda length: delimited(1, length))
    return joined(heads, strings(values.flat, values.offsets))


def delimited(field: int, length: int) -> bytes:
    """Tag and length in front of a field of that many bytes."""
    return bytes([field << 3 | _LENGTH_DELIMITED]) + varint(length)


def joined(*columns: pa.LargeBinaryArray) -> pa.LargeBinaryArray:
    """The columns' strings one after the other, row by row."""
    return pc.binary_join_element_wise(*columns, pa.scalar(b"", pa.large_binary()))


def prefixes(lengths: NDArray[Any], prefix: Callable[[int], bytes]) -> pa.LargeBinaryArray:
    """prefix(length) of each length, computed once a distinct length."""
    distinct, which = _distinct(lengths)
    table = pa.array([prefix(length) for length in distinct.tolist()], pa.large_binary())
    return table.take(pa.array(which))


def _distinct(lengths: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The distinct lengths, ascending, and which of them each is."""
    if not len(lengths) or lengths.max() >= _COUNTED:
        return np.unique(lengths, return_inverse=True)
    distinct = np.flatnonzero(np.bincount(lengths))
    numbers = np.zeros(_COUNTED, np.int64)
    numbers[distinct] = np.arange(len(distinct))
    return distinct, numbers[lengths]


def _feature_head(kind: str, length: int) -> bytes:
    """What comes before `length` bytes of values in a Feature; without any, an empty list."""
    content = varint(length) if kind == "bytes" or not length else delimited(1, length)
    if kind != "bytes" and length:
        content = varint(len(content) + length) + content
    return bytes([_KINDS[kind] << 3 | _LENGTH_DELIMITED]) + content


def feature_message(kind: str, payload: pa.LargeBinaryArray) -> pa.LargeBinaryArray:
    """Each list of values as a tf.train.Feature, [V]."""
    lengths = pc.binary_length(payload).to_numpy()
    return joined(prefixes(lengths, lambda length: _feature_head(kind, length)), payload)


def feature_entry(
    name: str, kind: str, payload: pa.LargeBinaryArray, *, optional: bool = False
) -> pa.LargeBinaryArray:
    """The map entry of a feature, [V].

    Without any bytes of values it is an empty list of its kind, or nothing where it is `optional`.
    """
    key = name.encode()

    def prefix(length: int) -> bytes:
        if optional and not length:
            return b""
        feature = _feature_head(kind, length)
        start = delimited(1, len(key)) + key + delimited(2, len(feature) + length) + feature
        return delimited(1, len(start) + length) + start

    return joined(prefixes(pc.binary_length(payload).to_numpy(), prefix), payload)


def masked(checksums: NDArray[Any]) -> NDArray[Any]:
    """TFRecord's masked checksums as bytes, uint8 [N, 4]."""
    rotated = checksums >> np.uint32(15) | checksums << np.uint32(17)
    return (rotated + np.uint32(0xA282EAD8)).astype("<u4").view(np.uint8).reshape(-1, 4)
