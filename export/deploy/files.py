"""Renders the deployment files of a platform from templates."""

from __future__ import annotations

import importlib.resources
import os
import string

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from export import publication, server_files, warmup
from export.client.batch_sizes import ALLOWED_BATCH_SIZES, MAX_BATCH_SIZE
from export.deploy.options import DEVICES, DeployOptions
from export.server.options import PROMETHEUS_PATH
from input_pipeline.files import filesystem

_SERVER_BYTES = 1 << 30  # of TensorFlow Serving without a model
_GIBIBYTE = 1 << 30
# A GPU runs a large batch nearly as fast as a small one, so it is worth a short wait.
_BATCH_TIMEOUT_MICROS = {"cpu": 0, "gpu": 2000}
_MAX_ENQUEUED_BATCHES = {"cpu": 100, "gpu": 1000}
_BATCHING_COMMENTS = {
    "cpu": """\
# There are no allowed_batch_sizes: filling batches up costs a flat request of 100 rows a quarter
# more time, and gives nothing on a CPU.
""",
    "gpu": """\
# Batches are filled up to the next of allowed_batch_sizes, so that the GPU sees few shapes, all of
# which the warm-up has run.
# WARNING: with them a Predict request without rows (user_id of shape [0]) ends TensorFlow Serving
# 2.17 (SIGABRT). export.client sends none; keep other clients from it, or leave allowed_batch_sizes
# out where anybody may call.
""",
}
_TEMPLATES = {
    "docker": ("docker-compose.yaml",),
    "kubernetes": (
        "deployment.yaml",
        "service.yaml",
        "horizontal-pod-autoscaler.yaml",
        "service-monitor.yaml",
        "kustomization.yaml",
    ),
}


def models_config(options: DeployOptions) -> str:
    """A ModelServerConfig: the newest version of every model."""
    config = model_server_config_pb2.ModelServerConfig()
    for name in options.model_names:
        model = config.model_config_list.config.add(
            name=name, base_path=options.base_path(name), model_platform="tensorflow"
        )
        model.model_version_policy.latest.num_versions = 1
    return str(text_format.MessageToString(config))


def batching_parameters(device: str, cpus: int) -> str:
    """BatchingParameters; on GPU, batches have the sizes of the warm-up requests."""
    message = server_files.BatchingParameters()
    message.max_batch_size.value = MAX_BATCH_SIZE
    message.batch_timeout_micros.value = _BATCH_TIMEOUT_MICROS[device]
    message.max_enqueued_batches.value = _MAX_ENQUEUED_BATCHES[device]
    message.num_batch_threads.value = cpus
    if device == "gpu":
        message.allowed_batch_sizes.extend(ALLOWED_BATCH_SIZES)
    message.pad_variable_length_inputs = True  # lists of candidates differ in length
    return _BATCHING_COMMENTS[device] + str(text_format.MessageToString(message))


def monitoring_config() -> str:
    """A MonitoringConfig that serves Prometheus metrics on the REST port."""
    message = server_files.MonitoringConfig()
    message.prometheus_config.enable = True
    message.prometheus_config.path = PROMETHEUS_PATH
    return str(text_format.MessageToString(message))


def model_bytes(options: DeployOptions) -> int:
    """The size of the newest versions of all models, without their warm-up requests.

    Raises:
      ValueError: a model has no version.
    """
    total = 0
    for name in options.model_names:
        base_path = filesystem.join(options.export_base, name)
        versions = publication.versions(base_path)
        if not versions:
            raise ValueError(f"--model_names: no version of {name} under {options.export_base}")
        folder = filesystem.join(base_path, str(versions[-1]))
        total += sum(
            filesystem.size_bytes(filesystem.join(folder, path))
            for path in filesystem.files_below(folder)
            if not path.endswith(warmup.FILE)
        )
    return total


