"""TensorFlow Serving's JSON format of Classify and Regress: examples as objects of features."""

from __future__ import annotations

from typing import Any

import numpy as np
from tensorflow.core.example import example_pb2, feature_pb2
from tensorflow_serving.apis import classification_pb2, regression_pb2

from export.server import errors
from export.server.rest import json_values, json_writer
from export.server.rest.json_reader import JsonObject
from export.server.rest.json_values import Json
from export.server.rest.json_writer import Writer

_KINDS = {"int64_list": "int64", "float_list": "float", "bytes_list": "bytes"}
_LARGEST_FLOAT = float(np.finfo(np.float32).max)


def _kind(name: str, value: Json) -> str:
    """The kind of list that a JSON value goes to."""
    if isinstance(value, int):  # true and false too
        return "int64_list"
    if isinstance(value, float):
        return "float_list"
    if isinstance(value, str) or json_values.is_base64(value):
        return "bytes_list"
    raise errors.invalid_argument(
        f"Feature: {name} has element with unexpected JSON type: {json_values.type_name(value)}"
    )


def _converted(name: str, value: Any) -> int | float | bytes:
    """What goes into the list."""
    if isinstance(value, str):
        return json_values.to_bytes(value)
    if isinstance(value, JsonObject):
        return json_values.from_base64(value)
    if isinstance(value, float):
        if abs(value) <= _LARGEST_FLOAT:
            return value
        with np.errstate(over="ignore"):
            return float(np.float32(value))
    if value >= 2**63:
        raise errors.invalid_argument(
            f"Feature: {name} has uint64_t element. Only int64_t is supported."
        )
    return int(value)


def _feature(name: str, content: Json) -> feature_pb2.Feature:
    feature = feature_pb2.Feature()
    for value in content if isinstance(content, list) else [content]:
        kind = _kind(name, value)
        had = feature.WhichOneof("kind")
        if had not in (None, kind):
            raise errors.invalid_argument(
                f"Unexpected element type in feature: {name} expecting type: {_KINDS[had]}"
            )
        getattr(feature, kind).value.append(_converted(name, value))
    return feature


def _fill(example: example_pb2.Example, body: Json) -> None:
    """Writes an object of features into a tf.train.Example."""
    if not isinstance(body, JsonObject):
        raise errors.invalid_argument(
            f"Example must be JSON object but got JSON {json_values.type_name(body)}"
        )
    for key, content in body.members():
        name = key.partition("\0")[0]
        feature = _feature(name, content)
        if json_values.is_text(name):  # no graph reads a feature of another name
            example.features.feature[name].CopyFrom(feature)


def fill_request(
    body: JsonObject,
    request: classification_pb2.ClassificationRequest | regression_pb2.RegressionRequest,
) -> None:
    """Writes the examples of a parsed body into a ClassificationRequest or RegressionRequest."""
    target = request.input.example_list
    if "context" in body:
        target = request.input.example_list_with_context
        _fill(target.context, body["context"])
    examples = body.get("examples")
    if "examples" not in body:
        fault = "When method is classify, key 'examples' is expected and was not found"
    elif not isinstance(examples, list):
        fault = "Expecting 'examples' value to be an list/array"
    elif not examples:
        fault = "'examples' value is an empty array"
    else:
        for example in examples:
            _fill(target.examples.add(), example)
        return
    raise errors.invalid_argument(f"JSON Value: {json_writer.message(body)} {fault}")


def classifications(result: classification_pb2.ClassificationResult) -> str:
    """A ClassificationResult as JSON: [label, score] for each class of each example."""
    writer = Writer()
    writer.open("{")
    writer.name("results")
    writer.open("[")
    for classes in result.classifications:
        writer.single_line = True
        writer.write([[one.label, np.float32(one.score)] for one in classes.classes])
        writer.single_line = False
    writer.close()
    writer.close()
    return writer.text()


def regressions(result: regression_pb2.RegressionResult) -> str:
    """A RegressionResult as JSON: a number for each example."""
    writer = Writer()
    writer.open("{")
    writer.name("results")
    writer.single_line = True
    writer.write([np.float32(regression.value) for regression in result.regressions])
    writer.close()
    return writer.text()
