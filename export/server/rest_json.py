"""TensorFlow Serving's JSON formats: predict in rows or columns, and metadata."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import get_model_metadata_pb2

from export import tensors
from export.server import errors
from export.server.servable import DEFAULT_SIGNATURE

_JSON_TYPES: dict[str, tuple[type, ...]] = {
    "int64": (int,),
    "int32": (int,),
    "float32": (int, float),
    "float64": (int, float),
    "bool": (bool,),
}


def _shape(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list):
        return ()
    return (len(value), *(_shape(value[0]) if value else ()))


def _leaves(name: str, value: Any, shape: tuple[int, ...]) -> list[Any]:
    """The values of a nested list of that shape; raises INVALID_ARGUMENT where it has another."""
    if not shape:
        if isinstance(value, list):
            raise errors.invalid_argument(f"{name}: lists must be equally deep, got {value}")
        return [value]
    if not isinstance(value, list) or len(value) != shape[0]:
        raise errors.invalid_argument(
            f"{name}: every list must have {shape[0]} values, as the first, got {value}"
        )
    return [leaf for item in value for leaf in _leaves(name, item, shape[1:])]


def _convert(name: str, value: Any, dtype: tf.DType) -> Any:
    if dtype == tf.string:
        if isinstance(value, str):
            return value.encode()
        if isinstance(value, dict) and list(value) == ["b64"] and isinstance(value["b64"], str):
            try:
                return base64.b64decode(value["b64"], validate=True)
            except ValueError:
                raise errors.invalid_argument(f"{name}: unable to base64 decode") from None
    elif isinstance(value, _JSON_TYPES.get(dtype.name, ())) and (
        dtype == tf.bool or not isinstance(value, bool)
    ):
        return value
    raise errors.invalid_argument(
        f"{name}: JSON value {json.dumps(value)} is not of expected type {dtype.name}"
    )


def _encode(name: str, value: Any, info: Any, message: Any) -> None:
    """Writes a nested list of JSON values into a TensorProto of the input's type."""
    dtype = tf.dtypes.as_dtype(info.dtype)
    shape = _shape(value)
    leaves = [_convert(name, leaf, dtype) for leaf in _leaves(name, value, shape)]
    try:
        tensors.encode(np.array(leaves, dtype.as_numpy_dtype).reshape(shape), message)
    except OverflowError:
        raise errors.invalid_argument(f"{name}: a number is out of range of {dtype.name}") from None


def _is_named(instance: Any) -> bool:
    return isinstance(instance, dict) and list(instance) != ["b64"]


def _columns(body: Mapping[str, Any], input_names: list[str]) -> dict[str, Any]:
    """The nested lists by input name of a request in either format."""
    if ("instances" in body) == ("inputs" in body):
        raise errors.invalid_argument("the request must have either 'instances' or 'inputs'")
    values = body.get("instances", body.get("inputs"))
    if "inputs" in body:
        if _is_named(values):
            return values
    elif not isinstance(values, list) or not values:
        raise errors.invalid_argument("'instances' must be a list of at least one value")
    elif _is_named(values[0]):
        names = set(values[0])
        for instance in values:
            if not _is_named(instance) or set(instance) != names:
                raise errors.invalid_argument(
                    f"every instance must have the inputs {sorted(names)}"
                )
        return {name: [instance[name] for instance in values] for name in names}
    if len(input_names) != 1:
        raise errors.invalid_argument(f"the inputs must be named: {input_names}")
    return {input_names[0]: values}


def _plain(name: str, array: np.ndarray) -> Any:
    """An output as JSON values, nested lists of them."""
    if array.dtype == object:
        flat = [
            {"b64": base64.b64encode(item).decode()}
            if name.endswith("_bytes")
            else item.decode(errors="replace")
            for item in array.ravel()
        ]
        return np.array(flat, object).reshape(array.shape).tolist()
    if array.dtype == np.float32:  # as text, so that 0.1 is not written as 0.10000000149
        return array.astype("U").astype(np.float64).tolist()
    return array.tolist()


def fill_request(body: Any, signatures: Mapping[str, Any], request: Any) -> None:
    """Writes a decoded body, in rows or columns, into a PredictRequest."""
    if not isinstance(body, dict):
        raise errors.invalid_argument("the request must be a JSON object")
    signature_name = body.get("signature_name", DEFAULT_SIGNATURE)
    if not isinstance(signature_name, str):
        raise errors.invalid_argument("'signature_name' key must be a string value.")
    if signature_name not in signatures:
        raise errors.invalid_argument(
            f'Serving signature name: "{signature_name}" not found in signature def'
        )
    request.model_spec.signature_name = signature_name
    infos = signatures[signature_name].inputs
    for name, value in _columns(body, sorted(infos)).items():
        if name not in infos:
            raise errors.invalid_argument(f"JSON object: does not have named input: {name}")
        _encode(name, value, infos[name], request.inputs[name])


def answer(response: Any, columns: bool) -> dict[str, Any]:
    """A PredictResponse as JSON values: `predictions` of rows, or `outputs` of columns."""
    arrays = {name: tensors.decode(response.outputs[name]) for name in sorted(response.outputs)}
    plain = {name: _plain(name, array) for name, array in arrays.items()}
    only = next(iter(plain.values())) if len(plain) == 1 else None
    if columns:
        return {"outputs": plain if only is None else only}
    sizes = {name: len(array) if array.ndim else 0 for name, array in arrays.items()}
    if len(set(sizes.values())) > 1 or not all(sizes.values()):
        raise errors.invalid_argument(
            f"outputs must have one batch size of at least 1, got {sizes}"
        )
    rows = [dict(zip(plain, row, strict=True)) for row in zip(*plain.values(), strict=True)]
    return {"predictions": rows if only is None else only}


def _tensor_info(info: Any) -> dict[str, Any]:
    dims = [{"size": str(dim.size), "name": dim.name} for dim in info.tensor_shape.dim]
    return {
        "dtype": types_pb2.DataType.Name(info.dtype),
        "tensor_shape": {"dim": dims, "unknown_rank": info.tensor_shape.unknown_rank},
        "name": info.name,
    }


def metadata(response: Any) -> dict[str, Any]:
    """A GetModelMetadataResponse as JSON values."""
    packed = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(packed)
    signatures = {
        name: {
            "inputs": {key: _tensor_info(info) for key, info in signature.inputs.items()},
            "outputs": {key: _tensor_info(info) for key, info in signature.outputs.items()},
            "method_name": signature.method_name,
        }
        for name, signature in packed.signature_def.items()
    }
    spec = {
        "name": response.model_spec.name,
        "signature_name": "",
        "version": str(response.model_spec.version.value),
    }
    return {"model_spec": spec, "metadata": {"signature_def": {"signature_def": signatures}}}
