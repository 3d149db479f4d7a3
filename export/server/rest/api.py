"""The calls of TensorFlow Serving's REST interface, from a path and a body to JSON."""

from __future__ import annotations

import contextlib
import re
import urllib.parse

from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    predict_pb2,
    regression_pb2,
)

from export.server import errors
from export.server.models import Models
from export.server.monitoring import Metrics
from export.server.rest import descriptions, examples, json_values, predict
from export.server.rest.json_reader import JsonObject
from export.server.services import Inference, counted, model_metadata, model_status

_PATH = re.compile(
    r"/v1/models(?:/(?P<model>[^/:]+))?(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
    r"(?P<call>:predict|:classify|:regress|/metadata)?",
    re.IGNORECASE | re.ASCII,
)


class NoAnswer(errors.ServingError):
    """An error that the real server tells by its status alone."""


def _name_model(spec: model_pb2.ModelSpec, path: re.Match[str]) -> None:
    """Writes what the path names into a ModelSpec."""
    if not path["model"]:
        raise errors.invalid_argument("Missing model name in request.")
    spec.name = urllib.parse.unquote(path["model"])
    if path["label"]:
        spec.version_label = urllib.parse.unquote(path["label"])
    if path["version"]:
        if int(path["version"]) >= 2**63:
            failure = errors.invalid_argument(
                f"Failed to convert version: {path['version']} to numeric."
            )
            raise NoAnswer(failure.code, failure.message)
        spec.version.value = int(path["version"])


class RestApi:
    """Answers REST calls as JSON.

    Args:
      models: of the server.
      metrics: to count in.
      timeout_seconds: until a call is given up.
    """

    def __init__(self, models: Models, metrics: Metrics, timeout_seconds: float) -> None:
        self._models = models
        self._metrics = metrics
        self._inference = Inference(models, metrics)
        self._timeout_seconds = timeout_seconds
        self._calls = {
            ("POST", ":predict"): self._predict,
            ("POST", ":classify"): self._classify,
            ("POST", ":regress"): self._regress,
            ("GET", "/metadata"): self._metadata,
        }

    def __call__(self, method: str, path: str, body: bytes) -> str:
        """The answer to a call; raises ServingError."""
        match = _PATH.fullmatch(path)
        kind = (match["call"] or "") if match else ""
        call = self._calls.get((method, kind))
        # A subresource in other letters is found, and then taken for none.
        if call is None and method == "GET" and not kind.startswith(":"):
            call = self._status
        if match is None or call is None or (kind.startswith(":") and not match["model"]):
            with counted(self._metrics, "", "", "REST"):
                raise errors.invalid_argument(f"Malformed request: {method} {path}")
        api = kind.removeprefix(":") if kind.startswith(":") else ""
        with counted(self._metrics, urllib.parse.unquote(match["model"] or ""), api, "REST"):
            return call(match, body)

    def count_preflight(self) -> contextlib.AbstractContextManager[None]:
        """Counts a call that asks whether another site's page may call."""
        return counted(self._metrics, "", "", "REST")

    def _predict(self, path: re.Match[str], body: bytes) -> str:
        request = predict_pb2.PredictRequest()
        _name_model(request.model_spec, path)
        decoded = json_values.parsed(body)
        with self._models.in_use(request) as servable:
            predict.fill_request(decoded, servable.signatures, request)
        response = self._inference.predict(request, self._timeout_seconds)
        return predict.answer(response, columns="inputs" in decoded)

    def _name_signature(
        self,
        body: JsonObject,
        request: classification_pb2.ClassificationRequest | regression_pb2.RegressionRequest,
    ) -> None:
        name = body.get("signature_name", "")
        if json_values.is_text(name):
            request.model_spec.signature_name = name
            return
        with self._models.in_use(request):
            raise errors.invalid_argument(f"No signature was found with the name: {name}")

    def _classify(self, path: re.Match[str], body: bytes) -> str:
        request = classification_pb2.ClassificationRequest()
        _name_model(request.model_spec, path)
        decoded = json_values.parsed(body)
        examples.fill_request(decoded, request)
        self._name_signature(decoded, request)
        response = self._inference.classify(request, self._timeout_seconds)
        return examples.classifications(response.result)

    def _regress(self, path: re.Match[str], body: bytes) -> str:
        request = regression_pb2.RegressionRequest()
        _name_model(request.model_spec, path)
        decoded = json_values.parsed(body)
        examples.fill_request(decoded, request)
        self._name_signature(decoded, request)
        response = self._inference.regress(request, self._timeout_seconds)
        return examples.regressions(response.result)

    def _metadata(self, path: re.Match[str], body: bytes) -> str:
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        _name_model(request.model_spec, path)
        return descriptions.metadata(model_metadata(self._models, request))

    def _status(self, path: re.Match[str], body: bytes) -> str:
        request = get_model_status_pb2.GetModelStatusRequest()
        _name_model(request.model_spec, path)
        return descriptions.status(model_status(self._models, request))
