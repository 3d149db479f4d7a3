"""TensorFlow Serving's JSON format of Classify and Regress: examples as objects of features."""

from __future__ import annotations

from tensorflow.core.example import example_pb2
from tensorflow_serving.apis import classification_pb2, regression_pb2

from export.server import errors
from export.server.rest import json_values
from export.server.rest.json_values import Json

_KINDS = {"int64_list": "int64", "float_list": "float", "bytes_list": "bytes"}


def _kind(name: str, value: Json) -> str:
    """The kind of list that a JSON value goes to."""
    if isinstance(value, int):  # true and false too
        if not -(2**63) <= value < 2**63:
            raise errors.invalid_argument(
                f"Feature: {name} has uint64 element. Only int64 is supported."
            )
        return "int64_list"
    if isinstance(value, float):
        return "float_list"
    if isinstance(value, str) or json_values.is_base64(value):
        return "bytes_list"
    raise errors.invalid_argument(
        f"Feature: {name} has element with unexpected JSON type: {json_values.type_name(value)}"
    )


def _converted(value: Json) -> int | float | bytes:
    """What goes into the list."""
    if isinstance(value, str):
        return value.encode()
    if json_values.is_base64(value):
        return json_values.from_base64(value)
    assert isinstance(value, int | float)  # `_kind` refused all else
    return value


def _fill(example: example_pb2.Example, body: Json) -> None:
    """Writes an object of features into a tf.train.Example."""
    if not isinstance(body, dict):
        raise errors.invalid_argument(
            f"Example must be JSON object but got JSON {json_values.type_name(body)}"
        )
    for name, content in body.items():
        feature = example.features.feature[name]
        for value in content if isinstance(content, list) else [content]:
            kind = _kind(name, value)
            if feature.WhichOneof("kind") not in (None, kind):
                had = _KINDS[feature.WhichOneof("kind")]
                raise errors.invalid_argument(
                    f"Unexpected element type in feature: {name} expecting type: {had}"
                )
            if isinstance(value, float):
                json_values.check_lossless(value, 24, "float")
            getattr(feature, kind).value.append(_converted(value))


def fill_request(
    body: dict[str, Json],
    request: classification_pb2.ClassificationRequest | regression_pb2.RegressionRequest,
) -> None:
    """Writes a parsed body into a ClassificationRequest or RegressionRequest."""
    request.model_spec.signature_name = body.get("signature_name", "")
    target = request.input.example_list
    if "context" in body:
        target = request.input.example_list_with_context
        _fill(target.context, body["context"])
    examples, whole = body.get("examples"), f"JSON Value: {json_values.text(body)}"
    if "examples" not in body:
        raise errors.invalid_argument(
            f"{whole} When method is classify, key 'examples' is expected and was not found"
        )
    if not isinstance(examples, list):
        raise errors.invalid_argument(f"{whole} Expecting 'examples' value to be an list/array")
    if not examples:
        raise errors.invalid_argument(f"{whole} 'examples' value is an empty array")
    for example in examples:
        _fill(target.examples.add(), example)


def classifications(result: classification_pb2.ClassificationResult) -> dict[str, Json]:
    """A ClassificationResult as JSON values: [label, score] for each class of each example."""
    return {
        "results": [
            [[one.label, json_values.plain_float(one.score)] for one in classes.classes]
            for classes in result.classifications
        ]
    }


def regressions(result: regression_pb2.RegressionResult) -> dict[str, Json]:
    """A RegressionResult as JSON values: a number for each example."""
    return {
        "results": [json_values.plain_float(regression.value) for regression in result.regressions]
    }
