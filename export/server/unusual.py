"""Tensors that cannot be NumPy arrays: of a type that has no name there, or of many axes."""

from __future__ import annotations

import dataclasses
import math
import re
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.core.framework import graph_pb2, tensor_pb2, types_pb2
from tensorflow.core.protobuf import meta_graph_pb2

from export.client import tensors
from export.server import errors
from export.server.batching import BatchQueue

MOST_AXES_OF_ARRAYS = 32  # of NumPy; tensors may have 254
# Types that the real server's batcher cannot pad, and those that it cannot put together.
_UNPADDABLE = frozenset(
    (
        types_pb2.DT_FLOAT8_E5M2,
        types_pb2.DT_FLOAT8_E4M3FN,
        types_pb2.DT_INT4,
        types_pb2.DT_UINT4,
    )
)
_IN_COPY = re.compile(r"(?:\{\{function_node [^}]*\}\} )*(.*?\n\t \[\[.*?\]\]).*", re.DOTALL)
_UNMERGEABLE = frozenset((types_pb2.DT_RESOURCE, types_pb2.DT_VARIANT))


@dataclasses.dataclass(frozen=True)
class Unusual:
    """Such a tensor.

    Attributes:
      shape: its sizes.
      message: the TensorProto that it is.
    """

    shape: tuple[int, ...]
    message: tensor_pb2.TensorProto

    @property
    def ndim(self) -> int:
        """How many axes it has."""
        return len(self.shape)


Parsed: TypeAlias = NDArray[Any] | Unusual


def check_batch(queue: BatchQueue, parsed: Sequence[Parsed], types: Sequence[int]) -> None:
    """Refuses what the real server's batcher does before a type is looked at.

    Args:
      queue: that the request would go through.
      parsed: the tensors of a request.
      types: their DataTypes.
    """
    queue.size_of(parsed)
    for tensor, number in zip(parsed, types, strict=True):
        if queue.pads and number in _UNPADDABLE:
            raise errors.invalid_argument("Unsupported type")
        queue.check_padding([tensor.ndim])
    if not _UNMERGEABLE.isdisjoint(types):
        raise errors.internal("Tensor concat operation failed: INTERNAL: Unexpected data type")


class Runner:
    """Runs signatures on unusual tensors, which a session cannot be given as they are.

    They are given as bytes, and parsed in a copy of the graph that is made when it is first needed.
    The copy has the variables and tables of the first graph: their names among resources are the
    same.

    Args:
      session: with the loaded graph.
      graph_def: of that graph.
    """

    def __init__(self, session: tf.compat.v1.Session, graph_def: graph_pb2.GraphDef) -> None:
        self._session = session
        self._graph_def = graph_def
        self._lock = threading.Lock()  # while the graph grows
        self._calls: dict[tuple[str, ...], Callable[..., list[bytes]]] = {}

    def __call__(
        self,
        signature: meta_graph_pb2.SignatureDef,
        parsed: Sequence[Parsed],
        outputs: Sequence[str],
    ) -> list[tensor_pb2.TensorProto]:
        """The outputs of those names; `parsed` is in the order of the inputs' names."""
        feeds = [signature.inputs[name] for name in sorted(signature.inputs)]
        fetches = [signature.outputs[name].name for name in outputs]
        key = (*(info.name for info in feeds), *fetches)
        with self._lock:
            if key not in self._calls:
                self._calls[key] = self._make_call(feeds, fetches)
        arrays = [np.array(_serialized(tensor), object) for tensor in parsed]
        return [_as_values(content) for content in self._calls[key](*arrays)]

    def _make_call(
        self, feeds: Sequence[meta_graph_pb2.TensorInfo], fetches: Sequence[str]
    ) -> Callable[..., list[bytes]]:
        with self._session.graph.as_default():
            given = [tf.compat.v1.placeholder(tf.string, []) for _ in feeds]
            found = tf.graph_util.import_graph_def(
                self._graph_def,
                {
                    info.name: tf.io.parse_tensor(bytes_, info.dtype)
                    for info, bytes_ in zip(feeds, given, strict=True)
                },
                fetches,
                name="unusual",
            )
            packed = [tf.io.serialize_tensor(output) for output in found]
        call: Callable[..., list[bytes]] = self._session.make_callable(packed, feed_list=given)
        return call


def without_copy(message: str) -> str:
    """What the graph's own functions say in an error, without the names of the copy around it."""
    found = _IN_COPY.fullmatch(message)
    return found[1] if found else message


def _serialized(tensor: Parsed) -> bytes:
    """A tensor as the bytes of a TensorProto."""
    message = tensor_pb2.TensorProto()
    if isinstance(tensor, Unusual):
        message = tensor.message
    else:
        tensors.encode(tensor, message)
    content: bytes = message.SerializeToString()
    return content


def _as_values(content: bytes) -> tensor_pb2.TensorProto:
    """A serialized TensorProto with its values in typed fields, as answers have them."""
    packed = tensor_pb2.TensorProto.FromString(content)
    shape = tensor_pb2.TensorProto()
    shape.tensor_shape.CopyFrom(packed.tensor_shape)
    packed.tensor_shape.Clear()
    packed.tensor_shape.dim.add(size=math.prod(tensors.shape(shape)))
    answer = tensor_pb2.TensorProto()
    tensors.encode_values(tensors.decode(packed), answer)
    answer.tensor_shape.CopyFrom(shape.tensor_shape)
    return answer
