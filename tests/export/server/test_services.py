"""The services over a small SavedModel: protocol and faults."""

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from export.client import Client
from export.client.protocol import HINT
from tests.export.server.small_model import ROWS, request_for, serving


@pytest.fixture(scope="module")
def target(base_path):
    with serving(base_path) as target:
        yield target


@pytest.fixture(scope="module")
def stub(target):
    with grpc.insecure_channel(target) as channel:
        yield prediction_service_pb2_grpc.PredictionServiceStub(channel)


def test_a_client_of_tensorflow_serving_is_answered(stub):
    response = stub.Predict(request_for(ROWS), timeout=10)
    # 1+2+3 + id 1 + one letter = 8; 4+5+6 + id 2 + two letters = 19
    assert list(response.outputs["score"].float_val) == [8.0, 19.0]
    assert list(response.outputs["echo"].string_val) == [b"a", b"bc"]
    assert response.model_spec.name == "small"
    assert response.model_spec.version.value == 7
    assert response.model_spec.signature_name == "serving_default"


def test_typed_fields_are_read_and_their_last_value_repeated(stub):
    request = request_for(ROWS)
    request.inputs["edges"].Clear()
    request.inputs["edges"].dtype = 1
    request.inputs["edges"].tensor_shape.dim.add(size=2)
    request.inputs["edges"].tensor_shape.dim.add(size=3)
    request.inputs["edges"].float_val.extend([1.0, 2.0])  # 1 2 2 and 2 2 2
    response = stub.Predict(request, timeout=10)
    assert list(response.outputs["score"].float_val) == [7.0, 10.0]


def test_the_output_filter_chooses(stub):
    request = request_for(ROWS)
    request.output_filter.append("echo")
    assert list(stub.Predict(request, timeout=10).outputs) == ["echo"]


def test_an_empty_batch_is_answered_with_one(stub):
    rows = {name: value[:0] for name, value in ROWS.items()}
    response = stub.Predict(request_for(rows), timeout=10)
    assert [dim.size for dim in response.outputs["score"].tensor_shape.dim] == [0]


def _without(name):
    return {key: value for key, value in ROWS.items() if key != name}


FAULTS = {
    "missing input": (request_for(_without("edges")), "INVALID_ARGUMENT", "required: {edges}"),
    "extra input": (
        request_for({**ROWS, "label": np.zeros(2)}),
        "INVALID_ARGUMENT",
        "Sent extra: {label}",
    ),
    "misspelt input": (
        request_for({**_without("edges"), "edgse": ROWS["edges"]}),
        "INVALID_ARGUMENT",
        "Signature input alias: edges(feed name: serving_default_edges:0) not found in request and "
        "no default value provided. Inputs expected to be in the request {edgse,name,user_id}, or "
        "default input alias set: ",
    ),
    "wrong type": (
        request_for({**ROWS, "user_id": np.array(["1", "2"])}),
        "INVALID_ARGUMENT",
        "Expects arg[2] to be int64 but string is provided; input user_id",
    ),
    "rare type": (
        request_for({**ROWS, "edges": np.zeros((2, 3), np.float16)}),
        "INVALID_ARGUMENT",
        "Expects arg[0] to be float but half is provided; input edges",
    ),
    "wrong rank": (  # refused by the graph's own operations
        request_for({**ROWS, "edges": np.zeros(2, np.float32)}),
        "INVALID_ARGUMENT",
        "Invalid reduction dimension",
    ),
    "two batch sizes": (
        request_for({**ROWS, "user_id": np.array([1, 2, 3])}),
        "INVALID_ARGUMENT",
        "{{node add}}]]; inputs must have one batch size, got edges 2, name 2, user_id 3",
    ),
    "unknown model": (
        request_for(ROWS, model="smell"),
        "NOT_FOUND",
        "Servable not found for request: Latest(smell)",
    ),
    "unknown version": (
        request_for(ROWS, version=8),
        "NOT_FOUND",
        "Servable not found for request: Specific(small, 8)",
    ),
    "unknown signature": (
        request_for(ROWS, signature="rank"),
        "FAILED_PRECONDITION",
        'Serving signature key "rank" not found.',
    ),
    "no model": (predict_pb2.PredictRequest(), "INVALID_ARGUMENT", "Missing ModelSpec"),
    "empty name": (request_for(ROWS, model=""), "INVALID_ARGUMENT", "ModelSpec has no name"),
}


def _with_label():
    request = request_for(ROWS)
    request.model_spec.version_label = "stable"
    return request


def _with_filter(*names):
    request = request_for(ROWS)
    request.output_filter.extend(names)
    return request


def _with_edges(sizes, **values):
    request = request_for(ROWS)
    request.inputs["edges"].Clear()
    for size in sizes:
        request.inputs["edges"].tensor_shape.dim.add(size=size)
    values = {"dtype": 1, **values}
    request.inputs["edges"].MergeFrom(tf.make_tensor_proto(0.0).__class__(**values))
    return request


