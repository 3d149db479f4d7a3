"""The HTTP server around the REST interface: where it listens, bodies, statuses, metrics."""

from __future__ import annotations

import contextlib
import functools
import http
import http.server
import re
import threading
from collections.abc import Iterator
from typing import Any

import grpc

from export.server import errors
from export.server.monitoring import Metrics
from export.server.rest import json_writer, targets
from export.server.rest.api import NoAnswer, RestApi

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
_LARGEST_BODY_BYTES = 1 << 30
_HINT = "Input-At-Fault"  # the header that names an input which the message does not


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keeps connections open
    # Small answers are not held back for the acknowledgement of the headers before them.
    disable_nagle_algorithm = True

    def __init__(self, *arguments: Any, server_of: RestListener, **kwargs: Any) -> None:
        self._rest = server_of
        super().__init__(*arguments, **kwargs)

    def do_GET(self) -> None:
        self._answer()

    do_POST = do_PUT = do_DELETE = do_HEAD = do_OPTIONS = do_PATCH = do_GET  # noqa: N815

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answers what is no request of the interface, in the words of libevent."""
        phrase = http.HTTPStatus(code).phrase
        page = (
            f"<HTML><HEAD>\n<TITLE>{int(code)} {phrase}</TITLE>\n</HEAD><BODY>\n"
            f"<H1>{phrase}</H1>\n</BODY></HTML>\n"
        )
        self.close_connection = True
        self._send(code, "text/html", page.encode())

    def _send(self, status: int, kind: str, content: bytes, hint: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        if hint:
            self.send_header(_HINT, hint)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _answer(self) -> None:
        # Not `self.path`, in which slashes at the start are one.
        target = targets.split(self.requestline.split()[1])
        try:
            body = self._body()  # read even if the path is wrong, or it would be the next request
        except errors.ServingError:
            self.close_connection = True
            target = None
        if target is None:
            self.send_error(400)
            return
        path, whole = target
        if path == self._rest.metrics_path:
            page = self._rest.metrics.page()
            if path == whole:
                self._send(200, "text/plain", page.encode())
            else:
                fault = f"Unexpected path: {whole}. Should be {path}"
                self._send(400, "text/plain", fault.encode())
        elif not whole.lower().startswith("/v1/"):
            self.send_error(404)
        elif self.command == "OPTIONS":
            self._preflight()
        else:
            self._call(whole, body)

    def _preflight(self) -> None:
        with contextlib.suppress(errors.ServingError), self._rest.api.count_preflight():
            if not re.search("https?://", self.headers.get("Origin", "")):
                self._send(400, "text/html; charset=ISO-8859-1", b"")
                raise errors.failed_precondition("Origin header is missing in CORS preflight")
            self._send(200, "text/html; charset=ISO-8859-1", b"")

    def _call(self, path: str, body: bytes) -> None:
        status, hint = 200, ""
        try:
            with self._rest.threads:
                text = self._rest.api(self.command, path, body)
            content = text.encode("utf-8", "surrogateescape")
        except Exception as error:  # nothing that a request does ends the server
            failure = errors.as_serving_error(error)
            status, hint = _HTTP_STATUS.get(failure.code, 500), failure.header_hint()
            content = b"" if isinstance(failure, NoAnswer) else json_writer.error(failure.message)
        self._send(status, "application/json", content, hint)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            body = b"".join(self._chunks())
        else:
            body = self.rfile.read(self._size(self.headers.get("Content-Length", "0"), 10))
        # The real server takes a body that is packed for an empty one.
        return b"" if "gzip" in self.headers.get("Content-Encoding", "") else body

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


class RestListener:
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
        """Answers the connections, those included that were made since it listens."""
        self._thread.start()

    def stop(self) -> None:
        """Takes no more connections and lets the port go, whether it was started or not."""
        if self._thread.is_alive():
            self._server.shutdown()  # of a server that never served it would wait for ever
        self._server.server_close()
