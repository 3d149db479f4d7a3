"""TensorFlow Serving's REST interface: predict, status and metadata over HTTP."""

from __future__ import annotations

import functools
import http.server
import json
import re
import threading
from typing import Any

import grpc
from tensorflow_serving.apis import get_model_status_pb2, predict_pb2

from export.server import errors, rest_json
from export.server.services import as_serving_error, requested_states, requested_version
from export.server.versions import ModelVersions

_PATH = re.compile(
    r"/v1/models/(?P<model>[^/:]+)(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
    r"(?P<call>:predict|/metadata)?",
    re.IGNORECASE,
)
_HTTP_STATUS = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}
_STATE = get_model_status_pb2.ModelVersionStatus.State
_LARGEST_BODY_BYTES = 1 << 30


def _named_request(path: re.Match[str]) -> predict_pb2.PredictRequest:
    """A request whose model_spec says what the path names."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = path["model"]
    if path["label"]:
        request.model_spec.version_label = path["label"]
    if path["version"]:
        if int(path["version"]) >= 2**63:
            raise errors.invalid_argument(f"Failed to convert version: {path['version']}")
        request.model_spec.version.value = int(path["version"])
    return request


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keeps connections open

    def __init__(
        self, *arguments: Any, versions: ModelVersions, timeout_seconds: float, **kwargs: Any
    ) -> None:
        self._versions = versions
        self._timeout_seconds = timeout_seconds
        super().__init__(*arguments, **kwargs)

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def _answer(self, method: str) -> None:
        try:
            status, answer = 200, self._call(method)
        except Exception as error:  # nothing that a request does ends the server
            failure = as_serving_error(error)
            status, answer = _HTTP_STATUS.get(failure.code, 500), {"error": failure.message}
        content = json.dumps(answer, indent=1).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _call(self, method: str) -> dict[str, Any]:
        body = self._body()  # read even if the path is wrong, or it would be the next request
        path = _PATH.fullmatch(self.path)
        call = path["call"].lower() if path and path["call"] else ""
        if path is None or (method == "POST") != (call == ":predict"):
            raise errors.invalid_argument(f"Malformed request: {method} {self.path}")
        request = _named_request(path)
        if call == "":
            return self._status(request)
        with self._versions.in_use(requested_version(request, self._versions)) as servable:
            if call == "/metadata":
                return rest_json.metadata(servable, self._versions.name)
            try:
                decoded = json.loads(body)
            except (ValueError, RecursionError) as error:
                raise errors.invalid_argument(f"JSON Parse error: {error}") from None
            return rest_json.predict(servable, decoded, self._timeout_seconds)

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "0")
        if not length.isdigit() or int(length) > _LARGEST_BODY_BYTES:
            self.close_connection = True
            raise errors.invalid_argument(f"Content-Length: must be a size, got {length}")
        return self.rfile.read(int(length))

    def _status(self, request: predict_pb2.PredictRequest) -> dict[str, Any]:
        states = requested_states(request, self._versions)
        return {
            "model_version_status": [
                {
                    "version": str(version),
                    "state": _STATE.Name(state.state),
                    "status": {
                        "error_code": errors.code_of(state.code).name,
                        "error_message": state.message,
                    },
                }
                for version, state in states.items()
            ]
        }

    def log_message(self, format: str, *arguments: Any) -> None:
        """The real server logs no requests."""


class RestServer:
    """Serves REST in threads of its own.

    Args:
      address, port: where to listen.
      versions: of the model.
      timeout_seconds: until a prediction is given up.

    Raises:
      OSError: the port is taken.
    """

    def __init__(
        self, address: str, port: int, versions: ModelVersions, timeout_seconds: float
    ) -> None:
        handler = functools.partial(_Handler, versions=versions, timeout_seconds=timeout_seconds)
        try:
            self._server = http.server.ThreadingHTTPServer((address, port), handler)
        except OSError as error:
            raise OSError(f"cannot listen on {address}:{port}: {error}") from None
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="REST", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Takes no more connections."""
        self._server.shutdown()
        self._server.server_close()