def _memory_gibibytes(options: DeployOptions) -> int:
    """Memory of a server: TensorFlow Serving, the models, and twice the models as headroom.

    While a version is replaced both are loaded, and what runs takes memory too.
    """
    return -(-(_SERVER_BYTES + 3 * model_bytes(options)) // _GIBIBYTE)


def _template(platform: str, name: str) -> string.Template:
    folder = importlib.resources.files("export.deploy") / "templates" / platform
    return string.Template((folder / name).read_text(encoding="utf-8"))


def _indented(text: str, spaces: int) -> str:
    return "".join(f"{' ' * spaces}{line}\n" for line in text.splitlines()).rstrip("\n")


def _flags(options: DeployOptions) -> list[str]:
    # Operations on some hundred rows are too small to be split among threads, or to be handed from
    # one thread to another: a call took half as long again. Requests still run side by side.
    cpu_flags = ["--tensorflow_intra_op_parallelism=1", "--tensorflow_inter_op_parallelism=-1"]
    return [
        *(cpu_flags if options.device == "cpu" else []),
        "--port=8500",
        "--rest_api_port=8501",
        "--model_config_file=/config/models.config",
        "--model_config_file_poll_wait_seconds=60",
        "--file_system_poll_wait_seconds=10",
        "--monitoring_config_file=/config/monitoring.config",
        "--enable_batching=true",
        f"--batching_parameters_file=/config/batching_parameters.{options.device}.txt",
        # Without it bursts are answered with RESOURCE_EXHAUSTED.
        f"--grpc_max_threads={options.grpc_max_threads}",
    ]


def render(options: DeployOptions) -> dict[str, str]:
    """The text of every file by its name.

    Raises:
      ValueError: a model has no version.
    """
    configs = {
        "models.config": models_config(options),
        "monitoring.config": monitoring_config(),
        **{f"batching_parameters.{d}.txt": batching_parameters(d, options.cpus) for d in DEVICES},
    }
    is_gpu = options.device == "gpu"
    values = {
        "name": options.name,
        "image": options.chosen_image,
        "model": options.model_names[0],
        "cpus": options.cpus,
        "memory_gibibytes": _memory_gibibytes(options),
        "metrics_path": PROMETHEUS_PATH,
        "min_replicas": options.min_replicas,
        "max_replicas": options.max_replicas,
        "export_base": os.path.abspath(options.export_base),
        "compose_flags": _indented("\n".join(f"- {flag}" for flag in _flags(options)), 6),
        "pod_flags": _indented("\n".join(f"- {flag}" for flag in _flags(options)), 12),
        "compose_volume": "" if options.is_remote else _COMPOSE_VOLUME,
        "compose_gpu": _COMPOSE_GPU if is_gpu else "",
        "pod_gpu": _POD_GPU if is_gpu else "",
        "compose_environment": "" if is_gpu else _COMPOSE_ENVIRONMENT,
        "pod_environment": "" if is_gpu else _POD_ENVIRONMENT,
        "pod_mount": "" if options.is_remote else _POD_MOUNT,
        "pod_volume": "" if options.is_remote else _POD_VOLUME,
        "volume_claim": options.volume_claim,
        "config_files": _indented("\n".join(f"- config/{name}" for name in configs), 6),
    }
    # Parts first: they hold names of their own.
    values = {k: string.Template(str(v)).substitute(values) for k, v in values.items()}
    manifests = {
        name: _template(options.platform, name).substitute(values)
        for name in _TEMPLATES[options.platform]
    }
    return manifests | {f"config/{name}": text for name, text in configs.items()}


_COMPOSE_VOLUME = """
      - type: bind
        source: $export_base
        target: /models
        read_only: true"""
# oneDNN's kernels make a call with a hundred small rows take longer.
_COMPOSE_ENVIRONMENT = """
    environment:
      TF_ENABLE_ONEDNN_OPTS: "0"\
"""
_POD_ENVIRONMENT = """
          env:
            - name: TF_ENABLE_ONEDNN_OPTS
              value: "0"\
"""
_COMPOSE_GPU = """
        reservations:
          devices:
            - driver: nvidia
              count: 1
              capabilities: [gpu]"""
_POD_GPU = """
              nvidia.com/gpu: "1"\
"""
_POD_MOUNT = """
            - name: models
              mountPath: /models
              readOnly: true"""
_POD_VOLUME = """
        - name: models
          persistentVolumeClaim:
            claimName: $volume_claim
            readOnly: true"""
