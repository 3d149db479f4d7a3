"""The models of a server: which ones, in which versions, under which labels."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator
from typing import Protocol

from absl import logging
from tensorflow_serving.apis import model_pb2
from tensorflow_serving.config import model_server_config_pb2

from export.server import errors
from export.server.servable import Servable
from export.server.versions import ModelVersions, Policy, VersionState, newest
from input_pipeline.files import filesystem

PLATFORM = "tensorflow"
MakeVersions = Callable[[str, str, Policy], ModelVersions]


class NamesModel(Protocol):
    """A message with a ModelSpec: a PredictRequest, a GetModelStatusRequest and so on."""

    @property
    def model_spec(self) -> model_pb2.ModelSpec:
        """Which model, version or label."""

    def HasField(self, field_name: str) -> bool:  # noqa: N802
        """Whether it has the field, as every message tells."""


def single_model(name: str, base_path: str) -> model_server_config_pb2.ModelServerConfig:
    """The configuration that --model_name and --model_base_path stand for."""
    config = model_server_config_pb2.ModelServerConfig()
    config.model_config_list.config.add(name=name, base_path=base_path, model_platform=PLATFORM)
    return config


def _policy(config: model_server_config_pb2.ModelConfig) -> Policy:
    """The versions that a ModelConfig wants."""
    policy = config.model_version_policy
    choice = policy.WhichOneof("policy_choice")
    if choice == "all":
        return list
    if choice == "specific":
        return lambda found: sorted(policy.specific.versions)
    return functools.partial(newest, count=policy.latest.num_versions or 1)


class Models:
    """Serves the models of a ModelServerConfig, which may be replaced while serving.

    Args:
      make_versions: (name, base path, policy) -> the versions of one model.
      labels_of_unavailable: whether a label may point at a version that is not available; an
        existing label must still not be moved to one.
    """

    def __init__(self, make_versions: MakeVersions, labels_of_unavailable: bool = False) -> None:
        self._make_versions = make_versions
        self._labels_of_unavailable = labels_of_unavailable
        # Replaced as a whole, so read without a lock.
        self._models: dict[str, ModelVersions] = {}
        self._labels: dict[str, dict[str, int]] = {}
        self._gone: dict[str, ModelVersions] = {}  # whose states are still told
        self._configured = False
        self._configuring = threading.Lock()

    def configure(
        self,
        config: model_server_config_pb2.ModelServerConfig,
        wait: Callable[[list[ModelVersions]], None],
    ) -> None:
        """Serves what a ModelServerConfig says and nothing else.

        Args:
          config: the configuration.
          wait: called after versions were looked for once, to wait until the new models answer.

        Raises:
          ServingError: INVALID_ARGUMENT for a configuration that cannot be; FAILED_PRECONDITION
            for a label of a version that is not available. Nothing is changed then.
        """
        with self._configuring:
            if config.WhichOneof("config") is None and not self._configured:
                logging.info("Taking no action for empty config.")
                return
            listed = self._checked(config)
            # As on the real server, before anything is loaded: not even the versions that this
            # configuration asks for count as available.
            self._labels = self._checked_labels(listed)
            models = {
                one.name: self._models.get(one.name)
                or self._make_versions(one.name, one.base_path, _policy(one))
                for one in listed
            }
            for one in listed:
                models[one.name].base_path = one.base_path
                models[one.name].policy = _policy(one)
            new = [model for name, model in models.items() if name not in self._models]
            gone = {name: model for name, model in self._models.items() if name not in models}
            self._gone |= gone
            self._models = models
            self._configured = True
            self.poll()
            for model in gone.values():
                model.close()
            wait(new)

    def _checked(
        self, config: model_server_config_pb2.ModelServerConfig
    ) -> list[model_server_config_pb2.ModelConfig]:
        """The ModelConfigs; INVALID_ARGUMENT where they cannot be served."""
        if config.WhichOneof("config") != "model_config_list":
            raise errors.failed_precondition(
                "Cannot transition to requested config. It is only legal to transition from one "
                "ModelConfigList to another."
            )
        names: set[str] = set()
        for one in config.model_config_list.config:
            if one.name in names:
                raise errors.invalid_argument(
                    f"Illegal to list model {one.name} multiple times in config list"
                )
            names.add(one.name)
            if one.model_platform and one.model_type:
                raise errors.invalid_argument(
                    "Illegal setting both ModelServerConfig::model_type (deprecated) and "
                    "ModelServerConfig::model_platform."
                )
            if one.model_type not in (
                model_server_config_pb2.MODEL_TYPE_UNSPECIFIED,
                model_server_config_pb2.TENSORFLOW,
            ):
                raise errors.invalid_argument(
                    f"ModelServerConfig::model_type choice {one.model_type} not supported."
                )
            if not one.model_platform and not one.model_type:
                raise errors.invalid_argument(
                    "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
                    "ModelServerConfig::model_platform."
                )
            if one.model_platform not in ("", PLATFORM):
                raise errors.invalid_argument(
                    f"Model {one.name} requests unsupported platform {one.model_platform}"
                )
            if not filesystem.is_remote(one.base_path) and not one.base_path.startswith("/"):
                raise errors.invalid_argument(
                    "Expected model "
                    f"{one.name} to have an absolute path or URI; got base_path()={one.base_path}"
                )
        return list(config.model_config_list.config)

    def _checked_labels(
        self, listed: list[model_server_config_pb2.ModelConfig]
    ) -> dict[str, dict[str, int]]:
        """Versions by label by model; FAILED_PRECONDITION where one is not available."""
        for one in listed:
            model, labels = self._models.get(one.name), self._labels.get(one.name, {})
            available = model.available() if model else []
            for label, version in one.version_labels.items():
                moves = labels.get(label, version) != version
                if version not in available and (moves or not self._labels_of_unavailable):
                    raise errors.failed_precondition(
                        f"Request to assign label to version {version} of model {one.name}, which "
                        "is not currently available for inference"
                    )
        return {one.name: dict(one.version_labels) for one in listed}

    def poll(self) -> None:
        """Looks once for new versions of every model."""
        for model in list(self._models.values()):
            model.poll()

    def _resolve(self, request: NamesModel) -> tuple[ModelVersions, int | None]:
        """The model that a request names, and the version, None for the newest."""
        if not request.HasField("model_spec"):
            raise errors.invalid_argument("Missing ModelSpec")
        spec = request.model_spec
        if not spec.name:
            raise errors.invalid_argument("ModelSpec has no name specified.")
        choice = spec.WhichOneof("version_choice")
        version = spec.version.value if choice == "version" else None
        if choice == "version_label":
            version = self._labels.get(spec.name, {}).get(spec.version_label)
            if version is None:
                raise errors.invalid_argument(
                    f"Unrecognized servable version label: {spec.version_label}"
                )
        model = self._models.get(spec.name)
        if model is None:
            wanted = f"Specific({spec.name}, {version})" if choice else f"Latest({spec.name})"
            raise errors.not_found(f"Servable not found for request: {wanted}")
        return model, version

    @contextlib.contextmanager
    def in_use(self, request: NamesModel) -> Iterator[Servable]:
        """The version that a request names, kept loaded; raises as the real server answers."""
        model, version = self._resolve(request)
        with model.in_use(version) as servable:
            yield servable

    def states(self, request: NamesModel) -> dict[int, VersionState]:
        """The states of the version that a request names, or of all; raises NOT_FOUND.

        A label is ignored, as on the real server.
        """
        if not request.HasField("model_spec"):
            raise errors.invalid_argument("Missing ModelSpec")
        spec = request.model_spec
        model = self._models.get(spec.name) or self._gone.get(spec.name)
        states, which = model.states() if model else {}, "any versions"
        if spec.WhichOneof("version_choice") == "version":
            version = spec.version.value
            states, which = {n: s for n, s in states.items() if n == version}, f"version {version}"
        if not states:
            raise errors.not_found(f"Could not find {which} of model {spec.name}")
        return states

    def close(self) -> None:
        """Unloads everything, after the requests under way."""
        with self._configuring:
            for model in list(self._models.values()):
                model.close()
        logging.info("all models are unloaded")
