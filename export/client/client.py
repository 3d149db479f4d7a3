"""The client: one model of a server, called over gRPC."""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray

from export.client import protocol, tensors
from input_pipeline.feature import UNKNOWN_INT64, Feature

SIGNATURE = "serving_default"
# What gRPC says where a connection breaks off with a call under way, of which the server may have
# ended.
_BROKEN_OFF = re.compile(
    "Stream removed|Socket closed|Connection reset|Broken pipe|Endpoint (read|write) failed|EOF"
)
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.1, 1.0
_CHANNEL_OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
]


class CallError(OSError):
    """A call that was not answered with OK; `code` is its grpc.StatusCode."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclasses.dataclass(frozen=True)
class Input:
    """An input of a signature: its DataType number and its shape, -1 where any size will do."""

    dtype: int
    shape: tuple[int, ...]

    @classmethod
    def of(cls, feature: Feature) -> Input:
        """As `serving_default` wants the feature."""
        dtype = {"float": tensors.DT_FLOAT, "bytes": tensors.DT_STRING, "int64": 9}[feature.dtype]
        return cls(dtype, (-1, *feature.shape))

    @property
    def missing(self) -> float | int | bytes:
        """How a value that nobody knows reads: NaN, or the id of its type that no log has."""
        if self.dtype == tensors.DT_STRING:
            return b""
        is_integer = np.issubdtype(tensors.TYPES[self.dtype][0], np.integer)
        return UNKNOWN_INT64 if is_integer else float("nan")

    @classmethod
    def of_info(cls, info: Any) -> Input:
        """As a TensorInfo tells."""
        return cls(info.dtype, tuple(dim.size for dim in info.tensor_shape.dim))


@dataclasses.dataclass(frozen=True)
class Signature:
    """Inputs of a signature by name, and the names of its outputs."""

    inputs: Mapping[str, Input]
    outputs: tuple[str, ...]


class Client:
    """Calls one model of a server.

    Args:
      target: host:port of gRPC.
      model_name: the model's name there.
      timeout_seconds: for a call as a whole. Until then it is tried again while the server is
        UNAVAILABLE (it starts, or restarts), after pauses that grow to a second. A call that lost
        its server is not: what ended one server would end the next.
      version: the version to ask for; None: the newest.
      credentials: of TLS; None: without.

    Attributes:
      waited_seconds: how long calls have waited until the server could be reached, all together.
    """

    def __init__(
        self,
        target: str,
        model_name: str,
        timeout_seconds: float = 5.0,
        version: int | None = None,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        self._target = target
        self._model_name = model_name
        self._timeout_seconds = timeout_seconds
        self._version = version
        self.waited_seconds = 0.0
        if credentials is None:
            self._channel = grpc.insecure_channel(target, options=_CHANNEL_OPTIONS)
        else:
            self._channel = grpc.secure_channel(target, credentials, options=_CHANNEL_OPTIONS)
        self._calls: dict[str, Any] = {}

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection; calls under way end with CANCELLED."""
        self._channel.close()

    def _request(self, message_class: Callable[[], Any], signature: str = "") -> Any:
        request = message_class()
        request.model_spec.name = self._model_name
        request.model_spec.signature_name = signature
        if self._version is not None:
            request.model_spec.version.value = self._version
        return request

    def _call(self, method: str, request: Any, response_class: Any) -> Any:
        call = self._calls.get(method)
        if call is None:
            call = self._calls[method] = self._channel.unary_unary(
                method,
                request_serializer=type(request).SerializeToString,
                response_deserializer=response_class.FromString,
            )
        begin = time.monotonic()
        end = begin + self._timeout_seconds
        pause = _FIRST_PAUSE_SECONDS
        while True:
            last = time.monotonic()
            try:
                response = call(request, timeout=max(end - last, 1e-3))
                self.waited_seconds += last - begin
                return response
            except grpc.RpcError as error:
                code, details = error.code(), _details(error)
            is_final = code != grpc.StatusCode.UNAVAILABLE or _BROKEN_OFF.search(details)
            if is_final or time.monotonic() + pause >= end:
                raise CallError(code, self._explain(code, details, time.monotonic() - begin))
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def _explain(self, code: grpc.StatusCode, details: str, seconds: float) -> str:
        if code == grpc.StatusCode.UNAVAILABLE and _BROKEN_OFF.search(details):
            return (
                f"{self._target} was lost while it answered, and is not asked again in case the "
                f"call ended it: {details}"
            )
        if code == grpc.StatusCode.UNAVAILABLE:
            return f"no server answers at {self._target}, tried for {seconds:.1f} s: {details}"
        if code == grpc.StatusCode.DEADLINE_EXCEEDED:
            return f"{self._target} did not answer within {self._timeout_seconds:g} s: {details}"
        if code == grpc.StatusCode.NOT_FOUND:
            return f"{self._target} does not serve model {self._model_name!r}: {details}"
        return f"{self._target} answered {code.name}: {details}"

    def signatures(self) -> dict[str, Signature]:
        """What the model can be asked, by name of the signature."""
        request = self._request(protocol.GetModelMetadataRequest)
        request.metadata_field.append("signature_def")
        response = self._call(
            protocol.GET_MODEL_METADATA, request, protocol.GetModelMetadataResponse
        )
        packed = response.metadata["signature_def"].value
        return {
            name: Signature(
                {key: Input.of_info(info) for key, info in signature.inputs.items()},
                tuple(sorted(signature.outputs)),
            )
            for name, signature in protocol.SignatureDefMap.FromString(packed).signature_def.items()
        }

    def inputs(self, signature: str = SIGNATURE) -> Mapping[str, Input]:
        """The inputs that a signature wants, by name; ValueError where there is none of it."""
        signatures = self.signatures()
        if signature not in signatures:
            raise ValueError(f"signature: the model has {sorted(signatures)}, not {signature!r}")
        return signatures[signature].inputs

    def predict(
        self, inputs: Mapping[str, NDArray[Any]], signature: str = SIGNATURE
    ) -> dict[str, NDArray[Any]]:
        """The outputs of a signature by name; strings are arrays of bytes objects.

        Any signature but `classify` and `regress` may be asked. A server that batches may answer
        lists of candidates with more columns than were asked for; only the first ones are given.

        Raises:
          CallError: with the status and the message of the server, or UNAVAILABLE, or
            DEADLINE_EXCEEDED.
          ValueError: an input without rows. They are not sent: a real server ends of them where it
            fills batches up to allowed sizes.
        """
        for name, array in inputs.items():
            if np.shape(array)[:1] == (0,):
                shape = list(np.shape(array))
                raise ValueError(f"inputs: {name} must have at least one row, got shape {shape}")
        request = self._request(protocol.PredictRequest, signature)
        for name, array in inputs.items():
            tensors.encode(array, request.inputs[name])
        response = self._call(protocol.PREDICT, request, protocol.PredictResponse)
        outputs = {name: tensors.decode(tensor) for name, tensor in response.outputs.items()}
        candidates = np.shape(inputs.get("item_id", ()))[1:]  # (N,) where they are [B, N]
        if not candidates:
            return outputs
        return {name: values[:, : candidates[0]] for name, values in outputs.items()}

    def classify(
        self, examples: Sequence[bytes], signature: str = "classify"
    ) -> list[dict[str, float]]:
        """The score of every task, by name, of each serialized tf.train.Example."""
        request = self._request(protocol.ClassificationRequest, signature)
        request.input.example_list.examples.extend(examples)
        response = self._call(protocol.CLASSIFY, request, protocol.ClassificationResponse)
        return [
            {one.label: one.score for one in classes.classes}
            for classes in response.result.classifications
        ]

    def regress(self, examples: Sequence[bytes], signature: str = "regress") -> NDArray[Any]:
        """The score [B] of serialized tf.train.Examples; raises CallError."""
        request = self._request(protocol.RegressionRequest, signature)
        request.input.example_list.examples.extend(examples)
        response = self._call(protocol.REGRESS, request, protocol.RegressionResponse)
        return np.array([one.value for one in response.result.regressions], np.float32)

    def states(self) -> dict[int, str]:
        """The state of each version, e.g. {1700000000: "AVAILABLE"}."""
        request = self._request(protocol.GetModelStatusRequest)
        response = self._call(protocol.GET_MODEL_STATUS, request, protocol.GetModelStatusResponse)
        return {
            version.version: protocol.STATES[version.state].name
            for version in response.model_version_status
        }


def _details(error: grpc.RpcError) -> str:
    """The message of a call that failed, and what `export.serve` says beside it."""
    hints = [str(value) for key, value in error.trailing_metadata() or () if key == protocol.HINT]
    return ": ".join(filter(None, (error.details(), *hints)))
