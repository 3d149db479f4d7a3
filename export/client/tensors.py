"""NumPy arrays to and from TensorProto messages, TensorFlow's own or those of protocol.py."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

DT_FLOAT, DT_STRING = 1, 7
# DataType -> (NumPy type, the field that holds single values)
TYPES: dict[int, tuple[type, str]] = {
    DT_FLOAT: (np.float32, "float_val"),
    2: (np.float64, "double_val"),
    3: (np.int32, "int_val"),
    DT_STRING: (np.object_, "string_val"),
    9: (np.int64, "int64_val"),
    10: (np.bool_, "bool_val"),
}
# DataType -> how `float_val` and `double_val` begin in a message, before their length
_PACKED_TAGS = {DT_FLOAT: b"\x2a", 2: b"\x32"}
_NUMBERS: dict[Any, int] = {np.dtype(kind): number for number, (kind, _) in TYPES.items()}
# A proto may claim any shape for one value; this many are at most half a gigabyte.
MAX_ELEMENTS = 1 << 26


def _write_header(array: NDArray[Any], message: Any) -> int:
    number = _NUMBERS.get(array.dtype)
    if number is None:
        raise ValueError(
            f"array: dtype must be one of {sorted(map(str, _NUMBERS))}, got {array.dtype}"
        )
    message.dtype = number
    message.tensor_shape.SetInParent()
    for size in array.shape:
        message.tensor_shape.dim.add(size=size)
    return number


def encode(array: NDArray[Any], message: Any) -> None:
    """Writes `array` (float32, float64, int32, int64, bool, or object of bytes) into a TensorProto.

    Numbers become its content, the quickest way to send them.
    """
    array = np.asarray(array)
    if _write_header(array, message) == DT_STRING:
        message.string_val.extend(array.ravel().tolist())
    else:
        message.tensor_content = np.ascontiguousarray(array).tobytes()


def encode_values(array: NDArray[Any], message: Any) -> None:
    """Writes `array` into the typed fields of a TensorProto, as TensorFlow Serving answers."""
    array = np.asarray(array)
    number = _write_header(array, message)
    if number in _PACKED_TAGS and array.size:
        # They lie in a message as they lie in memory; value by value takes ten times as long.
        content = array.astype(array.dtype.newbyteorder("<"), order="C", copy=False).tobytes()
        message.MergeFromString(_PACKED_TAGS[number] + _varint(len(content)) + content)
    else:
        getattr(message, TYPES[number][1]).extend(array.ravel().tolist())


def _varint(number: int) -> bytes:
    """A length as messages write it: seven bits a byte, the lowest first."""
    groups = []
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*groups, number])


def shape(message: Any) -> tuple[int, ...]:
    """The shape that a TensorProto claims; raises ValueError where it cannot be one.

    As TensorFlow does, it does not look at `unknown_rank`.
    """
    sizes = tuple(dim.size for dim in message.tensor_shape.dim)
    if any(size < 0 for size in sizes):
        raise ValueError(f"shape must have sizes of at least 0, got {list(sizes)}")
    # Also of an empty tensor: what is computed from it may not be empty.
    if math.prod(max(size, 1) for size in sizes) > MAX_ELEMENTS:
        raise ValueError(f"shape {list(sizes)} has more than {MAX_ELEMENTS} elements")
    return sizes


def _fill(values: Sequence[Any] | NDArray[Any], kind: type, count: int) -> NDArray[Any]:
    """The first of `values`, the last one repeated up to `count`; zeros or empty strings if none"""
    filled: NDArray[Any] = np.empty(count, kind)
    filled[: len(values)] = values[:count]
    empty = b"" if kind is np.object_ else 0
    filled[len(values) :] = values[-1] if len(values) else empty
    return filled


def decode(message: Any) -> NDArray[Any]:
    """Reads a TensorProto as TensorFlow does: its content, or its values, the last one repeated.

    Raises ValueError for a type that is not numbers or strings, a shape that is none or claims more
    than MAX_ELEMENTS, and for content of another size.
    """
    if message.dtype not in TYPES:
        raise ValueError(f"dtype must be one of {sorted(TYPES)}, got {message.dtype}")
    kind, field = TYPES[message.dtype]
    sizes = shape(message)
    count = math.prod(sizes)
    content = message.tensor_content
    if count and content and kind is not np.object_:
        if len(content) != count * np.dtype(kind).itemsize:
            raise ValueError(
                f"tensor_content must have {count * np.dtype(kind).itemsize} bytes for shape "
                f"{list(sizes)}, got {len(content)}"
            )
        return np.frombuffer(content, kind).reshape(sizes)
    return _fill(getattr(message, field), kind, count).reshape(sizes)
