"""PredictionService and ModelService over the versions of one model."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import grpc
import tensorflow as tf
from absl import logging
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from export import tensors
from export.server import errors
from export.server.servable import DEFAULT_SIGNATURE
from export.server.versions import ModelVersions, VersionState

_METADATA_FIELD = "signature_def"


def as_serving_error(error: Exception) -> errors.ServingError:
    """Any exception of a call as the status and message to answer it with."""
    if isinstance(error, errors.ServingError):
        return error
    if isinstance(error, tf.errors.OpError):
        return errors.ServingError(errors.code_of(error.error_code), error.message)
    if isinstance(error, MemoryError):
        return errors.resource_exhausted("out of memory")
    logging.exception("a request failed")
    return errors.ServingError(grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}")


def _answers(call: Callable[[Any, Any, Any], Any]) -> Callable[[Any, Any, Any], Any]:
    """Turns a call's exceptions into its gRPC status; no request ends the server."""

    @functools.wraps(call)
    def answer(self: Any, request: Any, context: grpc.ServicerContext) -> Any:
        try:
            return call(self, request, context)
        except Exception as error:
            failure = as_serving_error(error)
        context.abort(failure.code, failure.message)

    return answer


def requested_version(request: Any, versions: ModelVersions) -> int | None:
    """The version that a request names, None for the newest; checks the model's name too."""
    if not request.HasField("model_spec"):
        raise errors.invalid_argument("Missing ModelSpec")
    spec = request.model_spec
    choice = spec.WhichOneof("version_choice")
    if choice == "version_label":
        raise errors.invalid_argument(f"Unrecognized servable version label: {spec.version_label}")
    version = spec.version.value if choice else None
    if spec.name != versions.name:
        wanted = f"Specific({spec.name}, {version})" if choice else f"Latest({spec.name})"
        raise errors.not_found(f"Servable not found for request: {wanted}")
    return version


def requested_states(request: Any, versions: ModelVersions) -> dict[int, VersionState]:
    """The states of the version that a request names, or of all; raises NOT_FOUND."""
    name = request.model_spec.name
    try:
        version = requested_version(request, versions)
    except errors.ServingError as error:
        if error.code != grpc.StatusCode.NOT_FOUND:
            raise
        raise errors.not_found(f"Could not find any versions of model {name}") from None
    states = versions.states()
    if version is not None:
        states = {number: state for number, state in states.items() if number == version}
    if not states:
        which = "any versions" if version is None else f"version {version}"
        raise errors.not_found(f"Could not find {which} of model {name}")
    return states


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Predict and GetModelMetadata; the other calls are answered with UNIMPLEMENTED."""

    def __init__(self, versions: ModelVersions) -> None:
        self._versions = versions

    @_answers
    def Predict(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        with self._versions.in_use(requested_version(request, self._versions)) as servable:
            outputs = servable.predict(
                request.model_spec.signature_name,
                request.inputs,
                request.output_filter,
                context.time_remaining(),
            )
        response = predict_pb2.PredictResponse()
        response.model_spec.name = self._versions.name
        response.model_spec.version.value = servable.version
        response.model_spec.signature_name = request.model_spec.signature_name or DEFAULT_SIGNATURE
        for name, array in outputs.items():
            tensors.encode_values(array, response.outputs[name])
        return response

    @_answers
    def GetModelMetadata(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        version = requested_version(request, self._versions)
        if not request.metadata_field:
            raise errors.invalid_argument(
                "GetModelMetadataRequest must specify at least one metadata_field"
            )
        for field in request.metadata_field:
            if field != _METADATA_FIELD:
                raise errors.invalid_argument(f"Metadata field {field} is not supported")
        signatures = get_model_metadata_pb2.SignatureDefMap()
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        with self._versions.in_use(version) as servable:
            response.model_spec.name = self._versions.name
            response.model_spec.version.value = servable.version
            for name, signature in servable.signatures.items():
                signatures.signature_def[name].CopyFrom(signature)
        response.metadata[_METADATA_FIELD].Pack(signatures)
        return response


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """GetModelStatus; the other calls are answered with UNIMPLEMENTED."""

    def __init__(self, versions: ModelVersions) -> None:
        self._versions = versions

    @_answers
    def GetModelStatus(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        response = get_model_status_pb2.GetModelStatusResponse()
        for number, state in requested_states(request, self._versions).items():
            status = response.model_version_status.add(version=number, state=state.state)
            status.status.error_code = state.code
            status.status.error_message = state.message
        return response
