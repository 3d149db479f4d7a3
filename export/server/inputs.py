"""The inputs of a signature: read from a request and checked as TensorFlow Serving does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow.core.protobuf import meta_graph_pb2

from export.client import tensors
from export.server import errors
from export.server.unusual import MOST_AXES_OF_ARRAYS, Parsed, Unusual


class Inputs:
    """What the inputs of a signature must be.

    Args:
      infos: TensorInfo by name.
    """

    def __init__(self, infos: Mapping[str, meta_graph_pb2.TensorInfo]) -> None:
        self._infos = dict(sorted(infos.items()))
        self._by_tensor = sorted(self._infos, key=lambda name: self._infos[name].name)
        self._shapes = {
            name: None
            if info.tensor_shape.unknown_rank
            else tuple(dim.size for dim in info.tensor_shape.dim)
            for name, info in self._infos.items()
        }

    def read(self, inputs: Mapping[str, tensor_pb2.TensorProto]) -> list[Parsed]:
        """What a request's TensorProtos hold, in the order of their names."""
        extra, missing = set(inputs) - set(self._infos), set(self._infos) - set(inputs)
        if len(inputs) != len(self._infos):
            raise errors.invalid_argument(
                f"input size does not match signature: {len(inputs)}!={len(self._infos)} "
                f"len({names_text(inputs)}) != len({names_text(self._infos)}). "
                f"Sent extra: {names_text(extra)}. Missing but required: {names_text(missing)}."
            )
        if missing:
            name = min(missing)
            raise errors.invalid_argument(
                f"Signature input alias: {name}(feed name: {self._infos[name].name}) not found in "
                "request and no default value provided. Inputs expected to be in the request "
                f"{names_text(inputs)}, or default input alias set: "
            )
        return [_parse(name, inputs[name]) for name in self._infos]

    def check_types(self, inputs: Mapping[str, tensor_pb2.TensorProto]) -> None:
        """Refuses tensors of another type, which the real server's session does in this order."""
        for position, name in enumerate(self._by_tensor):
            want, got = self._infos[name].dtype, inputs[name].dtype
            if want != got:
                raise errors.invalid_argument(
                    f"Expects arg[{position}] to be {type_text(want)} but "
                    f"{type_text(got)} is provided",
                    f"input {name}",
                )

    def have_types(self, inputs: Mapping[str, tensor_pb2.TensorProto]) -> bool:
        """Whether all tensors are of the types that the signature wants."""
        return all(inputs[name].dtype == info.dtype for name, info in self._infos.items())

    def misfits(self, arrays: Sequence[Parsed]) -> str:
        """What of the inputs' shapes is not as the signature says; empty if nothing."""
        found = [
            f"input {name} must have shape {list(want)}, got {list(array.shape)}"
            for (name, want), array in zip(self._shapes.items(), arrays, strict=True)
            if want is not None
            and (
                len(want) != array.ndim
                or any(w not in (-1, size) for w, size in zip(want, array.shape, strict=True))
            )
        ]
        batches = {
            name: array.shape[0]
            for (name, want), array in zip(self._shapes.items(), arrays, strict=True)
            if want and want[0] == -1 and array.ndim
        }
        if len(set(batches.values())) > 1:
            sizes = ", ".join(f"{name} {size}" for name, size in batches.items())
            found.append(f"inputs must have one batch size, got {sizes}")
        return ", ".join(found)


def _parse(name: str, message: tensor_pb2.TensorProto) -> Parsed:
    try:
        packed_strings = message.dtype == tensors.DT_STRING and message.tensor_content
        has_few_axes = len(message.tensor_shape.dim) <= MOST_AXES_OF_ARRAYS
        if message.dtype in tensors.TYPES and has_few_axes and not packed_strings:
            return tensors.decode(message)
        tensors.shape(message)
        parsed = tf.io.parse_tensor(message.SerializeToString(), message.dtype)
    except (ValueError, TypeError, NotImplementedError, tf.errors.OpError) as error:
        raise errors.invalid_argument(
            f"tensor parsing error: {name}", f"input {name}: {error}"
        ) from None
    try:
        array: NDArray[Any] = parsed.numpy()
        return array
    except (ValueError, TypeError, NotImplementedError, tf.errors.OpError):
        return Unusual(tuple(parsed.shape), message)


def names_text(names: Iterable[str]) -> str:
    """Names as messages list them: {a,b}."""
    return "{" + ",".join(sorted(names)) + "}"


def type_text(number: int) -> str:
    """As TensorFlow's messages write a DataType: float, not float32."""
    return str(types_pb2.DataType.Name(number)).removeprefix("DT_").lower()
