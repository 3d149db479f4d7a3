"""Classify, Regress and MultiInference of an export, over gRPC and REST."""

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    inference_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from export.server import inference
from export.server.errors import ServingError
from export.server.servable import Runtime, Servable

CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"
pytestmark = pytest.mark.parametrize("exported", ["mmoe"], indirect=True)


@pytest.fixture(scope="module")
def stub(export_server):
    with grpc.insecure_channel(f"127.0.0.1:{export_server.port}") as channel:
        yield prediction_service_pb2_grpc.PredictionServiceStub(channel)


def _request(message_class, signature, examples=(), context=None):
    request = message_class()
    request.model_spec.name = "m"
    request.model_spec.signature_name = signature
    if context is None:
        request.input.example_list.examples.extend(examples)
    else:
        request.input.example_list_with_context.examples.extend(examples)
        request.input.example_list_with_context.context.CopyFrom(context)
    return request


def _labels(result):
    return [[(c.label, c.score) for c in one.classes] for one in result.classifications]


def test_classify_gives_every_task_of_every_example(stub, examples, expected):
    request = _request(classification_pb2.ClassificationRequest, "classify", examples)
    response = stub.Classify(request, timeout=20)
    for row, classes in enumerate(_labels(response.result)):
        assert [label for label, _ in classes] == ["click", "buy"]
        wanted = [expected[task][row] for task in ("click", "buy")]
        np.testing.assert_allclose([score for _, score in classes], wanted, atol=1e-6)
    assert response.model_spec.signature_name == "classify"


def test_warm_up_is_timed(export_server, exported):
    lines = export_server.metrics.warmup_latency.lines()
    assert (
        f':tensorflow:serving:model_warmup_latency_count{{model_path="{exported[0]}",' in lines[-1]
    )
    assert lines[-1].endswith('status="OK"} 1')


def test_regress_gives_the_score(stub, examples, expected):
    request = _request(regression_pb2.RegressionRequest, "regress", examples)
    values = [one.value for one in stub.Regress(request, timeout=20).result.regressions]
    np.testing.assert_allclose(values, expected["score"], atol=1e-6)


def test_a_context_is_part_of_every_example(stub, examples, expected):
    context, rest = tf.train.Example(), tf.train.Example()
    for name, feature in examples[0].features.feature.items():
        (context if name == "user_id" else rest).features.feature[name].CopyFrom(feature)
    request = _request(regression_pb2.RegressionRequest, "regress", [rest, rest], context)
    values = [one.value for one in stub.Regress(request, timeout=20).result.regressions]
    np.testing.assert_allclose(values, [expected["score"][0]] * 2, atol=1e-6)


def _multi(tasks, examples):
    request = inference_pb2.MultiInferenceRequest()
    for signature, method, model in tasks:
        task = request.tasks.add(method_name=method)
        task.model_spec.name, task.model_spec.signature_name = model, signature
    request.input.example_list.examples.extend(examples)
    return request


def test_multi_inference_does_both(stub, examples, expected):
    tasks = [("classify", CLASSIFY, "m"), ("regress", REGRESS, "m")]
    results = stub.MultiInference(_multi(tasks, examples), timeout=20).results
    assert len(_labels(results[0].classification_result)) == 5
    values = [one.value for one in results[1].regression_result.regressions]
    np.testing.assert_allclose(values, expected["score"], atol=1e-6)
    assert results[1].model_spec.signature_name == "regress"


