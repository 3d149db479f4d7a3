"""Scores candidates for a user: python -m export.client --data_dir=DIR --user_id=ID

Raw ids in, ranked candidates out: the features of the ids are joined from the graph of a data set
directory and sent to the signature `serving_default` of TensorFlow Serving or of `export.serve`.
Needs grpcio, protobuf and NumPy only.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import grpc
import numpy as np

from export import protocol, tensors
from export.snapshot import GraphSnapshot
from input_pipeline.spec import Feature

SIGNATURE = "serving_default"
LARGEST_REQUEST = 1024  # rows; a server that batches refuses more than its max_batch_size
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.1, 1.0
_CHANNEL_OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
]


class CallError(Exception):
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
        dtype = {"float": 1, "bytes": tensors.DT_STRING, "int64": 9}[feature.dtype]
        return cls(dtype, (-1,) if feature.length is None else (-1, feature.length))


class Client:
    """Calls one model of a server.

    Args:
      target: host:port of gRPC.
      model_name: the model's name there.
      timeout_seconds: for a call as a whole. Until then it is tried again while the server is
        UNAVAILABLE (it starts, or restarts), after pauses that grow to a second.
      version: the version to ask for; None: the newest.
    """

    def __init__(
        self,
        target: str,
        model_name: str,
        timeout_seconds: float = 5.0,
        version: int | None = None,
    ) -> None:
        self._target = target
        self._model_name = model_name
        self._timeout_seconds = timeout_seconds
        self._version = version
        self._channel = grpc.insecure_channel(target, options=_CHANNEL_OPTIONS)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        self._channel.close()

    def _request(self, message_class: Callable[[], Any], signature: str = "") -> Any:
        request = message_class()
        request.model_spec.name = self._model_name
        request.model_spec.signature_name = signature
        if self._version is not None:
            request.model_spec.version.value = self._version
        return request

    def _call(self, method: str, request: Any, response_class: Any) -> Any:
        call = self._channel.unary_unary(
            method,
            request_serializer=type(request).SerializeToString,
            response_deserializer=response_class.FromString,
        )
        end = time.monotonic() + self._timeout_seconds
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                return call(request, timeout=max(end - time.monotonic(), 1e-3))
            except grpc.RpcError as error:
                code, details = error.code(), error.details()
            if code != grpc.StatusCode.UNAVAILABLE or time.monotonic() + pause >= end:
                raise CallError(code, self._explain(code, details))
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def _explain(self, code: grpc.StatusCode, details: str) -> str:
        if code == grpc.StatusCode.UNAVAILABLE:
            return f"no server answers at {self._target}: {details}"
        if code == grpc.StatusCode.DEADLINE_EXCEEDED:
            return f"{self._target} did not answer within {self._timeout_seconds:g} s: {details}"
        if code == grpc.StatusCode.NOT_FOUND:
            return f"{self._target} does not serve model {self._model_name!r}: {details}"
        return f"{self._target} answered {code.name}: {details}"

    def inputs(self, signature: str = SIGNATURE) -> dict[str, Input]:
        """The inputs that a signature wants, by name."""
        request = self._request(protocol.GetModelMetadataRequest)
        request.metadata_field.append("signature_def")
        response = self._call(
            protocol.GET_MODEL_METADATA, request, protocol.GetModelMetadataResponse
        )
        packed = response.metadata["signature_def"].value
        signatures = protocol.SignatureDefMap.FromString(packed).signature_def
        if signature not in signatures:
            raise ValueError(f"signature: the model has {sorted(signatures)}, not {signature!r}")
        return {
            name: Input(info.dtype, tuple(dim.size for dim in info.tensor_shape.dim))
            for name, info in signatures[signature].inputs.items()
        }

    def predict(
        self, inputs: Mapping[str, np.ndarray], signature: str = SIGNATURE
    ) -> dict[str, np.ndarray]:
        """The outputs of a signature by name; strings are arrays of bytes objects.

        Raises:
          CallError: with the status and the message of the server, or UNAVAILABLE, or
            DEADLINE_EXCEEDED.
        """
        request = self._request(protocol.PredictRequest, signature)
        for name, array in inputs.items():
            tensors.encode(array, request.inputs[name])
        response = self._call(protocol.PREDICT, request, protocol.PredictResponse)
        return {name: tensors.decode(tensor) for name, tensor in response.outputs.items()}

    def states(self) -> dict[int, str]:
        """The state of each version, e.g. {1700000000: "AVAILABLE"}."""
        request = self._request(protocol.GetModelStatusRequest)
        response = self._call(protocol.GET_MODEL_STATUS, request, protocol.GetModelStatusResponse)
        return {
            version.version: protocol.STATES[version.state].name
            for version in response.model_version_status
        }


def join(
    snapshot: GraphSnapshot, user_id: np.ndarray, item_ids: np.ndarray, wanted: Mapping[str, Input]
) -> dict[str, np.ndarray]:
    """The features of one user [1] with each of N candidates [N], as `serving_default` wants them.

    Raises:
      ValueError: where the data set is not of the kind that the model was trained on: a feature
        that it does not have, or one of another width.
    """
    names = list(wanted)
    user = snapshot.features("user", user_id, names)
    item = snapshot.features("item", item_ids, names)
    rows = {name: np.repeat(value, len(item_ids), axis=0) for name, value in user.items()} | item
    for name, spec in wanted.items():
        if name not in rows:
            raise ValueError(f"data_dir: the model reads {name}, which the data set does not have")
        shape = [-1, *rows[name].shape[1:]]
        if list(spec.shape) != shape:
            raise ValueError(
                f"data_dir: the model reads {name} with shape {list(spec.shape)}, the data set has "
                f"{shape}: another data set, or prepared with other flags, than the model's"
            )
    return rows


def rank(
    client: Client, snapshot: GraphSnapshot, user_id: np.ndarray, item_ids: np.ndarray
) -> dict[str, np.ndarray]:
    """Scores of N candidates, best first: `item_id`, `score` and one array a task, [N] each."""
    wanted = client.inputs()
    answers = [
        client.predict(join(snapshot, user_id, item_ids[start : start + LARGEST_REQUEST], wanted))
        for start in range(0, len(item_ids), LARGEST_REQUEST)
    ]
    outputs = {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}
    order = np.argsort(-outputs["score"], kind="stable")
    return {"item_id": item_ids[order]} | {name: out[order] for name, out in outputs.items()}


def _table(ranked: Mapping[str, np.ndarray], tasks: Sequence[str], top: int) -> str:
    def text(item_id: Any) -> str:
        return item_id.decode(errors="replace") if isinstance(item_id, bytes) else str(item_id)

    columns = ["score", *tasks]
    width = max([7, *(len(text(item_id)) for item_id in ranked["item_id"][:top])])
    lines = [f"rank  {'item_id':<{width}}  " + "  ".join(f"{name:>9}" for name in columns)]
    for position, item_id in enumerate(ranked["item_id"][:top]):
        numbers = "  ".join(f"{ranked[name][position]:9.6f}" for name in columns)
        lines.append(f"{position + 1:>4}  {text(item_id):<{width}}  {numbers}")
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    # argparse, not absl, which is no dependency of a client
    parser = argparse.ArgumentParser(
        prog="python -m export.client",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--target", default="localhost:8500", help="host:port of gRPC (default: %(default)s)"
    )
    parser.add_argument(
        "--model_name", default="mgoe", help="the model's name on the server (default: %(default)s)"
    )
    parser.add_argument("--data_dir", required=True, help="data set whose graph is joined")
    parser.add_argument(
        "--snapshot", default="latest", help="which graph of the data set (default: %(default)s)"
    )
    parser.add_argument("--user_id", required=True, help="raw id of the user")
    parser.add_argument("--item_ids", help="raw ids of the candidates, separated by commas")
    parser.add_argument("--candidates", help="file with a raw item id on each line")
    parser.add_argument(
        "--popular",
        type=int,
        default=100,
        help="without candidates: this many popular items (default: %(default)s)",
    )
    parser.add_argument(
        "--top",
        type=int,
        default=10,
        help="how many are printed, best first (default: %(default)s)",
    )
    parser.add_argument(
        "--timeout_seconds",
        type=float,
        default=5.0,
        help="for a call, waiting for a server that is not up yet included (default: %(default)s)",
    )
    parser.add_argument("--version", type=int, help="of the model; default: the newest")
    return parser


def _candidates(options: argparse.Namespace, snapshot: GraphSnapshot) -> np.ndarray:
    for name in ("top", "popular"):
        if getattr(options, name) < 1:
            raise ValueError(f"--{name}: must be at least 1, got {getattr(options, name)}")
    if options.item_ids is not None:
        return snapshot.parse_ids("item", options.item_ids.split(","))
    if options.candidates is None:
        return snapshot.popular_items(options.popular)
    with open(options.candidates, encoding="utf-8") as file:
        lines = file.read().splitlines()
    if not lines:
        raise ValueError(f"--candidates: {options.candidates} is empty")
    return snapshot.parse_ids("item", lines)


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    try:
        snapshot = GraphSnapshot(options.data_dir, options.snapshot)
        user_id = snapshot.parse_ids("user", [options.user_id])
        item_ids = _candidates(options, snapshot)
        with Client(
            options.target, options.model_name, options.timeout_seconds, version=options.version
        ) as client:
            ranked = rank(client, snapshot, user_id, item_ids)
    except (ValueError, OSError, CallError) as error:
        sys.exit(f"export.client: {error}")
    for owner, ids in (("user", user_id), ("item", item_ids)):
        unknown = int((snapshot.rows(owner, ids) < 0).sum())
        if unknown:
            print(f"{unknown} {owner}(s) unknown to the graph are scored as cold", file=sys.stderr)
    print(_table(ranked, snapshot.spec.task_names, options.top))


if __name__ == "__main__":
    main()
