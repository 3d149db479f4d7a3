"""The models of a server: which ones, in which versions, under which labels."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc
from absl import logging
from tensorflow_serving.config import model_server_config_pb2

from export.server import errors
from export.server.servable import Servable
from export.server.versions import ModelVersions, Policy, VersionState, newest
from input_pipeline import filesystem

PLATFORM = "tensorflow"
MakeVersions = Callable[[str, str, Policy], ModelVersions]


def single_model(name: str, base_path: str) -> model_server_config_pb2.ModelServerConfig:
    """The configuration that --model_name and --model_base_path stand for."""
    config = model_server_config_pb2.ModelServerConfig()
    config.model_config_list.config.add(name=name, base_path=base_path, model_platform=PLATFORM)
    return config


def _policy(config: Any) -> Policy:
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
        self._models: dict[str, ModelVersions] = {}  # replaced as a whole, so read without a lock
        self._configured = False
        self._configuring = threading.Lock()

    def configure(self, config: Any, wait: Callable[[], None]) -> None:
        """Serves what a ModelServerConfig says and nothing else.

        Args:
          config: the configuration.
          wait: called after versions were looked for once, to wait until every model answers.

        Raises:
          ServingError: INVALID_ARGUMENT for a configuration that cannot be; FAILED_PRECONDITION
            for a label of a version that is not available. Models that did serve still do.
        """
        with self._configuring:
            listed = self._checked(config)
            models = {
                one.name: self._models.get(one.name)
                or self._make_versions(one.name, one.base_path, _policy(one))
                for one in listed
            }
            new = [models[name] for name in models if name not in self._models]
            for model in new:
                model.find()  # a missing base path is a mistake now; later it may come back
            for one in listed:
                models[one.name].base_path = one.base_path
                models[one.name].policy = _policy(one)
            gone = [model for name, model in self._models.items() if name not in models]
            self._models = models
            self.poll()
            for model in gone:
                model.close()
            # As on the real server, none counts as available while the first one is read.
            wait()
            self._set_labels(listed, at_start=not self._configured)
            self._configured = True

    def _checked(self, config: Any) -> list[Any]:
        """The ModelConfigs; INVALID_ARGUMENT where they cannot be served."""
        if config.WhichOneof("config") != "model_config_list":
            raise errors.invalid_argument(
                "ServerModelConfig type not supported by HandleReloadConfigRequest. Only "
                "ModelConfigList is currently supported"
            )
        names: set[str] = set()
        for one in config.model_config_list.config:
            if one.name in names:
                raise errors.invalid_argument(
                    f"Illegal to list model {one.name} multiple times in config list"
                )
            names.add(one.name)
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

    def _set_labels(self, listed: list[Any], at_start: bool) -> None:
        for one in listed:
            model = self._models[one.name]
            available = [] if at_start else model.available()
            for label, version in one.version_labels.items():
                moves = model.labels.get(label, version) != version
                if version not in available and (moves or not self._labels_of_unavailable):
                    raise errors.failed_precondition(
                        f"Request to assign label to version {version} of model {one.name}, which "
                        "is not currently available for inference"
                    )
        for one in listed:
            self._models[one.name].labels = dict(one.version_labels)

    def poll(self) -> None:
        """Looks once for new versions of every model."""
        for model in list(self._models.values()):
            model.poll()

    def all(self) -> list[ModelVersions]:
        return list(self._models.values())

    def _resolve(self, request: Any) -> tuple[ModelVersions, int | None]:
        """The model that a request names, and the version, None for the newest."""
        if not request.HasField("model_spec"):
            raise errors.invalid_argument("Missing ModelSpec")
        spec = request.model_spec
        if not spec.name:
            raise errors.invalid_argument("ModelSpec has no name specified.")
        choice = spec.WhichOneof("version_choice")
        model = self._models.get(spec.name)
        if choice == "version_label":
            version = model.labels.get(spec.version_label) if model else None
            if version is None:
                raise errors.invalid_argument(
                    f"Unrecognized servable version label: {spec.version_label}"
                )
        else:
            version = spec.version.value if choice else None
        if model is None:
            wanted = f"Specific({spec.name}, {version})" if choice else f"Latest({spec.name})"
            raise errors.not_found(f"Servable not found for request: {wanted}")
        return model, version

    @contextlib.contextmanager
    def in_use(self, request: Any) -> Iterator[Servable]:
        """The version that a request names, kept loaded; raises as the real server answers."""
        model, version = self._resolve(request)
        with model.in_use(version) as servable:
            yield servable

    def states(self, request: Any) -> dict[int, VersionState]:
        """The states of the version that a request names, or of all; raises NOT_FOUND."""
        name = request.model_spec.name
        try:
            model, version = self._resolve(request)
        except errors.ServingError as error:
            if error.code != grpc.StatusCode.NOT_FOUND:
                raise
            raise errors.not_found(f"Could not find any versions of model {name}") from None
        states = model.states()
        if version is not None:
            states = {number: state for number, state in states.items() if number == version}
        if not states:
            which = "any versions" if version is None else f"version {version}"
            raise errors.not_found(f"Could not find {which} of model {name}")
        return states

    def close(self) -> None:
        """Unloads everything, after the requests under way."""
        with self._configuring:
            for model in self.all():
                model.close()
        logging.info("all models are unloaded")
