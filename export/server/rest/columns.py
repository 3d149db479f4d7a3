"""JSON values as the tensors of a Predict request.

Axes: B rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow.core.protobuf import meta_graph_pb2

from export.server import errors, inputs
from export.server.rest import json_values, json_writer
from export.server.rest.json_reader import JsonObject
from export.server.rest.json_values import Json


class _Kind(NamedTuple):
    """How values of a tensor's type are read and kept."""

    field: str  # of a TensorProto
    accepts: Callable[[Any], bool]


def _integer(least: int, bits: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and least <= value < 1 << bits


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_INT32 = _Kind("int_val", _integer(-(2**31), 31))
_KINDS = {
    types_pb2.DT_FLOAT: _Kind("float_val", _is_number),
    types_pb2.DT_DOUBLE: _Kind("double_val", _is_number),
    **dict.fromkeys(
        (types_pb2.DT_INT32, types_pb2.DT_INT16, types_pb2.DT_INT8, types_pb2.DT_UINT8), _INT32
    ),
    types_pb2.DT_INT64: _Kind("int64_val", _integer(-(2**63), 63)),
    types_pb2.DT_UINT32: _Kind("uint32_val", _integer(0, 32)),
    types_pb2.DT_UINT64: _Kind("uint64_val", _integer(0, 64)),
    types_pb2.DT_BOOL: _Kind("bool_val", lambda value: isinstance(value, bool)),
    types_pb2.DT_STRING: _Kind("string_val", lambda value: isinstance(value, str)),
}


def _shape(value: Json) -> tuple[int, ...]:
    """Sizes of the first list of each level."""
    sizes = []
    while isinstance(value, list):
        sizes.append(len(value))
        if not value:
            break
        value = value[0]
    return tuple(sizes)


class Column:
    """The values of one input.

    Args:
      info: of the input.

    Attributes:
      shape: of the first value that was added, which every other one must have.
    """

    def __init__(self, info: meta_graph_pb2.TensorInfo) -> None:
        self._dtype = info.dtype
        self._kind = _KINDS.get(info.dtype)
        self._values: list[Any] = []
        self.shape: tuple[int, ...] | None = None

    def add(self, value: Json) -> None:
        """Adds a row; INVALID_ARGUMENT where it is not of the type, or not of one shape."""
        shape = _shape(value)
        before = len(self._values)
        if not self._add_all(value, shape):
            self._add_each(value, shape)
        size = len(self._values) - before
        if self.shape is None:
            self.shape = shape
        elif math.prod(self.shape) != size:
            raise errors.invalid_argument(
                f"Expecting tensor size: {math.prod(self.shape)} but got: {size}"
            )
        elif self.shape != shape:
            raise errors.invalid_argument(
                f"Expecting shape {_shape_text(self.shape)} but got: {_shape_text(shape)}"
            )

    def _add_all(self, value: Json, shape: tuple[int, ...]) -> bool:
        """Adds a value that has the shape and plain values of the type; else does nothing."""
        if self._kind is None:
            return False
        level: list[Any] = [value]
        for size in shape:
            if not all(type(item) is list and len(item) == size for item in level):
                return False
            level = [part for item in level for part in item]
        if not all(map(self._kind.accepts, level)):
            return False
        is_string = self._dtype == types_pb2.DT_STRING
        self._values.extend(map(json_values.to_bytes, level) if is_string else level)
        return True

    def _add_each(self, value: Json, shape: tuple[int, ...]) -> None:
        """Adds a value leaf by leaf, and tells the first that is wrong."""
        waiting: list[tuple[Json, int]] = [(value, 0)]
        while waiting:
            item, level = waiting.pop()
            if not isinstance(item, list):
                self._add_leaf(item, level, shape)
                continue
            if level >= len(shape):
                raise errors.invalid_argument(
                    f"Encountered list at unexpected level: {level} expected < {len(shape)}"
                )
            if len(item) != shape[level]:
                raise errors.invalid_argument(
                    f"Encountered list at unexpected size: {len(item)} at level: {level} "
                    f"expected size: {shape[level]}"
                )
            waiting.extend((part, level + 1) for part in reversed(item))

    def _add_leaf(self, value: Json, level: int, shape: tuple[int, ...]) -> None:
        if level != len(shape):
            raise errors.invalid_argument(
                f"JSON Value: {json_writer.message(value)} found at incorrect level: {level + 1} "
                f"in the JSON DOM. Expected at level: {len(shape)}"
            )
        if self._dtype == types_pb2.DT_STRING and isinstance(value, JsonObject):
            if not json_values.is_base64(value):
                raise errors.invalid_argument(
                    f"JSON Value: {json_writer.message(value)} not formatted correctly for base64 "
                    "data"
                )
            self._values.append(json_values.from_base64(value))
            return
        kind = inputs.type_text(self._dtype)
        if self._kind is None and not isinstance(value, JsonObject):
            raise errors.unimplemented(
                f"Conversion of JSON Value: {json_writer.message(value)} to type: {kind}"
            )
        if self._kind is None or not self._kind.accepts(value):
            raise errors.invalid_argument(
                f"JSON Value: {json_writer.message(value)} Type: {json_values.type_name(value)} "
                f"is not of expected type: {kind}"
            )
        self._values.append(json_values.to_bytes(value) if isinstance(value, str) else value)

    def write(self, message: tensor_pb2.TensorProto, rows: Sequence[int] = ()) -> None:
        """Writes the values into a TensorProto.

        Args:
          message: what to fill.
          rows: (B,) where the values are rows; () where there is one value.
        """
        shape = (*rows, *(self.shape or ()))
        message.dtype = self._dtype
        message.tensor_shape.SetInParent()
        for size in shape:
            message.tensor_shape.dim.add(size=size)
        # A name that is given twice in a row adds twice; the first values fill the tensor.
        values = self._values[: math.prod(shape)]
        assert self._kind or not values
        if self._dtype in (types_pb2.DT_FLOAT, types_pb2.DT_DOUBLE, types_pb2.DT_INT64) and values:
            double = np.array(values, np.int64 if self._dtype == types_pb2.DT_INT64 else np.float64)
            with np.errstate(over="ignore"):
                array = double.astype(np.float32) if self._dtype == types_pb2.DT_FLOAT else double
            message.tensor_content = array.tobytes()
        elif self._kind:
            getattr(message, self._kind.field).extend(values)


def _shape_text(shape: Sequence[int]) -> str:
    return f"[{','.join(map(str, shape))}]"
