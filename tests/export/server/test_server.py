"""The embedded server over a small SavedModel: protocol, faults, versions."""

import contextlib
import socket
import subprocess
import sys
import threading
import time

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

from export.client import CallError, Client
from export.serve import ServeOptions, Server

ROWS = {
    "user_id": np.array([1, 2], np.int64),
    "name": np.array([b"a", b"bc"], object),
    "edges": np.array([[1, 2, 3], [4, 5, 6]], np.float32),
}


def save_version(base_path, version, add):
    """A model whose `score` is sum of edges + id + length of name + `add`."""
    module = tf.Module()
    module.add = tf.Variable(float(add))

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.int64, "user_id"),
            tf.TensorSpec([None], tf.string, "name"),
            tf.TensorSpec([None, 3], tf.float32, "edges"),
        ]
    )
    def serve(user_id, name, edges):
        length = tf.cast(tf.strings.length(name), tf.float32)
        score = tf.reduce_sum(edges, axis=1) + tf.cast(user_id, tf.float32) + length + module.add
        return {"score": score, "echo": name}

    temporary = base_path.parent / f"tmp-{version}"
    tf.saved_model.save(module, str(temporary), signatures={"serving_default": serve})
    base_path.mkdir(exist_ok=True)
    temporary.rename(base_path / str(version))


@contextlib.contextmanager
def serving(base_path, **flags):
    server = Server(
        ServeOptions(
            model_name="small",
            model_base_path=str(base_path),
            port=0,
            file_system_poll_wait_seconds=0.05,
            grpc_max_threads=4,
            **flags,
        )
    )
    server.start()
    try:
        yield f"127.0.0.1:{server.port}"
    finally:
        server.stop(0)


@pytest.fixture(scope="module")
def base_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("server") / "small"
    save_version(path, 7, add=0.0)
    return path


@pytest.fixture(scope="module")
def target(base_path):
    with serving(base_path) as target:
        yield target


@pytest.fixture(scope="module")
def stub(target):
    with grpc.insecure_channel(target) as channel:
        yield prediction_service_pb2_grpc.PredictionServiceStub(channel)


def request_for(rows, model="small", signature="", version=None):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    if version is not None:
        request.model_spec.version.value = version
    for name, value in rows.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return request


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


