"""Serves exports: python -m export.serve --model_name=mgoe --model_base_path=BASE/mgoe

An embedded gRPC server with the protocol, the flag names and the answers of
tensorflow_model_server, for development and tests. A client of TensorFlow Serving works against it
unchanged.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import os
import signal
import threading

import grpc
import tensorflow as tf
from absl import app, flags, logging
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

from export.server.rest import RestServer
from export.server.services import ModelService, PredictionService
from export.server.versions import AVAILABLE, END, ModelVersions
from input_pipeline import filesystem, options
from input_pipeline.options import option

_INT32_MAX = 2**31 - 1
_STOP_GRACE_SECONDS = 15.0


@dataclasses.dataclass(frozen=True)
class ServeOptions:
    """The flags of tensorflow_model_server that the embedded server knows, and where to listen."""

    model_name: str = option("default", "Name of the model in requests.")
    model_base_path: str = option(
        "", "Directory of the model's version directories, local or remote; required."
    )
    port: int = option(8500, "TCP port of gRPC. 0: a free one, which is printed.")
    rest_api_port: int = option(0, "TCP port of HTTP/REST. 0: no REST.")
    rest_api_timeout_in_ms: int = option(30_000, "Milliseconds until a REST call is given up.")
    bind_address: str = option(
        "127.0.0.1", "Interface to listen on; 0.0.0.0 for every one, as the real server does."
    )
    grpc_max_threads: int = option(
        4 * (os.cpu_count() or 1), "Threads that answer gRPC calls; default: 4 a core."
    )
    file_system_poll_wait_seconds: float = option(
        1.0, "Seconds between two looks for a new version. 0: look once."
    )
    max_num_load_retries: int = option(5, "How often a version that failed to load is tried again.")
    load_retry_interval_micros: int = option(
        60_000_000, "Microseconds between such tries of a version."
    )

    def __post_init__(self) -> None:
        if not self.model_base_path:
            raise ValueError("--model_base_path: must name a directory, got ''")
        for name in ("port", "rest_api_port"):
            if not 0 <= getattr(self, name) <= 65535:
                raise ValueError(f"--{name}: must be from 0 to 65535, got {getattr(self, name)}")
        if self.port and self.port == self.rest_api_port:
            raise ValueError(f"--rest_api_port: must differ from --port, got {self.port}")
        if self.grpc_max_threads < 1:
            raise ValueError(f"--grpc_max_threads: must be at least 1, got {self.grpc_max_threads}")


class Server:
    """A server: `start` returns once a version answers, `stop` lets the calls under way end.

    Attributes:
      port: the port of gRPC, known after `start`.
    """

    def __init__(self, serve_options: ServeOptions) -> None:
        self.options = serve_options
        self.port = serve_options.port
        self._stopped = threading.Event()
        self._versions = ModelVersions(
            serve_options.model_name,
            serve_options.model_base_path,
            serve_options.max_num_load_retries,
            serve_options.load_retry_interval_micros / 1e6,
        )
        self._grpc = grpc.server(
            concurrent.futures.ThreadPoolExecutor(serve_options.grpc_max_threads),
            options=[
                ("grpc.max_receive_message_length", _INT32_MAX),
                ("grpc.max_send_message_length", _INT32_MAX),
                ("grpc.so_reuseport", 0),
            ],
        )
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
            PredictionService(self._versions), self._grpc
        )
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(
            ModelService(self._versions), self._grpc
        )
        self._rest: RestServer | None = None
        self._poller = threading.Thread(target=self._poll, name="version poller", daemon=True)

    def start(self) -> None:
        """Loads the first version, waiting for one to appear, then listens.

        Raises:
          ValueError: the base path does not exist, or its newest version does not load.
          OSError: a port is taken.
        """
        self._versions.find()  # a missing base path is a mistake now; later it may come back
        self._wait_for_a_version()
        self._listen()  # only now: a port that is bound but not served keeps its callers waiting
        if self.options.file_system_poll_wait_seconds > 0:
            self._poller.start()

    def _listen(self) -> None:
        address = f"{self.options.bind_address}:{self.options.port}"
        try:
            self.port = self._grpc.add_insecure_port(address)
        except RuntimeError:
            self.port = 0
        if not self.port:
            raise OSError(f"cannot listen on {address}: is the port taken?")
        if self.options.rest_api_port:
            self._rest = RestServer(
                self.options.bind_address,
                self.options.rest_api_port,
                self._versions,
                self.options.rest_api_timeout_in_ms / 1000,
            )
            self._rest.start()
        self._grpc.start()

    def _wait_for_a_version(self) -> None:
        warned = False
        while not self._stopped.is_set():
            self._versions.poll()
            states = self._versions.states()
            if any(state.state == AVAILABLE for state in states.values()):
                return
            for version, state in states.items():
                if state.state == END:
                    raise ValueError(
                        f"version {version} under {self.options.model_base_path} does not load: "
                        f"{state.message}"
                    )
            if not warned:
                logging.warning(
                    "No versions of servable %s found under base path %s: waiting for one",
                    self.options.model_name,
                    self.options.model_base_path,
                )
                warned = True
            self._stopped.wait(max(self.options.file_system_poll_wait_seconds, 0.1))

    def _poll(self) -> None:
        while not self._stopped.wait(self.options.file_system_poll_wait_seconds):
            self._versions.poll()

    def request_stop(self) -> None:
        """Asks the thread that is in `start` or `wait` to go on; safe in a signal handler."""
        # The interrupted thread may hold the event's lock, so that another one has to take it.
        threading.Thread(target=self._stopped.set, daemon=True).start()

    def wait(self) -> None:
        """Returns after `request_stop`."""
        self._stopped.wait()

    def stop(self, grace_seconds: float = _STOP_GRACE_SECONDS) -> None:
        """Takes no more calls, lets those under way end for at most that long, unloads."""
        self._stopped.set()
        if self._rest is not None:
            self._rest.stop()
        self._grpc.stop(grace_seconds).wait()
        if self._poller.is_alive():
            self._poller.join()
        self._versions.close()


def main() -> None:
    """The command."""
    options.define_flags(ServeOptions, flags.FLAGS)
    filesystem.run_main(lambda: app.run(_run))


def _run(arguments: list[str]) -> None:
    if len(arguments) > 1:
        raise app.UsageError(f"unknown arguments: {arguments[1:]}")
    tf.get_logger().setLevel("ERROR")  # it calls the loader of sessions deprecated
    server = Server(options.from_flags(ServeOptions, flags.FLAGS))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.request_stop())
    server.start()
    print(
        f"Running gRPC ModelServer at {server.options.bind_address}:{server.port} ...", flush=True
    )
    if server.options.rest_api_port:
        address = f"{server.options.bind_address}:{server.options.rest_api_port}"
        print(f"Exporting HTTP/REST API at:{address} ...", flush=True)
    server.wait()
    server.stop()


if __name__ == "__main__":
    main()
