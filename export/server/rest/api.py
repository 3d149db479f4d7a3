"""The calls of TensorFlow Serving's REST interface, from a path and a body to a JSON value."""

from __future__ import annotations

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
from export.server.rest.json_values import Json
from export.server.services import Inference, counted, model_metadata, model_status

_PATH = re.compile(
    r"/v1/models(?:/(?P<model>[^/:]+))?(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
    r"(?P<call>:predict|:classify|:regress|/metadata)?",
    re.IGNORECASE,
)


def _name_model(spec: model_pb2.ModelSpec, path: re.Match[str]) -> None:
    """Writes what the path names into a ModelSpec."""
    if not path["model"]:
        raise errors.invalid_argument("Missing model name in request.")
    spec.name = urllib.parse.unquote(path["model"])
    if path["label"]:
        spec.version_label = urllib.parse.unquote(path["label"])
    if path["version"]:
        if int(path["version"]) >= 2**63:
            raise errors.invalid_argument(
                f"Failed to convert version: {path['version']} to numeric."
            )
        spec.version.value = int(path["version"])


class RestApi:
    """Answers REST calls as JSON values.

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
            ("GET", ""): self._status,
            ("GET", "/metadata"): self._metadata,
            ("POST", ":predict"): self._predict,
            ("POST", ":classify"): self._classify,
            ("POST", ":regress"): self._regress,
        }

    def __call__(self, method: str, path: str, body: bytes) -> dict[str, Json]:
        """The answer to a call; raises ServingError."""
        match = _PATH.fullmatch(path)
        kind = (match["call"] or "") if match else ""
        call = self._calls.get((method, kind)) if match else None
        if match is None or call is None or (kind.startswith(":") and not match["model"]):
            with counted(self._metrics, "", "", "REST"):
                raise errors.invalid_argument(f"Malformed request: {method} {path}")
        api = kind.removeprefix(":") if kind.startswith(":") else ""
        with counted(self._metrics, urllib.parse.unquote(match["model"] or ""), api, "REST"):
            return call(match, body)

    def _predict(self, path: re.Match[str], body: bytes) -> dict[str, Json]:
        request = predict_pb2.PredictRequest()
        _name_model(request.model_spec, path)
        decoded = json_values.parsed(body)
        with self._models.in_use(request) as servable:
            predict.fill_request(decoded, servable.signatures, request)
        response = self._inference.predict(request, self._timeout_seconds)
        return predict.answer(response, columns="inputs" in decoded)

    def _classify(self, path: re.Match[str], body: bytes) -> dict[str, Json]:
        request = classification_pb2.ClassificationRequest()
        _name_model(request.model_spec, path)
        examples.fill_request(json_values.parsed(body), request)
        response = self._inference.classify(request, self._timeout_seconds)
        return examples.classifications(response.result)

    def _regress(self, path: re.Match[str], body: bytes) -> dict[str, Json]:
        request = regression_pb2.RegressionRequest()
        _name_model(request.model_spec, path)
        examples.fill_request(json_values.parsed(body), request)
        response = self._inference.regress(request, self._timeout_seconds)
        return examples.regressions(response.result)

    def _metadata(self, path: re.Match[str], body: bytes) -> dict[str, Json]:
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        _name_model(request.model_spec, path)
        return descriptions.metadata(model_metadata(self._models, request))

    def _status(self, path: re.Match[str], body: bytes) -> dict[str, Json]:
        request = get_model_status_pb2.GetModelStatusRequest()
        _name_model(request.model_spec, path)
        return descriptions.status(model_status(self._models, request))
