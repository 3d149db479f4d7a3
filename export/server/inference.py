"""Classify, Regress and MultiInference: signatures over serialized tf.train.Examples."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import classification_pb2, inference_pb2, input_pb2, regression_pb2

from export.server import errors
from export.server.servable import DEFAULT_SIGNATURE, Servable

CLASSIFY_METHOD = tf.saved_model.CLASSIFY_METHOD_NAME
REGRESS_METHOD = tf.saved_model.REGRESS_METHOD_NAME
_INPUTS = "inputs"
_CLASSES, _SCORES, _OUTPUTS = "classes", "scores", "outputs"
_KINDS = {CLASSIFY_METHOD: "classification", REGRESS_METHOD: "regression"}
_Outputs = Mapping[str, NDArray[Any]]


def _examples(message: input_pb2.Input) -> NDArray[Any]:
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


def _outputs_of(servable: Servable, name: str, method: str) -> tuple[str, ...]:
    """The outputs that a call of that method wants of a signature that there is."""
    signature, kind = servable.signatures[name], _KINDS[method]
    if servable.runtime.check_methods and signature.method_name != method:
        raise errors.invalid_argument(
            f"Expected {kind} signature method_name to be {method}. Was: {signature.method_name}"
        )
    if len(signature.inputs) != 1:
        raise errors.invalid_argument("Expected one input Tensor.")
    if method == REGRESS_METHOD and len(signature.outputs) != 1:
        raise errors.invalid_argument("Expected one output Tensor.")
    if method == CLASSIFY_METHOD and len(signature.outputs) not in (1, 2):
        raise errors.invalid_argument(
            f"Expected one or two output Tensors, found {len(signature.outputs)}"
        )
    if _INPUTS not in signature.inputs:
        raise errors.invalid_argument(f"No {kind} inputs found in SignatureDef: {signature}")
    if method == REGRESS_METHOD and _OUTPUTS not in signature.outputs:
        raise errors.invalid_argument(f"No {kind} outputs found in SignatureDef: {signature}")
    wanted = (_OUTPUTS,) if method == REGRESS_METHOD else (_CLASSES, _SCORES)
    found = tuple(output for output in wanted if output in signature.outputs)
    if not found:
        raise errors.invalid_argument(
            f'Expected {kind} signature outputs to contain at least one of "{_CLASSES}" or '
            f'"{_SCORES}". Signature was: {signature}'
        )
    return found


def _run(
    servable: Servable,
    name: str,
    method: str,
    message: input_pb2.Input,
    model: str,
    seconds: float | None,
) -> tuple[_Outputs, int]:
    """The outputs of one signature for the examples of an `Input`, and how many there are."""
    name = name or DEFAULT_SIGNATURE
    if name not in servable.signatures:
        raise errors.invalid_argument(f"No signature was found with the name: {name}")
    outputs = _outputs_of(servable, name, method)
    serialized = _examples(message)
    start = time.perf_counter()
    arrays = servable.run(name, [serialized], outputs, seconds)
    micros = (time.perf_counter() - start) * 1e6
    api = method.rpartition("/")[-1].capitalize()
    servable.runtime.metrics.runtime_latency.add(micros, model, api, "TF1")
    return dict(zip(outputs, arrays, strict=True)), len(serialized)


def _check_type(output: str, array: NDArray[Any], number: int) -> None:
    got = tf.dtypes.as_dtype(array.dtype).as_datatype_enum
    if got != number:
        raise errors.invalid_argument(
            f"Expected {output} Tensor of {types_pb2.DataType.Name(number)}. "
            f"Got: {types_pb2.DataType.Name(got)}"
        )


def _classifications(outputs: _Outputs, count: int) -> classification_pb2.ClassificationResult:
    for output, number in ((_CLASSES, types_pb2.DT_STRING), (_SCORES, types_pb2.DT_FLOAT)):
        array = outputs.get(output)
        if array is None:
            continue
        if array.ndim != 2:
            raise errors.invalid_argument(
                "Expected Tensor shape: [batch_size num_classes] but got "
                f"{_shape_text(array.shape)}"
            )
        _check_type(output, array, number)
        if len(array) != count:
            raise errors.invalid_argument(
                f"Expected {output} output batch size of {count}. Got: {len(array)}"
            )
    widths = [array.shape[1] for array in outputs.values()]
    if len(set(widths)) > 1:
        raise errors.invalid_argument(
            f"Tensors class and score should match in dim_size(1). Got {widths[0]} vs. {widths[1]}"
        )
    fields = {_CLASSES: "label", _SCORES: "score"}
    result = classification_pb2.ClassificationResult()
    columns = [(fields[output], array.tolist()) for output, array in outputs.items()]
    for row in range(count):
        classes = result.classifications.add().classes
        for values in zip(*(column[row] for _, column in columns), strict=True):
            classes.add(**{key: v for (key, _), v in zip(columns, values, strict=True)})
    return result


def _regressions(outputs: _Outputs, count: int) -> regression_pb2.RegressionResult:
    values = outputs[_OUTPUTS]
    if values.ndim != 1 and values.shape[1:] != (1,):
        raise errors.invalid_argument(
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got "
            f"{_shape_text(values.shape)}"
        )
    if len(values) != count:
        raise errors.invalid_argument(
            f"Input batch size did not match output batch size: {count} vs. {len(values)}"
        )
    _check_type("output", values, types_pb2.DT_FLOAT)
    result = regression_pb2.RegressionResult()
    for value in values.ravel().tolist():
        result.regressions.add(value=value)
    return result


def _shape_text(sizes: Sequence[int]) -> str:
    return f"[{','.join(map(str, sizes))}]"


def classify(
    servable: Servable,
    name: str,
    message: input_pb2.Input,
    model: str = "",
    seconds: float | None = None,
) -> classification_pb2.ClassificationResult:
    """The classes and scores of each example of an `Input`."""
    return _classifications(*_run(servable, name, CLASSIFY_METHOD, message, model, seconds))


def regress(
    servable: Servable,
    name: str,
    message: input_pb2.Input,
    model: str = "",
    seconds: float | None = None,
) -> regression_pb2.RegressionResult:
    """The value of each example of an `Input`."""
    return _regressions(*_run(servable, name, REGRESS_METHOD, message, model, seconds))


def multi_inference(
    servable: Servable, request: inference_pb2.MultiInferenceRequest, seconds: float | None = None
) -> inference_pb2.MultiInferenceResponse:
    """Several classifications and regressions of the same examples, in one run of one version."""
    wanted: dict[str, tuple[str, ...]] = {}
    for task in request.tasks:
        name = task.model_spec.signature_name or DEFAULT_SIGNATURE
        if not task.model_spec.name:
            raise errors.invalid_argument("Found ModelSpec with an empty model name.")
        if task.model_spec.name != request.tasks[0].model_spec.name:
            raise errors.invalid_argument(
                "All ModelSpecs in a MultiInferenceRequest must access the same model name."
            )
        if name in wanted:
            raise errors.invalid_argument(f"Duplicate evaluation of signature: {name}")
        if name not in servable.signatures:
            raise errors.invalid_argument(f"Requested signature not found in model graph: {name}")
        if task.method_name not in _KINDS:
            raise errors.unimplemented(f"Unsupported signature method_name: {task.method_name}")
        wanted[name] = _outputs_of(servable, name, task.method_name)
    serialized = _examples(request.input)
    infos = [servable.signatures[name] for name in wanted]
    feeds = {info.inputs[_INPUTS].name for info in infos}
    fetches = {
        info.outputs[output].name: None
        for info, outputs in zip(infos, wanted.values(), strict=True)
        for output in outputs
    }
    arrays = servable.run_tensors(tuple(sorted(feeds)), serialized, tuple(fetches), seconds)
    by_tensor = dict(zip(fetches, arrays, strict=True))
    model = request.tasks[0].model_spec.name
    servable.runtime.metrics.count_examples(model, len(serialized))
    response = inference_pb2.MultiInferenceResponse()
    for task, (name, outputs), info in zip(request.tasks, wanted.items(), infos, strict=True):
        result = response.results.add()
        found = {output: by_tensor[info.outputs[output].name] for output in outputs}
        if task.method_name == CLASSIFY_METHOD:
            answer = _classifications(found, len(serialized))
            result.classification_result.CopyFrom(answer)
        else:
            result.regression_result.CopyFrom(_regressions(found, len(serialized)))
        result.model_spec.name = model
        result.model_spec.signature_name = name
        result.model_spec.version.value = servable.version
    return response
