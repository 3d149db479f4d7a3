"""TensorFlow Serving's JSON format of Classify and Regress: examples as objects of features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from export.server import errors
from export.server.rest import values as rest_values

_KINDS = {"int64_list": "int64", "float_list": "float", "bytes_list": "bytes"}


def _value(name: str, value: Any) -> tuple[str, Any]:
    """A JSON value as the kind of list that it goes to, and what goes there."""
    if isinstance(value, int):  # true and false too
        if not -(2**63) <= value < 2**63:
            raise errors.invalid_argument(
                f"Feature: {name} has uint64 element. Only int64 is supported."
            )
        return "int64_list", int(value)
    if isinstance(value, float):
        return "float_list", value
    if isinstance(value, str):
        return "bytes_list", value.encode()
    if rest_values.is_base64(value):
        return "bytes_list", value
    raise errors.invalid_argument(
        f"Feature: {name} has element with unexpected JSON type: {rest_values.type_name(value)}"
    )


def _fill(example: Any, body: Any) -> None:
    """Writes an object of features into a tf.train.Example."""
    if not isinstance(body, dict):
        raise errors.invalid_argument(
            f"Example must be JSON object but got JSON {rest_values.type_name(body)}"
        )
    for name, content in body.items():
        feature = example.features.feature[name]
        for value in content if isinstance(content, list) else [content]:
            kind, converted = _value(name, value)
            if feature.WhichOneof("kind") not in (None, kind):
                had = _KINDS[feature.WhichOneof("kind")]
                raise errors.invalid_argument(
                    f"Unexpected element type in feature: {name} expecting type: {had}"
                )
            if kind == "float_list":
                rest_values.check_lossless(value, 24, "float")
            elif isinstance(converted, dict):
                converted = rest_values.from_base64(converted)
            getattr(feature, kind).value.append(converted)


def fill_request(body: dict[str, Any], request: Any) -> None:
    """Writes a parsed body into a ClassificationRequest or RegressionRequest."""
    request.model_spec.signature_name = body.get("signature_name", "")
    target = request.input.example_list
    if "context" in body:
        target = request.input.example_list_with_context
        _fill(target.context, body["context"])
    examples, whole = body.get("examples"), f"JSON Value: {rest_values.text(body)}"
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


def classifications(result: Any) -> Mapping[str, Any]:
    """A ClassificationResult as JSON values: [label, score] for each class of each example."""
    return {
        "results": [
            [[one.label, rest_values.plain_float(one.score)] for one in classes.classes]
            for classes in result.classifications
        ]
    }


def regressions(result: Any) -> Mapping[str, Any]:
    """A RegressionResult as JSON values: a number for each example."""
    return {
        "results": [rest_values.plain_float(regression.value) for regression in result.regressions]
    }
