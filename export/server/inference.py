"""Classify, Regress and MultiInference: signatures over serialized tf.train.Examples."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import classification_pb2, inference_pb2, regression_pb2

from export.server import errors
from export.server.servable import DEFAULT_SIGNATURE, Servable

CLASSIFY_METHOD = tf.saved_model.CLASSIFY_METHOD_NAME
REGRESS_METHOD = tf.saved_model.REGRESS_METHOD_NAME
_INPUTS = "inputs"
_CLASSES, _SCORES, _OUTPUTS = "classes", "scores", "outputs"


def _examples(message: Any) -> np.ndarray:
    """The serialized examples of an `Input`, the context's features put before each one's own."""
    kind = message.WhichOneof("kind")
    listed = getattr(message, kind).examples if kind else ()
    if not listed:
        raise errors.invalid_argument("Input is empty.")
    context = b""
    if kind == "example_list_with_context":
        context = message.example_list_with_context.context.SerializeToString()
    # Concatenated bytes of two messages are the bytes of the merged one.
    return np.array([context + example.SerializeToString() for example in listed], object)


def _checked(servable: Servable, name: str, method: str, kind: str) -> tuple[str, ...]:
    """The outputs of a signature of that method; raises INVALID_ARGUMENT where it is none."""
    signature = servable.signatures.get(name)
    if signature is None:
        raise errors.invalid_argument(f"No signature was found with the name: {name}")
    if signature.method_name != method:
        raise errors.invalid_argument(
            f"Expected {kind} signature method_name to be {method}. Was: {signature.method_name}"
        )
    if len(signature.inputs) != 1:
        raise errors.invalid_argument("Expected one input Tensor.")
    if _INPUTS not in signature.inputs:
        raise errors.failed_precondition(f"No {kind} inputs found in SignatureDef: {signature}")
    allowed = (_CLASSES, _SCORES) if method == CLASSIFY_METHOD else (_OUTPUTS,)
    if not set(signature.outputs) <= set(allowed):
        raise errors.failed_precondition(
            f"Expected {kind} signature outputs to be among {allowed}. Signature was: {signature}"
        )
    return tuple(sorted(signature.outputs))


def _run(
    servable: Servable, name: str, names: tuple[str, ...], serialized: np.ndarray, seconds: Any
) -> dict[str, np.ndarray]:
    outputs = servable.run(name, [serialized], names, seconds)
    for output, array in zip(names, outputs, strict=True):
        if len(array) != len(serialized):
            raise errors.invalid_argument(
                f"Expected {output} output batch size of {len(serialized)}. Got: {len(array)}"
            )
    return dict(zip(names, outputs, strict=True))


def classify(
    servable: Servable, name: str, message: Any, seconds: float | None = None
) -> classification_pb2.ClassificationResult:
    """The classes and scores of each example of an `Input`."""
    name = name or DEFAULT_SIGNATURE
    names = _checked(servable, name, CLASSIFY_METHOD, "classification")
    outputs = _run(servable, name, names, _examples(message), seconds)
    shapes = {output: array.shape for output, array in outputs.items()}
    if any(len(shape) != 2 for shape in shapes.values()) or len(set(shapes.values())) != 1:
        raise errors.invalid_argument(
            f"Expected Tensor shape: [batch_size num_classes] but got {shapes}"
        )
    fields = {_CLASSES: "label", _SCORES: "score"}
    result = classification_pb2.ClassificationResult()
    columns = [(fields[output], array.tolist()) for output, array in outputs.items()]
    for row in range(len(columns[0][1])):
        classes = result.classifications.add().classes
        for values in zip(*(column[row] for _, column in columns), strict=True):
            classes.add(**{key: v for (key, _), v in zip(columns, values, strict=True)})
    return result


def regress(
    servable: Servable, name: str, message: Any, seconds: float | None = None
) -> regression_pb2.RegressionResult:
    """The value of each example of an `Input`."""
    name = name or DEFAULT_SIGNATURE
    names = _checked(servable, name, REGRESS_METHOD, "regression")
    values = _run(servable, name, names, _examples(message), seconds)[_OUTPUTS]
    if values.shape not in ((len(values),), (len(values), 1)):
        raise errors.invalid_argument(
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got "
            f"{list(values.shape)}"
        )
    result = regression_pb2.RegressionResult()
    for value in values.ravel().tolist():
        result.regressions.add(value=value)
    return result


def multi_inference(
    servable: Servable, request: inference_pb2.MultiInferenceRequest, seconds: float | None = None
) -> inference_pb2.MultiInferenceResponse:
    """Several classifications and regressions of the same examples, by one version."""
    response = inference_pb2.MultiInferenceResponse()
    seen: set[str] = set()
    for task in request.tasks:
        name = task.model_spec.signature_name or DEFAULT_SIGNATURE
        if task.model_spec.name != request.tasks[0].model_spec.name:
            raise errors.invalid_argument(
                "All ModelSpecs in a MultiInferenceRequest must access the same model name."
            )
        if name in seen:
            raise errors.invalid_argument(f"Duplicate evaluation of signature: {name}")
        seen.add(name)
        if name not in servable.signatures:
            raise errors.invalid_argument(f"Requested signature not found in model graph: {name}")
        if task.method_name not in (CLASSIFY_METHOD, REGRESS_METHOD):
            raise errors.unimplemented(f"Unsupported signature method_name: {task.method_name}")
        result = response.results.add()
        if task.method_name == CLASSIFY_METHOD:
            answer = classify(servable, name, request.input, seconds)
            result.classification_result.CopyFrom(answer)
        else:
            result.regression_result.CopyFrom(regress(servable, name, request.input, seconds))
        result.model_spec.name = task.model_spec.name
        result.model_spec.signature_name = name
        result.model_spec.version.value = servable.version
    return response
