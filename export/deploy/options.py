"""The flags of the deployment files."""

from __future__ import annotations

import dataclasses
import re

from input_pipeline.commands.options import option
from input_pipeline.files import filesystem

PLATFORMS = ("docker", "kubernetes")
DEVICES = ("gpu", "cpu")
_SERVING_VERSION = "2.17.0"
_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


@dataclasses.dataclass(frozen=True)
class DeployOptions:
    """What is deployed, and where to."""

    platform: str = option("docker", "What the files are for.", PLATFORMS)
    export_base: str = option(
        "", "Directory of exported models, as `export.savedmodel` wrote it; required.", is_path=True
    )
    model_names: tuple[str, ...] = option(("mgoe",), "Models under --export_base to serve.")
    output: str = option("deploy", "Directory to write; it must not exist yet.", is_path=True)
    device: str = option("gpu", "What the models run on.", DEVICES)
    image: str | None = option(
        None,
        "Container image. Default: the official tensorflow/serving of TensorFlow's version, with "
        "-gpu for --device=gpu.",
    )
    name: str = option("mgoe-serving", "Name of the service.")
    cpus: int = option(4, "Cores of a server.")
    grpc_max_threads: int = option(
        256, "gRPC calls under way at the same time; more are answered with RESOURCE_EXHAUSTED."
    )
    min_replicas: int = option(2, "kubernetes: the least servers.")
    max_replicas: int = option(8, "kubernetes: the most servers.")
    volume_claim: str = option(
        "models",
        "kubernetes: persistent volume claim that holds --export_base, where that is not remote.",
    )

    def __post_init__(self) -> None:
        if not self.export_base:
            raise ValueError("--export_base: must be given, got ''")
        if not self.model_names or len(set(self.model_names)) != len(self.model_names):
            raise ValueError(
                f"--model_names: must be one or more different names, got {list(self.model_names)}"
            )
        for flag in ("name", "volume_claim"):
            if not _DNS_LABEL.fullmatch(getattr(self, flag)):
                raise ValueError(
                    f"--{flag}: must be lower-case letters, digits and hyphens, at most 63, got "
                    f"{getattr(self, flag)!r}"
                )
        for flag in ("cpus", "grpc_max_threads", "min_replicas"):
            if getattr(self, flag) < 1:
                raise ValueError(f"--{flag}: must be at least 1, got {getattr(self, flag)}")
        if self.max_replicas < self.min_replicas:
            raise ValueError(
                f"--max_replicas: must be at least --min_replicas={self.min_replicas}, got "
                f"{self.max_replicas}"
            )

    @property
    def chosen_image(self) -> str:
        """The image of TensorFlow Serving: --image, or the official one for the device."""
        suffix = "-gpu" if self.device == "gpu" else ""
        return self.image or f"tensorflow/serving:{_SERVING_VERSION}{suffix}"

    @property
    def is_remote(self) -> bool:
        """Whether servers read the models from where they are, and need no volume."""
        return filesystem.is_remote(self.export_base)

    def base_path(self, model_name: str) -> str:
        """Where a server finds a model."""
        base = self.export_base if self.is_remote else "/models"
        return filesystem.join(base, model_name)
