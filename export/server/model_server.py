"""The embedded server: models, gRPC, REST, and the threads that keep them up to date."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from absl import logging

from export.server import errors
from export.server.listener import Listener
from export.server.loading import load_servable
from export.server.models import Models
from export.server.monitoring import Metrics
from export.server.options import ServeOptions
from export.server.rest.api import RestApi
from export.server.rest.listener import RestListener
from export.server.servable import Servable
from export.server.services import ModelService, PredictionService
from export.server.versions import AVAILABLE, END, ModelVersions, Policy

_STOP_GRACE_SECONDS = 15.0
_LONGEST_RELOAD_SECONDS = 600.0
_WAKE_SECONDS = 0.5


class Server:
    """A server: `start` returns once every model answers, `stop` lets the calls under way end.

    Attributes:
      port: the port of gRPC, known after `start`.
      metrics: what it counts.
    """

    def __init__(self, serve_options: ServeOptions) -> None:
        self.options = serve_options
        self.port = serve_options.port
        self.metrics = Metrics()
        self._stopped = threading.Event()
        self._runtime = serve_options.runtime(self.metrics)
        self._models = Models(
            self._versions_of, serve_options.allow_version_labels_for_unavailable_models
        )
        self._listener = Listener(
            prediction_service=PredictionService(self._models, self.metrics),
            model_service=ModelService(self._models, self.metrics, self._wait_for_reload),
            max_threads=serve_options.grpc_max_threads,
            arguments=serve_options.channel_arguments(),
            credentials=serve_options.credentials(),
        )
        self._metrics_path = serve_options.metrics_path()
        self._rest: RestListener | None = None
        config_seconds = serve_options.model_config_file_poll_wait_seconds
        pollers = {
            self._models.poll: serve_options.file_system_poll_wait_seconds,
            self._reload: config_seconds if serve_options.model_config_file else 0.0,
        }
        self._threads = [
            threading.Thread(target=self._every, args=(seconds, call), name="poller", daemon=True)
            for call, seconds in pollers.items()
            if seconds > 0
        ]

    def _versions_of(self, name: str, base_path: str, policy: Policy) -> ModelVersions:
        return ModelVersions(
            name,
            base_path,
            policy,
            self.options.max_num_load_retries,
            self.options.load_retry_interval_micros / 1e6,
            self._load,
        )

    def _load(self, version: int, path: str) -> Servable:
        iterations = self.options.num_request_iterations_for_warmup
        if not self.options.enable_model_warmup:
            iterations = 0
        try:
            servable = load_servable(version, path, self._runtime, iterations)
        except Exception:
            self.metrics.load_attempts.add(path, "fail")
            raise
        self.metrics.load_attempts.add(path, "success")
        return servable

    def start(self) -> None:
        """Loads the models, waiting for a version of each to appear, then listens.

        A server that failed to start holds no port, and cannot be started again.

        Raises:
          ValueError: a model does not load, a configuration file is wrong.
          OSError: a port is taken.
        """
        try:
            self._models.configure(self.options.model_config(), self._wait_for)
        except errors.ServingError as error:
            raise ValueError(f"Failed to start server. Error: {error.message}") from None
        if self._stopped.is_set():
            return
        # Only now: a port that is bound but not served keeps its callers waiting.
        try:
            self._listen()
        except BaseException:
            self._close_ports(0.0)
            raise
        for thread in self._threads:
            thread.start()

    def _listen(self) -> None:
        addresses = [f"{self.options.bind_address}:{self.options.port}"]
        if self.options.grpc_socket_path:
            addresses.append(f"unix:{self.options.grpc_socket_path}")
        if self.options.rest_api_port:
            self._rest = RestListener(
                address=self.options.bind_address,
                port=self.options.rest_api_port,
                api=RestApi(self._models, self.metrics, self.options.rest_api_timeout_in_ms / 1000),
                metrics=self.metrics,
                metrics_path=self._metrics_path,
                num_threads=self.options.rest_api_num_threads,
            )
        self.port = self._listener.start(addresses)
        if self._rest is not None:
            self._rest.start()

    def _close_ports(self, grace_seconds: float) -> None:
        if self._rest is not None:
            self._rest.stop()
        self._listener.stop(grace_seconds)

    def _wait_for_reload(self, models: list[ModelVersions], seconds: float | None) -> None:
        """As `_wait_for`; the real server would wait on after its caller's deadline."""
        longest = _LONGEST_RELOAD_SECONDS
        self._wait_for(models, min(longest if seconds is None else seconds, longest))

    def _wait_for(self, models: list[ModelVersions], seconds: float = math.inf) -> None:
        """Waits until every model answers; UNKNOWN where one does not load, or not in time."""
        end = time.monotonic() + seconds
        while True:
            states = [(model.name, model.states()) for model in models]
            waiting = [(n, s) for n, s in states if AVAILABLE not in {v.state for v in s.values()}]
            loading = [name for name, s in waiting if END not in {v.state for v in s.values()}]
            if not loading or time.monotonic() >= end:
                break
            if self._stopped.wait(max(self.options.file_system_poll_wait_seconds, 0.1)):
                return
            self._models.poll()
        if waiting:
            failed = [
                f"{{{{name: {name} version: {version}}} due to error: {state.message}}}, "
                for name, versions in waiting
                for version, state in versions.items()
            ]
            raise errors.unknown(
                f"{len(waiting)} model(s) did not become available: {{{''.join(failed)}}}"
            )

    def _reload(self) -> None:
        """Reads the configuration file again; what is wrong with it is logged, nothing changes."""
        try:
            config = self.options.model_config()
            self._models.configure(config, lambda new: self._wait_for_reload(new, None))
        except (ValueError, errors.ServingError) as error:
            logging.error("--model_config_file is not reloaded: %s", error)

    def _every(self, seconds: float, call: Callable[[], None]) -> None:
        while not self._stopped.wait(seconds):
            call()

    def request_stop(self) -> None:
        """Asks the thread that is in `start` or `wait` to go on; safe in a signal handler."""
        # The interrupted thread may hold the event's lock, so that another one has to take it.
        threading.Thread(target=self._stopped.set, daemon=True).start()

    def wait(self) -> None:
        """Returns after `request_stop`."""
        # Not for ever: a signal may reach another thread, and then its handler runs only when the
        # main thread wakes.
        while not self._stopped.wait(_WAKE_SECONDS):
            pass

    def stop(self, grace_seconds: float = _STOP_GRACE_SECONDS) -> None:
        """Takes no more calls, lets those under way end for at most that long, unloads.

        A server that failed to start, or never was, is stopped by it as well.
        """
        self._stopped.set()
        self._close_ports(grace_seconds)
        for thread in self._threads:
            if thread.is_alive():
                thread.join()
        self._models.close()
