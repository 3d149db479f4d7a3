"""The flags of the server: those of tensorflow_model_server, under its names."""

from __future__ import annotations

import dataclasses
import os
import threading

import grpc
from tensorflow_serving.config import model_server_config_pb2

from export import server_files
from export.server import listener, models
from export.server.batching_options import BatchingOptions
from export.server.monitoring import Metrics
from export.server.servable import Runtime
from input_pipeline.commands.options import option

_THREADS = 4 * (os.cpu_count() or 1)
PROMETHEUS_PATH = "/monitoring/prometheus/metrics"


@dataclasses.dataclass(frozen=True)
class ServeOptions:
    """The flags of tensorflow_model_server that the embedded server knows, and where to listen."""

    model_name: str = option("default", "Name of the model in requests.")
    model_base_path: str = option(
        "",
        "Directory of the model's version directories, local or remote; this or "
        "--model_config_file is required.",
        is_path=True,
    )
    model_config_file: str = option(
        "",
        "ModelServerConfig in text format: models, version policies, labels. --model_name and "
        "--model_base_path are ignored then.",
        is_path=True,
    )
    model_config_file_poll_wait_seconds: float = option(
        0.0, "Seconds between two reads of --model_config_file. 0: read once."
    )
    allow_version_labels_for_unavailable_models: bool = option(
        False, "Lets a new label point at a version that is not available yet, as at the start."
    )
    port: int = option(8500, "TCP port of gRPC. 0: a free one, which is printed.")
    grpc_socket_path: str = option("", "UNIX socket to listen on too.", is_path=True)
    rest_api_port: int = option(0, "TCP port of HTTP/REST. 0: no REST.")
    rest_api_timeout_in_ms: int = option(30_000, "Milliseconds until a REST call is given up.")
    rest_api_num_threads: int = option(_THREADS, "REST calls that are answered at the same time.")
    bind_address: str = option(
        "127.0.0.1", "Interface to listen on; 0.0.0.0 for every one, as the real server does."
    )
    grpc_max_threads: int = option(
        _THREADS,
        "gRPC calls that are answered at the same time. As many again may wait; more are answered "
        "with RESOURCE_EXHAUSTED. Default: 4 a core.",
    )
    grpc_channel_arguments: str = option(
        "", "key=value,... for gRPC, such as grpc.max_receive_message_length=67108864."
    )
    ssl_config_file: str = option(
        "", "SSLConfig in text format; gRPC is served over TLS, or mutual TLS, then.", is_path=True
    )
    enable_batching: bool = option(False, "Merges requests that wait together.")
    batching_parameters_file: str = option(
        "", "BatchingParameters in text format, for --enable_batching.", is_path=True
    )
    monitoring_config_file: str = option(
        "",
        "MonitoringConfig in text format; serves Prometheus metrics on the REST port.",
        is_path=True,
    )
    enable_model_warmup: bool = option(True, "Replays a version's warm-up requests as it loads.")
    num_request_iterations_for_warmup: int = option(1, "How often each of them is replayed.")
    tensorflow_session_parallelism: int = option(
        0, "Threads of TensorFlow, within and between operations. 0: as the two flags below say."
    )
    tensorflow_intra_op_parallelism: int = option(
        0, "Threads within an operation. 0: one, as export.deploy sets it for CPU."
    )
    tensorflow_inter_op_parallelism: int = option(
        0,
        "Threads between operations. 0 or less: none, a request's own thread runs its operations "
        "one after the other, as export.deploy sets it for CPU.",
    )
    enable_signature_method_name_check: bool = option(
        False, "Refuses Classify and Regress on signatures without that method name."
    )
    file_system_poll_wait_seconds: float = option(
        1.0, "Seconds between two looks for a new version. 0: look once."
    )
    max_num_load_retries: int = option(5, "How often a version that failed to load is tried again.")
    load_retry_interval_micros: int = option(
        60_000_000, "Microseconds between such tries of a version."
    )

    def __post_init__(self) -> None:
        if not self.model_base_path and not self.model_config_file:
            raise ValueError(
                "--model_base_path: must name a directory, got '' and no --model_config_file"
            )
        if self.batching_parameters_file and not self.enable_batching:
            raise ValueError(
                "--batching_parameters_file: needs --enable_batching, got "
                f"{self.batching_parameters_file!r} without it"
            )
        for name in ("port", "rest_api_port"):
            if not 0 <= getattr(self, name) <= 65535:
                raise ValueError(f"--{name}: must be from 0 to 65535, got {getattr(self, name)}")
        if self.port and self.port == self.rest_api_port:
            raise ValueError(f"--rest_api_port: must differ from --port, got {self.port}")
        for name in ("grpc_max_threads", "rest_api_num_threads", "rest_api_timeout_in_ms"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name}: must be at least 1, got {getattr(self, name)}")
        if self.tensorflow_session_parallelism and (
            self.tensorflow_intra_op_parallelism or self.tensorflow_inter_op_parallelism
        ):
            raise ValueError(
                "--tensorflow_session_parallelism: must be 0 where the intra or inter op "
                f"parallelism is given, got {self.tensorflow_session_parallelism}"
            )
        self.channel_arguments()  # mistakes are told before anything is loaded

    def channel_arguments(self) -> list[listener.Argument]:
        """--grpc_channel_arguments as gRPC takes them; raises ValueError."""
        return listener.channel_arguments(self.grpc_channel_arguments)

    def model_config(self) -> model_server_config_pb2.ModelServerConfig:
        """The ModelServerConfig to start with."""
        if not self.model_config_file:
            return models.single_model(self.model_name, self.model_base_path)
        config = model_server_config_pb2.ModelServerConfig()
        return server_files.read(self.model_config_file, config, "model_config_file")

    def runtime(self, metrics: Metrics) -> Runtime:
        """What all versions share."""
        batching = BatchingOptions() if self.enable_batching else None
        if self.batching_parameters_file:
            message = server_files.BatchingParameters()
            flag = "batching_parameters_file"
            server_files.read(self.batching_parameters_file, message, flag)
            try:
                batching = BatchingOptions.from_message(message)
            except ValueError as error:
                raise ValueError(f"--{flag}: {error}") from None
        threads = self.tensorflow_session_parallelism
        return Runtime(
            batching,
            threading.Semaphore(batching.num_batch_threads if batching else 1),
            self.tensorflow_intra_op_parallelism or threads or 1,
            self.tensorflow_inter_op_parallelism or threads or -1,
            self.enable_signature_method_name_check,
            metrics,
        )

    def metrics_path(self) -> str | None:
        """Where Prometheus finds metrics on the REST port; None: nowhere."""
        if not self.monitoring_config_file:
            return None
        message = server_files.MonitoringConfig()
        server_files.read(self.monitoring_config_file, message, "monitoring_config_file")
        config = message.prometheus_config
        return (config.path or PROMETHEUS_PATH) if config.enable else None

    def credentials(self) -> grpc.ServerCredentials | None:
        """TLS of gRPC; None: without."""
        if not self.ssl_config_file:
            return None
        config = server_files.SSLConfig()
        return listener.ssl_credentials(
            server_files.read(self.ssl_config_file, config, "ssl_config_file")
        )
