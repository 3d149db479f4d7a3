"""The gRPC server around the services: where it listens, TLS, limits, health and reflection."""

from __future__ import annotations

import concurrent.futures
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

from export.server import service_descriptors
from export.server.services import ModelService, PredictionService

_INT32_MAX = 2**31 - 1
_DEFAULT_ARGUMENTS: dict[str, int | str] = {
    "grpc.max_receive_message_length": _INT32_MAX,
    "grpc.max_send_message_length": _INT32_MAX,
    "grpc.so_reuseport": 0,
}
_HEALTHY = ("ModelService", "PredictionService")  # as the real server calls them to health checks
Argument = tuple[str, int | str]


def channel_arguments(text: str) -> list[Argument]:
    """`key=value,key=value` as gRPC's arguments; numbers are sent as numbers."""
    arguments: list[Argument] = []
    for pair in filter(None, text.split(",")):
        key, equals, value = pair.partition("=")
        if not (key and equals):
            raise ValueError(f"--grpc_channel_arguments: must be key=value,..., got {pair!r}")
        digits = value.removeprefix("-")
        arguments.append((key, int(value) if digits.isdigit() else value))
    return arguments


def ssl_credentials(config: Any) -> grpc.ServerCredentials:
    """Of an SSLConfig; with `client_verify`, clients need a certificate of `custom_ca`."""
    try:
        return grpc.ssl_server_credentials(
            [(config.server_key.encode(), config.server_cert.encode())],
            root_certificates=config.custom_ca.encode() or None,
            require_client_auth=config.client_verify,
        )
    except ValueError as error:
        raise ValueError(f"--ssl_config_file: {error}") from None


class Listener:
    """A gRPC server of both services, health checking and reflection.

    Args:
      prediction_service, model_service: what answers.
      max_threads: calls that are answered at the same time. As many again may wait; more are
        answered with RESOURCE_EXHAUSTED.
      arguments: of the channel, e.g. `("grpc.max_receive_message_length", 1 << 26)`.
      credentials: None: without TLS.
    """

    def __init__(
        self,
        *,
        prediction_service: PredictionService,
        model_service: ModelService,
        max_threads: int,
        arguments: list[Argument],
        credentials: grpc.ServerCredentials | None = None,
    ) -> None:
        self._credentials = credentials
        self._started = False
        self._server = grpc.server(
            concurrent.futures.ThreadPoolExecutor(max_threads, thread_name_prefix="gRPC"),
            options=list((_DEFAULT_ARGUMENTS | dict(arguments)).items()),
            # A call counts for a moment after its answer: with one a thread, a client that asks
            # again at once would be refused.
            maximum_concurrent_rpcs=2 * max_threads,
        )
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
            prediction_service, self._server
        )
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(model_service, self._server)
        self._health = health.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection(
            service_descriptors.SERVICES, self._server, pool=service_descriptors.service_pool()
        )

    def start(self, addresses: list[str]) -> int:
        """Listens on addresses (host:port, or unix:path) and returns the port of the first.

        Raises:
          OSError: one is taken.
        """
        ports: list[int] = []
        for address in addresses:
            try:
                if self._credentials is None:
                    ports.append(self._server.add_insecure_port(address))
                else:
                    ports.append(self._server.add_secure_port(address, self._credentials))
            except RuntimeError:
                ports.append(0)
            if not ports[-1]:
                raise OSError(f"cannot listen on {address}: is the port taken?")
        for name in ("", *_HEALTHY):
            self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        self._start()
        return ports[0]

    def stop(self, grace_seconds: float) -> None:
        """Tells health checks, takes no more calls, lets those under way end for so long."""
        self._health.enter_graceful_shutdown()
        if not self._started:
            self._start()  # gRPC lets the ports go that it bound only where it served them
        self._server.stop(grace_seconds).wait()

    def _start(self) -> None:
        self._started = True
        self._server.start()
