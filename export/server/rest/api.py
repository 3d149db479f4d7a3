"""TensorFlow Serving's REST interface: predict, classify, regress, status, metadata, metrics."""

from __future__ import annotations

import functools
import gzip
import http.server
import json
import re
import threading
import urllib.parse
import zlib
from collections.abc import Iterator
from typing import Any

import grpc
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    predict_pb2,
    regression_pb2,
)

from export.server import errors
from export.server.models import Models
from export.server.monitoring import Metrics
from export.server.rest import examples as rest_examples
from export.server.rest import json_text as rest_json
from export.server.rest import values as rest_values
from export.server.services import (
    Inference,
    as_serving_error,
    counted,
    model_metadata,
    model_status,
)

_PATH = re.compile(
    r"/v1/models(?:/(?P<model>[^/:]+))?(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
    r"(?P<call>:predict|:classify|:regress|/metadata)?",
    re.IGNORECASE,
)
_HTTP_STATUS = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}
_STATE = get_model_status_pb2.ModelVersionStatus.State
_LARGEST_BODY_BYTES = 1 << 30


def _name_model(spec: Any, path: re.Match[str]) -> None:
    """Writes what the path names into a ModelSpec."""
    if not path["model"]:
        raise errors.invalid_argument("Missing model name in request.")
    spec.name = urllib.parse.unquote(path["model"])
    if path["label"]:
        spec.version_label = urllib.parse.unquote(path["label"])
    if path["version"]:
        if int(path["version"]) >= 2**63:
            raise errors.invalid_argument(
                f"Failed to convert version: {path['version']} to numeric."
            )
        spec.version.value = int(path["version"])


