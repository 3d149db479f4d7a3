"""One version by itself: what is batched, what is counted, tensors that are no arrays."""

import threading

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, types_pb2

from export.server import inference
from export.server.batching_options import BatchingOptions
from export.server.errors import ServingError
from export.server.loading import load_servable
from export.server.servable import Runtime, Servable
from tests.export.server.small_model import ROWS, request_for


@pytest.fixture
def load(base_path):
    loaded = []

    def load(batching=None):
        runtime = Runtime(batching=batching, batch_threads=threading.Semaphore(1))
        loaded.append(Servable(7, str(base_path / "7"), runtime))
        return loaded[-1]

    yield load
    for servable in loaded:
        servable.unload()


def _batches(servable):
    """How many batches were processed."""
    lines = servable.runtime.metrics.processed_batch_size.lines()
    return int(lines[-1].split()[-1]) if len(lines) > 1 else 0


def test_requests_for_some_of_the_outputs_are_batched_too(load):
    servable = load(BatchingOptions())
    inputs = request_for(ROWS).inputs
    assert servable.predict("", inputs, ["score"])["score"].tolist() == [8.0, 19.0]
    assert list(servable.predict("", inputs, ["score", "echo"])) == ["score", "echo"]
    assert list(servable.predict("", inputs)) == ["echo", "score"]
    assert _batches(servable) == 3


def test_a_tensor_of_more_axes_than_arrays_have_is_answered(load):
    servable = load()
    inputs = request_for({"name": ROWS["name"][:1], "edges": ROWS["edges"][:1]}).inputs
    inputs["user_id"].dtype = types_pb2.DT_INT64
    inputs["user_id"].int64_val.append(5)
    for _ in range(33):
        inputs["user_id"].tensor_shape.dim.add(size=1)
    for _ in range(2):  # the graph is copied for the first one only
        outputs = servable.predict("", inputs)
        # 1 + 2 + 3, id 5 and one letter
        assert list(outputs["score"].float_val) == [12.0]
        assert [dim.size for dim in outputs["score"].tensor_shape.dim] == [1] * 33
        assert list(outputs["echo"].string_val) == [b"a"]
    inputs["user_id"].tensor_shape.dim.add(size=255)
    with pytest.raises(ServingError) as error:
        load(BatchingOptions(pad_variable_length_inputs=True)).predict("", inputs)
    assert error.value.message == "Only tensors with rank from 1 to 6 can be padded."


@pytest.mark.parametrize(
    ("dtype", "alone", "batched"),
    [
        ("DT_VARIANT", None, "Tensor concat operation failed: INTERNAL: Unexpected data type"),
        ("DT_FLOAT8_E5M2", None, "Unsupported type"),
        ("DT_UINT4", None, "Unsupported type"),
        ("DT_HALF", None, None),
        ("DT_FLOAT_REF", "tensor parsing error: user_id", "tensor parsing error: user_id"),
    ],
)
def test_types_that_no_signature_has(load, dtype, alone, batched):
    wrong = f"Expects arg[2] to be int64 but {dtype[3:].lower()} is provided"
    inputs = request_for(ROWS).inputs
    inputs["user_id"].CopyFrom(tensor_pb2.TensorProto(dtype=types_pb2.DataType.Value(dtype)))
    inputs["user_id"].tensor_shape.dim.add(size=2)
    padding = BatchingOptions(pad_variable_length_inputs=True)
    for options, message in ((None, alone), (padding, batched)):
        with pytest.raises(ServingError) as error:
            load(options).predict("", inputs)
        assert error.value.message == (message or wrong)


def test_a_garbled_model_is_data_loss(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"not a model")
    with pytest.raises(tf.errors.DataLossError, match=r"Can't parse .* as binary proto"):
        Servable(1, str(tmp_path))


@pytest.mark.parametrize("exported", ["mmoe"], indirect=True)
def test_warm_up_counts_run_times_but_no_examples_and_multi_inference_is_batched(
    exported, examples
):
    servable = load_servable(1, exported[0], Runtime(batching=BatchingOptions(max_batch_size=1024)))
    metrics = servable.runtime.metrics
    apis = {line.split('API="')[1].split('"')[0] for line in metrics.runtime_latency.lines()[1:]}
    assert apis == {"Predict", "Classify", "Regress"}
    assert len(metrics.example_counts.lines()) == 1  # its type alone
    before = _batches(servable)
    request = inference.inference_pb2.MultiInferenceRequest()
    for name, method in (
        ("classify", inference.CLASSIFY_METHOD),
        ("regress", inference.REGRESS_METHOD),
    ):
        task = request.tasks.add(method_name=method)
        task.model_spec.name, task.model_spec.signature_name = "m", name
    request.input.example_list.examples.extend(examples)
    answer = inference.multi_inference(servable, request)
    assert len(answer.results[0].classification_result.classifications) == len(examples)
    assert _batches(servable) == before + 1
    assert np.isfinite(answer.results[1].regression_result.regressions[0].value)
    servable.unload()
