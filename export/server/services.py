"""PredictionService and ModelService over the models of a server."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterator
from typing import TypeAlias, TypeVar

import grpc
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from export.client import tensors
from export.client.protocol import HINT
from export.server import errors, inference
from export.server.models import Models, NamesModel
from export.server.monitoring import Metrics
from export.server.servable import DEFAULT_SIGNATURE
from export.server.versions import ModelVersions

_METADATA_FIELD = "signature_def"
_MESSAGE_LIMIT = 1024  # bytes of a message that the real server sends
WaitForModels = Callable[[list[ModelVersions], float | None], None]
ServiceT = TypeVar("ServiceT")
RequestT = TypeVar("RequestT")
NamingT = TypeVar("NamingT", bound=NamesModel)
ResponseT = TypeVar("ResponseT")
_Method: TypeAlias = Callable[[ServiceT, RequestT, grpc.ServicerContext], ResponseT]


@contextlib.contextmanager
def counted(metrics: Metrics, model: str, api: str, entrypoint: str) -> Iterator[None]:
    """Counts a call by its status, and its time if it is answered."""
    start = time.perf_counter()
    try:
        yield
    except Exception as error:
        metrics.request_count.add(model, errors.as_serving_error(error).code.name)
        raise
    metrics.request_latency.add((time.perf_counter() - start) * 1e6, model, api, entrypoint)
    metrics.request_count.add(model, "OK")


def _answers(
    call: _Method[ServiceT, RequestT, ResponseT],
) -> _Method[ServiceT, RequestT, ResponseT]:
    """Turns a call's exceptions into its gRPC status; no request ends the server."""

    @functools.wraps(call)
    def answer(self: ServiceT, request: RequestT, context: grpc.ServicerContext) -> ResponseT:
        try:
            return call(self, request, context)
        except Exception as error:
            failure = errors.as_serving_error(error)
        message = failure.message.encode("utf-8", "surrogateescape")
        if len(message) > _MESSAGE_LIMIT:
            message = message[:_MESSAGE_LIMIT] + b"...TRUNCATED"
        if failure.hint:
            context.set_trailing_metadata(((HINT, failure.header_hint()),))
        context.abort(failure.code, message)
        raise AssertionError("abort raises")

    return answer


class Inference:
    """The calls that run a model; gRPC and REST answer with these.

    Args:
      models: of the server.
      metrics: to count in.
    """

    def __init__(self, models: Models, metrics: Metrics) -> None:
        self._models = models
        self._metrics = metrics

    def predict(
        self, request: predict_pb2.PredictRequest, seconds: float | None
    ) -> predict_pb2.PredictResponse:
        """Answers Predict; these raise ServingError or tf.errors.OpError."""
        spec = request.model_spec
        with self._models.in_use(request) as servable:
            outputs = servable.predict(
                spec.signature_name, request.inputs, request.output_filter, seconds, spec.name
            )
        response = predict_pb2.PredictResponse()
        _name_version(response.model_spec, spec, servable.version)
        for name, array in outputs.items():
            if isinstance(array, tensor_pb2.TensorProto):
                response.outputs[name].CopyFrom(array)
            else:
                tensors.encode_values(array, response.outputs[name])
        return response

    def classify(
        self, request: classification_pb2.ClassificationRequest, seconds: float | None
    ) -> classification_pb2.ClassificationResponse:
        """Answers Classify."""
        spec = request.model_spec
        response = classification_pb2.ClassificationResponse()
        with self._models.in_use(request) as servable:
            result = inference.classify(
                servable, spec.signature_name, request.input, spec.name, seconds
            )
        response.result.CopyFrom(result)
        self._metrics.count_examples(spec.name, len(result.classifications))
        _name_version(response.model_spec, spec, servable.version)
        return response

    def regress(
        self, request: regression_pb2.RegressionRequest, seconds: float | None
    ) -> regression_pb2.RegressionResponse:
        """Answers Regress."""
        spec = request.model_spec
        response = regression_pb2.RegressionResponse()
        with self._models.in_use(request) as servable:
            result = inference.regress(
                servable, spec.signature_name, request.input, spec.name, seconds
            )
        response.result.CopyFrom(result)
        self._metrics.count_examples(spec.name, len(result.regressions))
        _name_version(response.model_spec, spec, servable.version)
        return response

    def multi_inference(
        self, request: inference_pb2.MultiInferenceRequest, seconds: float | None
    ) -> inference_pb2.MultiInferenceResponse:
        """Answers MultiInference."""
        first = request.tasks[0] if request.tasks else inference_pb2.InferenceTask()
        first.model_spec.SetInParent()  # without one, it has no name
        with self._models.in_use(first) as servable:
            return inference.multi_inference(servable, request, seconds)


def _name_version(answer: model_pb2.ModelSpec, asked: model_pb2.ModelSpec, version: int) -> None:
    answer.name = asked.name
    answer.version.value = version
    answer.signature_name = asked.signature_name or DEFAULT_SIGNATURE


