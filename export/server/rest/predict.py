"""TensorFlow Serving's JSON format of Predict: rows as `instances`, or columns as `inputs`."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from typing import Any, TypeAlias, TypeGuard

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.core.framework import tensor_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import predict_pb2

from export.client import tensors
from export.server import errors
from export.server.rest import json_values
from export.server.rest.json_values import Json
from export.server.servable import DEFAULT_SIGNATURE

_Leaf: TypeAlias = bool | int | float | bytes
_INTEGERS = {"int64": 63, "int32": 31}  # bits of the largest one
_FLOATS = {"float32": 24, "float64": 53}  # bits of the mantissa


def _shape(value: Json) -> tuple[int, ...]:
    if not isinstance(value, list):
        return ()
    return (len(value), *(_shape(value[0]) if value else ()))


def _type_error(value: Json, kind: str) -> errors.ServingError:
    return errors.invalid_argument(
        f"JSON Value: {json_values.text(value)} Type: {json_values.type_name(value)} is not of "
        f"expected type: {kind}"
    )


def _convert(value: Json, dtype: tf.DType) -> _Leaf:
    """A leaf of a nested list as a value of that type."""
    kind = {"float32": "float", "float64": "double"}.get(dtype.name, dtype.name)
    if dtype == tf.string and isinstance(value, str):
        return value.encode()
    if dtype == tf.string and isinstance(value, dict):
        if not json_values.is_base64(value):
            raise errors.invalid_argument(
                f"JSON Value: {json_values.text(value)} not formatted correctly for base64 data"
            )
        return json_values.from_base64(value)
    if isinstance(value, bool):
        if dtype == tf.bool:
            return value
    elif isinstance(value, int | float) and dtype.name in _FLOATS:
        json_values.check_lossless(value, _FLOATS[dtype.name], kind)
        return value
    elif isinstance(value, int) and dtype.name in _INTEGERS:
        largest = 1 << _INTEGERS[dtype.name]
        if -largest <= value < largest:
            return value
    raise _type_error(value, kind)


def _leaves(
    value: Json, shape: tuple[int, ...], level: int, dtype: tf.DType, found: list[_Leaf]
) -> None:
    """Appends the values of a nested list of that shape; INVALID_ARGUMENT where it has another."""
    if not isinstance(value, list):
        if level != len(shape):
            raise errors.invalid_argument(
                f"JSON Value: {json_values.text(value)} found at incorrect level: {level + 1} in "
                f"the JSON DOM. Expected at level: {len(shape)}"
            )
        found.append(_convert(value, dtype))
        return
    if level >= len(shape):
        raise errors.invalid_argument(
            f"Encountered list at unexpected level: {level} expected < {len(shape)}"
        )
    if len(value) != shape[level]:
        raise errors.invalid_argument(
            f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: "
            f"{shape[level]}"
        )
    for item in value:
        _leaves(item, shape, level + 1, dtype, found)


class _Column:
    """The values of one input."""

    def __init__(self, info: meta_graph_pb2.TensorInfo) -> None:
        self._dtype = tf.dtypes.as_dtype(info.dtype)
        self._values: list[_Leaf] = []
        self._shape: tuple[int, ...] | None = None
        self._count = 0

    def add(self, value: Json) -> None:
        """Adds a row, which must have the shape of those before it."""
        shape = _shape(value)
        before = len(self._values)
        _leaves(value, shape, 0, self._dtype, self._values)
        self._count += 1
        if self._shape is None:
            self._shape = shape
        elif math.prod(self._shape) != len(self._values) - before:
            raise errors.invalid_argument(
                f"Expecting tensor size: {math.prod(self._shape)} but got: "
                f"{len(self._values) - before}"
            )
        elif self._shape != shape:
            raise errors.invalid_argument(
                f"Expecting shape {_shape_text(self._shape)} but got: {_shape_text(shape)}"
            )

    def write(self, message: tensor_pb2.TensorProto, rows: bool) -> None:
        """Writes the rows, or the only row by itself, into a TensorProto."""
        shape = self._shape or ()
        array = np.array(self._values, self._dtype.as_numpy_dtype)
        tensors.encode(array.reshape((self._count, *shape) if rows else shape), message)


def _shape_text(shape: tuple[int, ...]) -> str:
    return f"[{','.join(map(str, shape))}]"


def _is_named(instance: Json) -> TypeGuard[dict[str, Json]]:
    return isinstance(instance, dict) and not json_values.is_base64(instance)


def _add_row(columns: Mapping[str, _Column], position: int, instance: Json) -> None:
    """Adds an instance, whose place in the list is told where it is at fault."""
    where = f"Failed to process element: {position}"
    named = instance if _is_named(instance) else {next(iter(columns)): instance}
    for name, value in named.items():
        key = f" key: {name}" if named is instance else ""
        try:
            if name not in columns:
                raise errors.invalid_argument(f"JSON object: does not have named input: {name}")
            columns[name].add(value)
        except errors.ServingError as error:
            raise errors.invalid_argument(
                f"{where}{key} of 'instances' list. Error: {error.code.name}: {error.message}"
            ) from None
    if set(named) != set(columns):
        raise errors.invalid_argument(
            f"{where} of 'instances' list. JSON object: {json_values.text(instance)} keys must be "
            f"equal to: {','.join(sorted(columns))}"
        )


def _add_rows(columns: Mapping[str, _Column], instances: list[Json]) -> None:
    if not isinstance(instances[0], dict) and len(columns) > 1:
        raise errors.invalid_argument(
            "instances is a plain list, but expecting list of objects as multiple input tensors "
            "required as per tensorinfo_map"
        )
    for position, instance in enumerate(instances):
        if _is_named(instance) != _is_named(instances[0]):
            wanted, got = (
                ("object", "list") if _is_named(instances[0]) else ("value/list", "object")
            )
            raise errors.invalid_argument(
                f"Expecting {wanted} but got {got} at item {position} of input list"
            )
        _add_row(columns, position, instance)


def _add_columns(columns: Mapping[str, _Column], values: Json) -> None:
    if not _is_named(values):
        if len(columns) > 1:
            raise errors.invalid_argument(
                "inputs is a plain value/list, but expecting an object as multiple input tensors "
                "required as per tensorinfo_map"
            )
        values = {next(iter(columns)): values}
    for name, column in columns.items():
        if name not in values:
            raise errors.invalid_argument(f"Missing named input: {name} in 'inputs' object.")
        try:
            column.add(values[name])
        except errors.ServingError as error:
            raise errors.invalid_argument(f"{error.message}: input {name}") from None


def _plain(name: str, array: NDArray[Any]) -> Json:
    """An output as JSON values, nested lists of them."""
    if array.dtype == object and name.endswith("_bytes"):
        flat: list[Any] = [{"b64": base64.b64encode(item).decode()} for item in array.ravel()]
    elif array.dtype == object:
        flat = [item.decode(errors="replace") for item in array.ravel()]
    elif array.dtype == np.float32:
        flat = [json_values.plain_float(item) for item in array.ravel().tolist()]
    else:
        nested: Json = array.tolist()
        return nested
    filled = np.empty(array.size, object)
    filled[:] = flat
    nested = filled.reshape(array.shape).tolist()
    return nested


def fill_request(
    body: dict[str, Json],
    signatures: Mapping[str, meta_graph_pb2.SignatureDef],
    request: predict_pb2.PredictRequest,
) -> None:
    """Writes a parsed body, in rows or columns, into a PredictRequest."""
    signature_name = str(body.get("signature_name", ""))
    request.model_spec.signature_name = signature_name
    signature = signatures.get(signature_name or DEFAULT_SIGNATURE)
    if signature is None:
        raise errors.invalid_argument(
            f'Serving signature name: "{signature_name or DEFAULT_SIGNATURE}" not found in '
            "signature def"
        )
    if not signature.inputs:
        raise errors.invalid_argument(
            f"Failed to get input map for signature: {signature_name or 'DEFAULT'}"
        )
    columns = {name: _Column(signature.inputs[name]) for name in sorted(signature.inputs)}
    if "instances" in body and "inputs" in body:
        raise errors.invalid_argument(
            f"JSON Value: {json_values.text(body)} Not formatted correctly expecting only one "
            "of 'inputs' or 'instances' keys to exist "
        )
    if "inputs" in body:
        _add_columns(columns, body["inputs"])
    elif "instances" not in body:
        raise errors.invalid_argument("Missing 'inputs' or 'instances' key")
    elif not isinstance(body["instances"], list):
        raise errors.invalid_argument(
            f"JSON Value: {json_values.text(body)} Excepting 'instances' to be an list/array"
        )
    elif not body["instances"]:
        raise errors.invalid_argument(
            f"JSON Value: {json_values.text(body)} No values in 'instances' array"
        )
    else:
        _add_rows(columns, body["instances"])
    for name, column in columns.items():
        column.write(request.inputs[name], rows="instances" in body)


def answer(response: predict_pb2.PredictResponse, columns: bool) -> dict[str, Json]:
    """A PredictResponse as JSON values: `predictions` of rows, or `outputs` of columns."""
    arrays = {name: tensors.decode(response.outputs[name]) for name in sorted(response.outputs)}
    plain = {name: _plain(name, array) for name, array in arrays.items()}
    only = next(iter(plain.values())) if len(plain) == 1 else None
    if columns:
        return {"outputs": plain if only is None else only}
    size: int | None = None
    for name, array in arrays.items():
        if not array.ndim:
            raise errors.invalid_argument(f"Tensor name: {name} has no shape information ")
        if size not in (None, len(array)):
            raise errors.invalid_argument(
                f"Tensor name: {name} has inconsistent batch size: {len(array)} expecting: {size}"
            )
        size = len(array)
    rows: list[Json] = [
        dict(zip(plain, row, strict=True)) for row in zip(*plain.values(), strict=True)
    ]
    return {"predictions": rows if only is None else only}