FAULTS |= {
    "unknown label": (_with_label(), "INVALID_ARGUMENT", "version label: stable"),
    "unknown output": (
        _with_filter("click"),
        "INVALID_ARGUMENT",
        "not found in signature: click Outputs expected to be in the set {echo,score}",
    ),
    "output twice": (_with_filter("echo", "echo"), "INVALID_ARGUMENT", "duplicate output"),
    "short content": (
        _with_edges([2, 3], tensor_content=b"12345678"),
        "INVALID_ARGUMENT",
        "tensor parsing error: edges; input edges: tensor_content must have 24 bytes",
    ),
    "negative size": (
        _with_edges([-2, 3], float_val=[1.0]),
        "INVALID_ARGUMENT",
        "parsing error: edges; input edges: shape must have sizes of at least 0, got [-2, 3]",
    ),
    "huge claim": (
        _with_edges([1 << 40, 3], float_val=[1.0]),
        "INVALID_ARGUMENT",
        "tensor parsing error: edges; input edges: shape [1099511627776, 3] has more than",
    ),
    "no type": (
        _with_edges([2, 3], dtype=0),
        "INVALID_ARGUMENT",
        "tensor parsing error: edges; input edges: ",
    ),
}


def told(error):
    """The message, and what the server says beside it."""
    hints = [str(value) for key, value in error.trailing_metadata() if key == HINT]
    return "; ".join([error.details(), *hints])


@pytest.mark.parametrize("fault", FAULTS)
def test_bad_requests_get_the_real_servers_status_and_a_reason(stub, fault):
    request, code, text = FAULTS[fault]
    with pytest.raises(grpc.RpcError) as error:
        stub.Predict(request, timeout=10)
    assert error.value.code().name == code
    assert text in told(error.value)
    assert stub.Predict(request_for(ROWS), timeout=10).outputs["score"].float_val[0] == 8.0


def test_other_shapes_than_the_signatures_are_up_to_the_graph(stub):
    # Sums of four edges, and a column of ids that is broadcast, as the real server answers too.
    request = request_for({**ROWS, "edges": np.ones((2, 4), np.float32)})
    assert list(stub.Predict(request, timeout=10).outputs["score"].float_val) == [6.0, 8.0]
    request = request_for({**ROWS, "user_id": np.array([[1], [2]])})
    assert list(stub.Predict(request, timeout=10).outputs["score"].float_val) == [8, 18, 9, 19]
    request = request_for({**ROWS, "edges": np.zeros(2, np.float32)})
    with pytest.raises(grpc.RpcError) as error:
        stub.Predict(request, timeout=10)
    assert told(error.value).endswith("; input edges must have shape [-1, 3], got [2]")


def test_long_messages_are_cut(stub):
    with pytest.raises(grpc.RpcError) as error:
        stub.Predict(request_for(ROWS, signature="x" * 2000), timeout=10)
    assert error.value.details() == f'Serving signature key "{"x" * 1001}...TRUNCATED'


def test_values_beyond_the_shape_are_not_read(stub):
    request = _with_edges([2, 3], float_val=[1.0] * 6 + [100.0])
    assert list(stub.Predict(request, timeout=10).outputs["score"].float_val) == [5.0, 7.0]


def test_bytes_that_are_no_request_do_not_end_the_server(target, stub):
    with grpc.insecure_channel(target) as channel:
        call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
        with pytest.raises(grpc.RpcError) as error:
            call(b"\xff\xff\xff", timeout=10)
    assert error.value.code() == grpc.StatusCode.INTERNAL
    assert stub.Predict(request_for(ROWS), timeout=10).outputs["score"].float_val[0] == 8.0


def test_metadata_describe_the_signatures(stub, target):
    request = get_model_metadata_pb2.GetModelMetadataRequest()
    request.model_spec.name = "small"
    for field, text in (("", "at least one"), ("graph", "Metadata field graph is not supported")):
        request.ClearField("metadata_field")
        request.metadata_field.extend([field] if field else [])
        with pytest.raises(grpc.RpcError, match=text):
            stub.GetModelMetadata(request, timeout=10)
    with Client(target, "small") as client:
        inputs = client.inputs()
    assert {name: wanted.shape for name, wanted in inputs.items()} == {
        "user_id": (-1,),
        "name": (-1,),
        "edges": (-1, 3),
    }


def test_status_tells_the_versions(target):
    with Client(target, "small") as client:
        assert client.states() == {7: "AVAILABLE"}
    with grpc.insecure_channel(target) as channel:
        stub = model_service_pb2_grpc.ModelServiceStub(channel)
        request = get_model_status_pb2.GetModelStatusRequest()
        with pytest.raises(grpc.RpcError, match="Missing ModelSpec"):
            stub.GetModelStatus(request, timeout=10)
        request.model_spec.SetInParent()
        with pytest.raises(grpc.RpcError, match="Could not find any versions of model "):
            stub.GetModelStatus(request, timeout=10)
        request.model_spec.name = "other"
        with pytest.raises(grpc.RpcError, match="Could not find any versions of model other"):
            stub.GetModelStatus(request, timeout=10)
        request.model_spec.name = "small"
        request.model_spec.version_label = "stable"  # is ignored
        assert len(stub.GetModelStatus(request, timeout=10).model_version_status) == 1
        request.model_spec.version.value = 3
        with pytest.raises(grpc.RpcError, match="Could not find version 3 of model small"):
            stub.GetModelStatus(request, timeout=10)