@pytest.mark.parametrize(
    ("tasks", "code", "text"),
    [
        ([], "INVALID_ARGUMENT", "ModelSpec has no name specified."),
        ([("classify", CLASSIFY, "")], "INVALID_ARGUMENT", "ModelSpec has no name specified."),
        (
            [("classify", CLASSIFY, "m"), ("regress", REGRESS, "")],
            "INVALID_ARGUMENT",
            "Found ModelSpec with an empty model name.",
        ),
        ([("classify", CLASSIFY, "m")] * 2, "INVALID_ARGUMENT", "Duplicate evaluation"),
        ([("classify", CLASSIFY, "x")], "NOT_FOUND", "Latest(x)"),
        ([("no", CLASSIFY, "m")], "INVALID_ARGUMENT", "not found in model graph: no"),
        (
            [("regress", CLASSIFY, "m")],
            "INVALID_ARGUMENT",
            'Expected classification signature outputs to contain at least one of "classes" or '
            '"scores". Signature was: ',
        ),
        ([("classify", REGRESS, "m")], "INVALID_ARGUMENT", "Expected one output Tensor."),
        ([("rank", "predict", "m")], "UNIMPLEMENTED", "Unsupported signature method_name"),
        (
            [("classify", CLASSIFY, "m"), ("regress", REGRESS, "x")],
            "INVALID_ARGUMENT",
            "must access the same model",
        ),
    ],
)
def test_faults_of_multi_inference(stub, examples, tasks, code, text):
    with pytest.raises(grpc.RpcError) as error:
        stub.MultiInference(_multi(tasks, examples), timeout=20)
    assert (error.value.code().name, text in error.value.details()) == (code, True)


@pytest.mark.parametrize(
    ("signature", "given", "text"),
    [
        ("", 1, "Expected one input Tensor."),
        ("classify", 1, "Expected one output Tensor."),
        ("no", 1, "No signature was found with the name: no"),
        ("regress", 0, "Input is empty."),
    ],
)
def test_faults_of_regress(stub, examples, signature, given, text):
    request = _request(regression_pb2.RegressionRequest, signature, examples[:given])
    with pytest.raises(grpc.RpcError) as error:
        stub.Regress(request, timeout=20)
    assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert text in error.value.details()


def test_a_signature_that_is_none_of_examples(stub, examples):
    request = _request(classification_pb2.ClassificationRequest, "examples", examples)
    with pytest.raises(grpc.RpcError) as error:
        stub.Classify(request, timeout=20)
    assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "Expected one or two output Tensors, found 3" in error.value.details()


def test_an_example_without_a_feature_is_refused_by_the_graph(stub):
    request = _request(regression_pb2.RegressionRequest, "regress", [tf.train.Example()])
    with pytest.raises(grpc.RpcError) as error:
        stub.Regress(request, timeout=20)
    assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "is required but could not be found" in error.value.details()


def test_method_names_are_checked_where_that_is_wanted(exported, examples):
    runtime = Runtime(check_methods=True)
    servable = Servable(1, exported[0], runtime)
    request = _request(regression_pb2.RegressionRequest, "classify", examples)
    message = "Expected regression signature method_name to be tensorflow/serving/regress. Was: "
    with pytest.raises(ServingError, match=f"{message}tensorflow/serving/classify"):
        inference.regress(servable, "classify", request.input)
    servable.unload()


def test_a_run_that_is_over_after_the_deadline_is_answered_so(exported, examples):
    servable = Servable(1, exported[0])
    serialized = np.array([example.SerializeToString() for example in examples], object)
    assert servable.run("examples", [serialized], ("score",), seconds=60.0)
    with pytest.raises(ServingError, match="Timed out waiting for notification") as error:
        servable.run("examples", [serialized], ("score",), seconds=1e-9)
    assert error.value.code == grpc.StatusCode.DEADLINE_EXCEEDED
    servable.unload()


def test_an_example_of_bytes_that_are_no_text_is_told_of(exported):
    servable = Servable(1, exported[0])
    with pytest.raises(ServingError, match="Could not parse example input, value: 'garbage'"):
        servable.predict("examples", {"examples": tf.make_tensor_proto([b"garbage"])})
    with pytest.raises(ServingError) as error:
        servable.predict("examples", {"examples": tf.make_tensor_proto([b"\xff\xffgarbage"])})
    assert error.value.code == grpc.StatusCode.INVALID_ARGUMENT
    told = error.value.message.encode("utf-8", "surrogateescape")
    assert told.startswith(b"Could not parse example input, value: '\xff\xffgarbage'\n\t [[")
    long = b"\n\x80\x80" + bytes(1500)  # quoted behind its zeros too
    with pytest.raises(ServingError) as error:
        servable.predict("examples", {"examples": tf.make_tensor_proto([long])})
    told = error.value.message.encode("utf-8", "surrogateescape")
    assert told == b"Could not parse example input, value: '" + long
    servable.unload()
