"""TensorFlow Serving's JSON format of Classify and Regress: examples as objects of features."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np

from export.server import errors

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
    if isinstance(value, dict) and list(value) == ["b64"] and isinstance(value["b64"], str):
        try:
            return "bytes_list", base64.b64decode(value["b64"], validate=True)
        except ValueError:
            raise errors.invalid_argument(f"Feature: {name}: unable to base64 decode") from None
    raise errors.invalid_argument(
        f"Feature: {name} has element with unexpected JSON type: {_type_name(value)}"
    )


def _type_name(value: Any) -> str:
    names = {dict: "Object", list: "Array", type(None): "Null"}
    return names.get(type(value), type(value).__name__)


def _fill(example: Any, body: Any) -> None:
    """Writes an object of features into a tf.train.Example."""
    if not isinstance(body, dict):
        raise errors.invalid_argument(
            f"Example must be JSON object but got JSON {_type_name(body)}"
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
            try:
                getattr(feature, kind).value.append(converted)
            except (ValueError, OverflowError):
                raise errors.invalid_argument(
                    f"Feature: {name}: a number is out of range of float"
                ) from None


def fill_request(body: Any, request: Any) -> None:
    """Writes a decoded body into a ClassificationRequest or RegressionRequest."""
    if not isinstance(body, dict):
        raise errors.invalid_argument("the request must be a JSON object")
    name = body.get("signature_name", "")
    if not isinstance(name, str):
        raise errors.invalid_argument("'signature_name' key must be a string value.")
    request.model_spec.signature_name = name
    examples = body.get("examples")
    if "examples" not in body:
        raise errors.invalid_argument(
            "When method is classify, key 'examples' is expected and was not found"
        )
    if not isinstance(examples, list):
        raise errors.invalid_argument("Expecting 'examples' value to be an list/array")
    if not examples:
        raise errors.invalid_argument("'examples' value is an empty array")
    target = request.input.example_list
    if "context" in body:
        target = request.input.example_list_with_context
        _fill(target.context, body["context"])
    for example in examples:
        _fill(target.examples.add(), example)


def plain_float(value: float) -> float:
    """A float32 as the shortest decimal that reads back as it: 0.1, not 0.10000000149."""
    return float(str(np.float32(value)))


def classifications(result: Any) -> Mapping[str, Any]:
    """A ClassificationResult as JSON values: [label, score] for each class of each example."""
    return {
        "results": [
            [[one.label, plain_float(one.score)] for one in classes.classes]
            for classes in result.classifications
        ]
    }


def regressions(result: Any) -> Mapping[str, Any]:
    """A RegressionResult as JSON values: a number for each example."""
    return {"results": [plain_float(regression.value) for regression in result.regressions]}