def model_metadata(
    models: Models, request: get_model_metadata_pb2.GetModelMetadataRequest
) -> get_model_metadata_pb2.GetModelMetadataResponse:
    """Answers GetModelMetadata."""
    if not request.HasField("model_spec"):
        raise errors.invalid_argument("Missing ModelSpec")
    if not request.metadata_field:
        raise errors.invalid_argument(
            "GetModelMetadataRequest must specify at least one metadata_field"
        )
    for field in request.metadata_field:
        if field != _METADATA_FIELD:
            raise errors.invalid_argument(f"Metadata field {field} is not supported")
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    with models.in_use(request) as servable:
        response.model_spec.name = request.model_spec.name
        response.model_spec.version.value = servable.version
        for name, signature in servable.signatures.items():
            signatures.signature_def[name].CopyFrom(signature)
    response.metadata[_METADATA_FIELD].Pack(signatures)
    return response


def model_status(
    models: Models, request: get_model_status_pb2.GetModelStatusRequest
) -> get_model_status_pb2.GetModelStatusResponse:
    """Answers GetModelStatus."""
    response = get_model_status_pb2.GetModelStatusResponse()
    for number, state in models.states(request).items():
        status = response.model_version_status.add(version=number, state=state.state)
        status.status.error_code = state.code
        status.status.error_message = state.message
    return response


class PredictionService(
    prediction_service_pb2_grpc.PredictionServiceServicer  # type: ignore[misc]  # has no types
):
    """Predict, Classify, Regress, MultiInference and GetModelMetadata."""

    def __init__(self, models: Models, metrics: Metrics) -> None:
        self._models = models
        self._metrics = metrics
        self._inference = Inference(models, metrics)

    def _counted(
        self,
        api: str,
        call: Callable[[NamingT, float | None], ResponseT],
        request: NamingT,
        context: grpc.ServicerContext,
    ) -> ResponseT:
        with counted(self._metrics, request.model_spec.name, api, "GRPC"):
            return call(request, context.time_remaining())

    @_answers
    def Predict(  # noqa: N802
        self, request: predict_pb2.PredictRequest, context: grpc.ServicerContext
    ) -> predict_pb2.PredictResponse:
        """Outputs of any signature for a request's tensors."""
        return self._counted("Predict", self._inference.predict, request, context)

    @_answers
    def Classify(  # noqa: N802
        self, request: classification_pb2.ClassificationRequest, context: grpc.ServicerContext
    ) -> classification_pb2.ClassificationResponse:
        """Classes and scores of each example."""
        return self._counted("Classify", self._inference.classify, request, context)

    @_answers
    def Regress(  # noqa: N802
        self, request: regression_pb2.RegressionRequest, context: grpc.ServicerContext
    ) -> regression_pb2.RegressionResponse:
        """A value of each example."""
        return self._counted("Regress", self._inference.regress, request, context)

    @_answers
    def MultiInference(  # noqa: N802
        self, request: inference_pb2.MultiInferenceRequest, context: grpc.ServicerContext
    ) -> inference_pb2.MultiInferenceResponse:
        """Several classifications and regressions of the same examples."""
        return self._inference.multi_inference(request, context.time_remaining())

    @_answers
    def GetModelMetadata(  # noqa: N802
        self, request: get_model_metadata_pb2.GetModelMetadataRequest, context: grpc.ServicerContext
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """The signatures of a version."""
        return model_metadata(self._models, request)


class ModelService(
    model_service_pb2_grpc.ModelServiceServicer  # type: ignore[misc]  # has no types
):
    """GetModelStatus and HandleReloadConfigRequest.

    Args:
      models: of the server.
      metrics: whose increase a reload may ask for.
      wait: waits for so many seconds until the models that are new answer.
    """

    def __init__(self, models: Models, metrics: Metrics, wait: WaitForModels) -> None:
        self._models = models
        self._metrics = metrics
        self._wait = wait

    @_answers
    def GetModelStatus(  # noqa: N802
        self, request: get_model_status_pb2.GetModelStatusRequest, context: grpc.ServicerContext
    ) -> get_model_status_pb2.GetModelStatusResponse:
        """The states of a model's versions."""
        return model_status(self._models, request)

    @_answers
    def HandleReloadConfigRequest(  # noqa: N802
        self, request: model_management_pb2.ReloadConfigRequest, context: grpc.ServicerContext
    ) -> model_management_pb2.ReloadConfigResponse:
        """Serves what the request's configuration says and nothing else."""
        if request.config.WhichOneof("config") != "model_config_list":
            raise errors.invalid_argument(
                "ServerModelConfig type not supported by HandleReloadConfigRequest. Only "
                "ModelConfigList is currently supported"
            )
        seconds = context.time_remaining()
        names = sorted(set(request.metric_names))
        before = {name: self._metrics.first_value(name) for name in names}
        self._models.configure(request.config, lambda new: self._wait(new, seconds))
        response = model_management_pb2.ReloadConfigResponse()
        response.status.SetInParent()
        for name in names:
            increase = self._metrics.first_value(name) - before[name]
            response.metric.add(name=name, int64_value_increase=increase)
        return response
