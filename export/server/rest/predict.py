"""TensorFlow Serving's JSON format of Predict: rows as `instances`, or columns as `inputs`."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from typing import Any, TypeGuard

import numpy as np
from tensorflow.core.framework import tensor_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import predict_pb2

from export.client import tensors
from export.server import errors
from export.server.rest import json_values, json_writer
from export.server.rest.columns import Column
from export.server.rest.json_reader import JsonObject
from export.server.rest.json_values import Json
from export.server.rest.json_writer import Writer
from export.server.servable import DEFAULT_SIGNATURE

_PLAIN_LIST = "as multiple input tensors required as per tensorinfo_map"


def _is_named(instance: Json) -> TypeGuard[JsonObject]:
    return isinstance(instance, JsonObject) and not json_values.is_base64(instance)


def _add_to(columns: Mapping[str, Column], name: str, value: Json, where: str) -> None:
    """Adds one value of an instance, whose place is told where it is at fault."""
    try:
        if name not in columns:
            raise errors.invalid_argument(f"JSON object: does not have named input: {name}")
        columns[name].add(value)
    except errors.ServingError as error:
        raise errors.invalid_argument(
            f"{where} of 'instances' list. Error: {error.code.name}: {error.message}"
        ) from None


def _add_rows(columns: Mapping[str, Column], instances: list[Json]) -> None:
    if not isinstance(instances[0], JsonObject) and len(columns) > 1:
        raise errors.invalid_argument(
            f"instances is a plain list, but expecting list of objects {_PLAIN_LIST}"
        )
    by_name = _is_named(instances[0])
    for position, instance in enumerate(instances):
        if _is_named(instance) != by_name:
            wanted, got = ("object", "list") if by_name else ("value/list", "object")
            raise errors.invalid_argument(
                f"Expecting {wanted} but got {got} at item {position} of input list"
            )
        where = f"Failed to process element: {position}"
        if not _is_named(instance):
            _add_to(columns, next(iter(columns)), instance, where)
            continue
        names = [name.partition("\0")[0] for name, _ in instance.members()]
        for name, (_, value) in zip(names, instance.members(), strict=True):
            _add_to(columns, name, value, f"{where} key: {name}")
        if set(names) != set(columns):
            raise errors.invalid_argument(
                f"{where} of 'instances' list. JSON object: {json_writer.message(instance)} keys "
                f"must be equal to: {','.join(sorted(columns))}"
            )


def _add_columns(columns: Mapping[str, Column], values: Json) -> None:
    if not _is_named(values):
        if len(columns) > 1:
            raise errors.invalid_argument(
                f"inputs is a plain value/list, but expecting an object {_PLAIN_LIST}"
            )
        next(iter(columns.values())).add(values)
        return
    for name, column in columns.items():
        if name not in values:
            raise errors.invalid_argument(f"Missing named input: {name} in 'inputs' object.")
        try:
            column.add(values[name])
        except errors.ServingError as error:
            error.hint = f"input {name}"
            raise


def fill_request(
    body: JsonObject,
    signatures: Mapping[str, meta_graph_pb2.SignatureDef],
    request: predict_pb2.PredictRequest,
) -> None:
    """Writes a parsed body, in rows or columns, into a PredictRequest."""
    signature_name = body.get("signature_name", "")
    signature = signatures.get(signature_name or DEFAULT_SIGNATURE)
    if signature is None:
        raise errors.invalid_argument(
            f'Serving signature name: "{signature_name or DEFAULT_SIGNATURE}" not found in '
            "signature def"
        )
    request.model_spec.signature_name = signature_name
    if not signature.inputs:
        raise errors.invalid_argument(
            f"Failed to get input map for signature: {signature_name or 'DEFAULT'}"
        )
    columns = {name: Column(signature.inputs[name]) for name in sorted(signature.inputs)}
    if "instances" in body:
        instances = _instances(body)
        _add_rows(columns, instances)
    elif "inputs" in body:
        _add_columns(columns, body["inputs"])
    else:
        raise errors.invalid_argument("Missing 'inputs' or 'instances' key")
    for name, column in columns.items():
        column.write(request.inputs[name], (len(instances),) if "instances" in body else ())


def _instances(body: JsonObject) -> list[Json]:
    """The rows of a body that has some, and no columns."""
    instances = body["instances"]
    if "inputs" in body:
        fault = (
            "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist "
        )
    elif not isinstance(instances, list):
        fault = "Expecting 'instances' to be an list/array"
    elif not instances:
        fault = "No values in 'instances' array"
    else:
        return instances
    raise errors.invalid_argument(f"JSON Value: {json_writer.message(body)} {fault}")


def _values(name: str, message: tensor_pb2.TensorProto) -> tuple[list[Any], tuple[int, ...]]:
    """An output's values in order, as JSON values, and its shape."""
    shape = tensors.shape(message)
    flat = tensor_pb2.TensorProto()
    flat.CopyFrom(message)
    flat.tensor_shape.Clear()
    flat.tensor_shape.dim.add(size=math.prod(shape))
    array = tensors.decode(flat)
    if array.dtype == object and name.endswith("_bytes"):
        return [{"b64": base64.b64encode(item).decode()} for item in array], shape
    if array.dtype == object:
        return [item.decode("utf-8", "surrogateescape") for item in array], shape
    is_float = np.issubdtype(array.dtype, np.floating)
    return list(array) if is_float else array.tolist(), shape


def _nested(values: list[Any], shape: tuple[int, ...]) -> Any:
    """The values in lists of that shape."""
    for axis in range(len(shape) - 1, 0, -1):
        size, count = shape[axis], math.prod(shape[:axis])
        values = [values[n * size : (n + 1) * size] for n in range(count)]
    return values if shape else values[0]


def answer(response: predict_pb2.PredictResponse, columns: bool) -> str:
    """A PredictResponse as JSON: `predictions` of rows, or `outputs` of columns."""
    found = {name: _values(name, response.outputs[name]) for name in sorted(response.outputs)}
    writer = Writer()
    writer.open("{")
    if columns:
        plain = {name: _nested(*output) for name, output in found.items()}
        writer.name("outputs")
        writer.write(plain if len(plain) > 1 else next(iter(plain.values())))
        writer.close()
        return writer.text()
    sizes = {}
    for name, (_, shape) in found.items():
        if not shape:
            raise errors.invalid_argument(f"Tensor name: {name} has no shape information ")
        sizes[name] = shape[0]
        first = next(iter(sizes.values()))
        if shape[0] != first:
            raise errors.invalid_argument(
                f"Tensor name: {name} has inconsistent batch size: {shape[0]} expecting: {first}"
            )
    writer.name("predictions")
    writer.open("[")
    lists = {name: _nested(*output) for name, output in found.items()}
    for row in range(first):
        if len(lists) > 1:
            writer.open("{")
        writer.single_line = True
        for name, values in lists.items():
            if len(lists) > 1:
                writer.name(name)
            writer.write(values[row])
        writer.single_line = False
        if len(lists) > 1:
            writer.close()
    writer.close()
    writer.close()
    return writer.text()