def test_an_empty_batch_is_answered_with_one(target):
    rows = {name: value[:0] for name, value in ROWS.items()}
    with Client(target, "small") as client:
        assert client.predict(rows)["score"].shape == (0,)


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
        "Expects arg[2] to be int64 but string is provided: input user_id",
    ),
    "rare type": (
        request_for({**ROWS, "edges": np.zeros((2, 3), np.float16)}),
        "INVALID_ARGUMENT",
        "Expects arg[0] to be float but half is provided: input edges",
    ),
    "wrong rank": (  # refused by the graph's own operations
        request_for({**ROWS, "edges": np.zeros(2, np.float32)}),
        "INVALID_ARGUMENT",
        "Invalid reduction dimension",
    ),
    "two batch sizes": (
        request_for({**ROWS, "user_id": np.array([1, 2, 3])}),
        "INVALID_ARGUMENT",
        "{{node add}}]]: inputs must have one batch size, got edges 2, name 2, user_id 3",
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
        "tensor parsing error: edges: tensor_content must have 24 bytes",
    ),
    "negative size": (
        _with_edges([-2, 3], float_val=[1.0]),
        "INVALID_ARGUMENT",
        "tensor parsing error: edges: shape must have sizes of at least 0, got [-2, 3]",
    ),
    "huge claim": (
        _with_edges([1 << 40, 3], float_val=[1.0]),
        "INVALID_ARGUMENT",
        "tensor parsing error: edges: shape [1099511627776, 3] has more than",
    ),
    "no type": (
        _with_edges([2, 3], dtype=0),
        "INVALID_ARGUMENT",
        "tensor parsing error: edges: ",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_bad_requests_get_the_real_servers_status_and_a_reason(stub, fault):
    request, code, text = FAULTS[fault]
    with pytest.raises(grpc.RpcError) as error:
        stub.Predict(request, timeout=10)
    assert error.value.code().name == code
    assert text in error.value.details()
    assert stub.Predict(request_for(ROWS), timeout=10).outputs["score"].float_val[0] == 8.0


def test_other_shapes_than_the_signatures_are_up_to_the_graph(stub):
    # Sums of four edges, and a column of ids that is broadcast, as the real server answers too.
    request = request_for({**ROWS, "edges": np.ones((2, 4), np.float32)})
    assert list(stub.Predict(request, timeout=10).outputs["score"].float_val) == [6.0, 8.0]
    request = request_for({**ROWS, "user_id": np.array([[1], [2]])})
    assert list(stub.Predict(request, timeout=10).outputs["score"].float_val) == [8, 18, 9, 19]
    request = request_for({**ROWS, "edges": np.zeros(2, np.float32)})
    with pytest.raises(grpc.RpcError, match=r": input edges must have shape \[-1, 3\], got \[2\]"):
        stub.Predict(request, timeout=10)


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
    for field, text in (("", "at least one"), ("graph", "field %s is not supportedgraph")):
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


def test_a_new_version_takes_over_without_a_failed_request(tmp_path):
    path = tmp_path / "small"
    save_version(path, 1, add=0.0)
    answers, failures, stop = ([], []), [], threading.Event()

    def ask(target, answers):
        with Client(target, "small", timeout_seconds=30.0) as client:
            while not stop.is_set():
                try:
                    answers.append(float(client.predict(ROWS)["score"][0]))
                except CallError as error:
                    failures.append(error)

    with serving(path) as target, Client(target, "small") as client:
        threads = [threading.Thread(target=ask, args=[target, heard]) for heard in answers]
        for thread in threads:
            thread.start()
        for version in (2, 3):
            save_version(path, version, add=100.0 * version)
            _wait(lambda wanted=version: client.states().get(wanted) == "AVAILABLE")
            _wait(lambda old=version - 1: client.states().get(old) == "END")
        assert client.predict(ROWS)["score"][0] == 308.0
        stop.set()
        for thread in threads:
            thread.join()
        with pytest.raises(CallError, match=r"Specific\(small, 2\)"):
            Client(target, "small", version=2).predict(ROWS)
    assert not failures
    for (
        heard
    ) in answers:  # each caller hears 1, then 2, then 3, never a mixture, never an older one
        assert heard == sorted(heard)
        assert {8.0, 308.0} <= set(heard) <= {8.0, 208.0, 308.0}


def _wait(condition, seconds=30.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def test_a_broken_or_unfinished_new_version_changes_nothing(tmp_path):
    path = tmp_path / "small"
    save_version(path, 1, add=0.0)
    with serving(path, max_num_load_retries=0) as target, Client(target, "small") as client:
        (path / "2").mkdir()  # without saved_model.pb it is not looked at
        (path / "latest").mkdir()
        (path / "3").mkdir()
        (path / "3" / "saved_model.pb").write_bytes(b"not a model")
        _wait(lambda: client.states().get(3) == "END")
        assert client.states() == {3: "END", 1: "AVAILABLE"}
        assert client.predict(ROWS)["score"][0] == 8.0


def test_a_version_that_is_tried_again_is_loading(tmp_path):
    path = tmp_path / "small"
    save_version(path, 1, add=0.0)
    flags = {"max_num_load_retries": 5, "load_retry_interval_micros": 100_000}
    with serving(path, **flags) as target, Client(target, "small") as client:
        (path / "3").mkdir()
        (path / "3" / "saved_model.pb").write_bytes(b"not a model")
        _wait(lambda: client.states().get(3) == "LOADING")
        save_version(path, 4, add=1.0)
        _wait(lambda: client.states().get(4) == "AVAILABLE")
        assert client.states()[3] == "END"
        assert client.predict(ROWS)["score"][0] == 9.0


@pytest.mark.parametrize("exists", [True, False])
def test_the_server_waits_for_a_first_version(tmp_path, exists):
    path = tmp_path / "small"
    if exists:
        path.mkdir()
    threading.Timer(0.5, save_version, [path, 5, 0.0]).start()
    with serving(path) as target, Client(target, "small") as client:
        assert client.predict(ROWS)["score"][0] == 8.0


def test_mistakes_at_the_start_are_named(tmp_path, base_path):
    with pytest.raises(ValueError, match="--model_base_path: must name a directory, got ''"):
        ServeOptions()
    with pytest.raises(ValueError, match="--grpc_max_threads: must be at least 1, got 0"):
        ServeOptions(model_base_path="x", grpc_max_threads=0)
    (tmp_path / "broken" / "1").mkdir(parents=True)
    (tmp_path / "broken" / "1" / "saved_model.pb").write_bytes(b"not a model")
    message = (
        r"Failed to start server. Error: 1 model\(s\) did not become available: "
        r"\{\{\{name: default version: 1\} due to error: .*\}, \}"
    )
    flags = {"model_base_path": str(tmp_path / "broken"), "port": 0, "max_num_load_retries": 1}
    with pytest.raises(ValueError, match=message):
        Server(ServeOptions(**flags, load_retry_interval_micros=1000)).start()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{port}"):
            Server(ServeOptions(model_base_path=str(base_path), port=port)).start()


def test_the_command_stops_gracefully_on_sigterm(base_path):
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "export.serve"),
            *("--model_name=small", f"--model_base_path={base_path}", "--port=0"),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    line = process.stdout.readline()
    assert line.startswith("Running gRPC ModelServer at 127.0.0.1:")
    with Client(line.split()[4], "small") as client:
        assert client.predict(ROWS)["score"][1] == 19.0
    process.terminate()
    assert process.wait(30) == 0