class RestApi:
    """Answers REST calls as JSON values.

    Args:
      models: of the server.
      metrics: to count in.
      timeout_seconds: until a call is given up.
    """

    def __init__(self, models: Models, metrics: Metrics, timeout_seconds: float) -> None:
        self._models = models
        self._metrics = metrics
        self._inference = Inference(models, metrics)
        self._timeout_seconds = timeout_seconds
        self._calls = {
            ("GET", ""): self._status,
            ("GET", "/metadata"): self._metadata,
            ("POST", ":predict"): self._predict,
            ("POST", ":classify"): self._classify,
            ("POST", ":regress"): self._regress,
        }

    def __call__(self, method: str, path: str, body: bytes) -> Any:
        """The answer to a call; raises ServingError."""
        match = _PATH.fullmatch(path)
        kind = (match["call"] or "") if match else ""
        call = self._calls.get((method, kind)) if match else None
        if match is None or call is None or (kind.startswith(":") and not match["model"]):
            with counted(self._metrics, "", "", "REST"):
                raise errors.invalid_argument(f"Malformed request: {method} {path}")
        api = kind.removeprefix(":") if kind.startswith(":") else ""
        with counted(self._metrics, urllib.parse.unquote(match["model"] or ""), api, "REST"):
            return call(match, body)

    def _predict(self, path: re.Match[str], body: bytes) -> Any:
        request = predict_pb2.PredictRequest()
        _name_model(request.model_spec, path)
        decoded = rest_values.parsed(body)
        with self._models.in_use(request) as servable:
            rest_json.fill_request(decoded, servable.signatures, request)
        response = self._inference.predict(request, self._timeout_seconds)
        return rest_json.answer(response, columns="inputs" in decoded)

    def _classify(self, path: re.Match[str], body: bytes) -> Any:
        request = classification_pb2.ClassificationRequest()
        _name_model(request.model_spec, path)
        rest_examples.fill_request(rest_values.parsed(body), request)
        response = self._inference.classify(request, self._timeout_seconds)
        return rest_examples.classifications(response.result)

    def _regress(self, path: re.Match[str], body: bytes) -> Any:
        request = regression_pb2.RegressionRequest()
        _name_model(request.model_spec, path)
        rest_examples.fill_request(rest_values.parsed(body), request)
        response = self._inference.regress(request, self._timeout_seconds)
        return rest_examples.regressions(response.result)

    def _metadata(self, path: re.Match[str], body: bytes) -> Any:
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        _name_model(request.model_spec, path)
        return rest_json.metadata(model_metadata(self._models, request))

    def _status(self, path: re.Match[str], body: bytes) -> Any:
        request = get_model_status_pb2.GetModelStatusRequest()
        _name_model(request.model_spec, path)
        return {
            "model_version_status": [
                {
                    "version": str(status.version),
                    "state": _STATE.Name(status.state),
                    "status": {
                        "error_code": errors.code_of(status.status.error_code).name,
                        "error_message": status.status.error_message,
                    },
                }
                for status in model_status(self._models, request).model_version_status
            ]
        }


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keeps connections open
    # Small answers are not held back for the acknowledgement of the headers before them.
    disable_nagle_algorithm = True

    def __init__(self, *arguments: Any, server_of: RestServer, **kwargs: Any) -> None:
        self._rest = server_of
        super().__init__(*arguments, **kwargs)

    def do_GET(self) -> None:
        self._answer()

    do_POST = do_PUT = do_DELETE = do_HEAD = do_OPTIONS = do_PATCH = do_GET  # noqa: N815

    def _answer(self) -> None:
        status, kind = 200, "application/json"
        path = urllib.parse.urlsplit(self.path).path
        try:
            body = self._body()  # read even if the path is wrong, or it would be the next request
            if path == self._rest.metrics_path:
                kind, content = "text/plain", self._rest.metrics.page()
                if path != self.path:
                    status, content = 400, f"Unexpected path: {self.path}. Should be {path}"
            elif not path.lower().startswith("/v1/"):
                status, kind = 404, "text/html"
                content = "<html><head><title>404 Not Found</title></head></html>"
            else:
                with self._rest.threads:
                    content = json.dumps(self._rest.api(self.command, self.path, body), indent=4)
        except Exception as error:  # nothing that a request does ends the server
            failure = as_serving_error(error)
            status = _HTTP_STATUS.get(failure.code, 500)
            content = json.dumps({"error": failure.message}, indent=4)
        encoded = content.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(encoded)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(encoded)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            body = b"".join(self._chunks())
        else:
            body = self.rfile.read(self._size(self.headers.get("Content-Length", "0"), 10))
        if "gzip" not in self.headers.get("Content-Encoding", ""):
            return body
        try:
            return gzip.decompress(body)
        except (OSError, EOFError, zlib.error):
            return b""  # as the real server takes it

    def _chunks(self) -> Iterator[bytes]:
        while size := self._size(
            self.rfile.readline().split(b";")[0].decode("ascii", "replace"), 16
        ):
            yield self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass  # fields after the last chunk

    def _size(self, text: str, base: int) -> int:
        try:
            size = int(text.strip(), base)
        except ValueError:
            size = -1
        if not 0 <= size <= _LARGEST_BODY_BYTES:
            self.close_connection = True
            raise errors.invalid_argument(f"Content-Length: must be a size, got {text.strip()}")
        return size

    def log_message(self, format: str, *arguments: Any) -> None:
        """The real server logs no requests."""


class RestServer:
    """Serves REST in threads of its own.

    Args:
      address, port: where to listen.
      api: answers the calls.
      metrics: what the metrics page shows.
      metrics_path: where it is; None: nowhere.
      num_threads: calls answered at the same time; more wait.

    Raises:
      OSError: the port is taken.
    """

    def __init__(
        self,
        *,
        address: str,
        port: int,
        api: RestApi,
        metrics: Metrics,
        metrics_path: str | None,
        num_threads: int,
    ) -> None:
        self.api = api
        self.metrics = metrics
        self.metrics_path = metrics_path
        self.threads = threading.Semaphore(num_threads)
        handler = functools.partial(_Handler, server_of=self)
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
