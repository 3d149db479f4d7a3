"""The embedded server's configuration: models, labels, batching, TLS, limits, metrics, backend."""

import contextlib
import socket
import threading
import time
import urllib.request

import grpc
import numpy as np
import pytest
from google.protobuf import text_format
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)

from export.client import Client
from export.server.model_server import Server
from export.server.monitoring import Metrics
from export.server.options import ServeOptions
from tests.export.certificates import certificate_authority, certificate_of
from tests.export.server.small_model import ROWS, call, free_port, request_for, save_version, wait


@contextlib.contextmanager
def running(**flags):
    flags = {"port": 0, "file_system_poll_wait_seconds": 0.05, "grpc_max_threads": 8, **flags}
    server = Server(ServeOptions(**flags))
    server.start()
    try:
        yield server
    finally:
        server.stop(0)


@contextlib.contextmanager
def stubs(server):
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield (
            prediction_service_pb2_grpc.PredictionServiceStub(channel),
            model_service_pb2_grpc.ModelServiceStub(channel),
        )


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """Versions 1, 2 and 3 of `small`, whose scores are 8 + 100 * version, and `other`."""
    folder = tmp_path_factory.mktemp("models")
    for version in (1, 2, 3):
        save_version(folder / "small", version, add=100.0 * version)
    save_version(folder / "other", 1, add=1000.0)
    return folder


def config_text(base, model="small", policy="", labels=()):
    text = f'config {{ name: "{model}" base_path: "{base / model}" model_platform: "tensorflow"'
    text += f" model_version_policy {{ {policy} }}" if policy else ""
    for label, version in labels:
        text += f' version_labels {{ key: "{label}" value: {version} }}'
    return text + " }"


def config_file(tmp_path, *configs):
    path = tmp_path / "models.config"
    path.write_text("model_config_list { " + " ".join(configs) + " }")
    return str(path)


def score(prediction, **spec):
    request = request_for(ROWS)
    for name, value in spec.items():
        if name == "version":
            request.model_spec.version.value = value
        else:
            setattr(request.model_spec, name, value)
    return prediction.Predict(request, timeout=10).outputs["score"].float_val[0]


def refused(call, code, text):
    with pytest.raises(grpc.RpcError) as error:
        call()
    assert error.value.code().name == code
    assert text in error.value.details()


def test_a_configuration_file_gives_models_policies_and_labels(base, tmp_path):
    path = config_file(
        tmp_path,
        config_text(base, policy="specific { versions: 1 versions: 2 }", labels=[("stable", 1)]),
        config_text(base, "other"),
    )
    with pytest.raises(ValueError, match="assign label to version 1 of model small"):
        Server(ServeOptions(port=0, model_config_file=path)).start()
    flags = {"model_config_file": path, "allow_version_labels_for_unavailable_models": True}
    with running(**flags) as server, stubs(server) as (prediction, model):
        assert score(prediction) == 208.0
        assert score(prediction, version=1) == 108.0
        assert score(prediction, version_label="stable") == 108.0
        assert score(prediction, name="other") == 1008.0
        refused(lambda: score(prediction, version=3), "NOT_FOUND", "Specific(small, 3)")
        refused(
            lambda: score(prediction, version_label="canary"),
            "INVALID_ARGUMENT",
            "Unrecognized servable version label: canary",
        )
        refused(lambda: score(prediction, name=""), "INVALID_ARGUMENT", "has no name")
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = "small"
        states = model.GetModelStatus(request, timeout=10).model_version_status
        assert [(state.version, state.state) for state in states] == [(2, 30), (1, 30)]


def reload_of(*configs):
    request = model_management_pb2.ReloadConfigRequest()
    text = "config { model_config_list { " + " ".join(configs) + " } }"
    return text_format.Parse(text, request)


def test_a_reload_changes_policies_labels_and_models(base):
    with (
        running(model_name="small", model_base_path=str(base / "small")) as server,
        stubs(server) as (prediction, model),
    ):

        def reload(*configs):
            return model.HandleReloadConfigRequest(reload_of(*configs), timeout=60)

        assert score(prediction) == 308.0
        both = "specific { versions: 2 versions: 3 }"
        request = reload_of(config_text(base, policy=both))
        request.metric_names.append("/tensorflow/cc/saved_model/load_attempt_count")
        answer = model.HandleReloadConfigRequest(request, timeout=60)
        assert answer.HasField("status")
        assert answer.status.error_code == 0
        assert [metric.name for metric in answer.metric] == list(request.metric_names)
        reload(config_text(base, policy=both, labels=[("stable", 2)]), config_text(base, "other"))
        assert score(prediction, version_label="stable") == 208.0
        assert score(prediction, name="other") == 1008.0
        refused(
            lambda: reload(config_text(base, policy=both, labels=[("stable", 1)])),
            "FAILED_PRECONDITION",
            "assign label to version 1 of model small, which is not currently available",
        )
        assert score(prediction, version_label="stable") == 208.0
        # A version cannot be loaded and labelled by one configuration; nothing of it is done.
        every = "specific { versions: 1 versions: 2 versions: 3 }"
        refused(
            lambda: reload(config_text(base, policy=every, labels=[("old", 1)])),
            "FAILED_PRECONDITION",
            "assign label to version 1 of model small, which is not currently available",
        )
        refused(lambda: score(prediction, version=1), "NOT_FOUND", "Specific(small, 1)")
        assert score(prediction, name="other") == 1008.0
        reload(config_text(base, policy=both))
        refused(
            lambda: score(prediction, version_label="stable"),
            "INVALID_ARGUMENT",
            "Unrecognized servable version label: stable",
        )
        reload(config_text(base, "other"))
        refused(lambda: score(prediction), "NOT_FOUND", "Latest(small)")
        status = get_model_status_pb2.GetModelStatusRequest()
        status.model_spec.name = "small"  # what became of its versions is still told
        states = model.GetModelStatus(status, timeout=10).model_version_status
        assert [(state.version, state.state) for state in states] == [(3, 50), (2, 50)]
        for bad, code, text in (
            ([config_text(base, "other")] * 2, "INVALID_ARGUMENT", "list model other multiple"),
            (['config { name: "x" base_path: "/x" }'], "INVALID_ARGUMENT", "Illegal setting"),
            (
                ['config { name: "x" base_path: "/x" model_platform: "caffe" }'],
                "INVALID_ARGUMENT",
                "Model x requests unsupported platform caffe",
            ),
            (
                ['config { name: "x" base_path: "/x" model_platform: "tensorflow" model_type: 1 }'],
                "INVALID_ARGUMENT",
                "Illegal setting both ModelServerConfig::model_type (deprecated)",
            ),
            (
                ['config { name: "x" base_path: "x" model_platform: "tensorflow" }'],
                "INVALID_ARGUMENT",
                "absolute path",
            ),
        ):
            refused(lambda bad=bad: reload(*bad), code, text)
        refused(
            lambda: model.HandleReloadConfigRequest(
                model_management_pb2.ReloadConfigRequest(), timeout=10
            ),
            "INVALID_ARGUMENT",
            "Only ModelConfigList is currently supported",
        )
        assert score(prediction, name="other") == 1008.0


def test_a_reload_waits_for_new_models_until_its_deadline(base, tmp_path):
    late = tmp_path / "late"
    with (
        running(model_name="small", model_base_path=str(base / "small")) as server,
        stubs(server) as (prediction, model),
    ):
        request = reload_of(
            config_text(base),
            f'config {{ name: "late" base_path: "{late}" model_platform: "tensorflow" }}',
        )
        refused(
            lambda: model.HandleReloadConfigRequest(request, timeout=0.5),
            "DEADLINE_EXCEEDED",
            "",
        )
        assert score(prediction) == 308.0
        save_version(late, 1, add=1.0)
        model.HandleReloadConfigRequest(request, timeout=20)
        wait(lambda: _scores(prediction, "late"))


def _scores(prediction, name):
    try:
        return score(prediction, name=name)
    except grpc.RpcError:
        return None


def test_a_reload_tells_why_a_model_does_not_load(base, tmp_path):
    (tmp_path / "broken" / "4").mkdir(parents=True)
    (tmp_path / "broken" / "4" / "saved_model.pb").write_bytes(b"no model")
    flags = {"model_name": "small", "model_base_path": str(base / "small")}
    with running(**flags, max_num_load_retries=0) as server, stubs(server) as (_, model):
        refused(
            lambda: model.HandleReloadConfigRequest(
                reload_of(config_text(base), config_text(tmp_path, "broken")), timeout=20
            ),
            "UNKNOWN",
            "1 model(s) did not become available: {{{name: broken version: 4} due to error: ",
        )


def test_a_label_may_point_at_a_version_to_come_where_that_is_allowed(base):
    flags = {"model_name": "small", "model_base_path": str(base / "small")}
    flags["allow_version_labels_for_unavailable_models"] = True
    with running(**flags) as server, stubs(server) as (prediction, model):

        def label(version):
            text = config_text(base, policy="all { }", labels=[("canary", version)])
            model.HandleReloadConfigRequest(reload_of(text), timeout=20)

        label(9)
        refused(
            lambda: score(prediction, version_label="canary"),
            "NOT_FOUND",
            "Servable not found for request: Specific(small, 9)",
        )
        refused(lambda: label(8), "FAILED_PRECONDITION", "assign label to version 8")
        label(2)  # an existing label moves to versions that are available only
        assert score(prediction, version_label="canary") == 208.0


def test_the_configuration_file_is_read_again(base, tmp_path):
    path = config_file(tmp_path, config_text(base, policy="specific { versions: 1 }"))
    flags = {"model_config_file": path, "model_config_file_poll_wait_seconds": 0.05}
    with running(**flags) as server, stubs(server) as (prediction, _):
        assert score(prediction) == 108.0
        (tmp_path / "models.config").write_text("nonsense")
        config_file(tmp_path, config_text(base, policy="all { }"))
        wait(lambda: score(prediction) == 308.0)
        assert score(prediction, version=1) == 108.0


def test_without_polling_a_new_version_is_not_seen(tmp_path):
    path = tmp_path / "small"
    save_version(path, 1, add=100.0)
    flags = {"model_name": "small", "model_base_path": str(path)}
    with (
        running(**flags, file_system_poll_wait_seconds=0.0) as server,
        stubs(server) as (prediction, _),
    ):
        save_version(path, 2, add=200.0)
        time.sleep(0.5)
        assert score(prediction) == 108.0


def test_concurrent_requests_are_merged_and_answered_apart(base, tmp_path):
    batching = tmp_path / "batching.txt"
    batching.write_text(
        "max_batch_size { value: 8 } batch_timeout_micros { value: 20000 } "
        "num_batch_threads { value: 1 } allowed_batch_sizes: 4 allowed_batch_sizes: 8"
    )
    flags = {"enable_batching": True, "batching_parameters_file": str(batching)}
    flags |= {"model_name": "small", "model_base_path": str(base / "other")}
    answers = {}

    def ask(client, ids):
        rows = {**ROWS, "user_id": np.array(ids)}
        answers[ids] = client.predict(rows)["score"].tolist()

    with running(**flags) as server, Client(f"127.0.0.1:{server.port}", "small", 20) as client:
        threads = [threading.Thread(target=ask, args=(client, (i, -i))) for i in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        # 6 + 1 letter + 1000 + id; 15 + 2 letters + 1000 - id
        assert answers == {(i, -i): [1007.0 + i, 1017.0 - i] for i in range(6)}
        wide = {name: np.concatenate([value] * 5) for name, value in ROWS.items()}
        with pytest.raises(Exception, match="Task size 10 is larger than maximum input batch"):
            client.predict(wide)


def test_health_and_reflection_tell_of_the_services(base):
    flags = {"model_name": "small", "model_base_path": str(base / "small")}
    with running(**flags) as server, grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for service in ("", "ModelService", "PredictionService"):
            answer = health.Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        other = health_pb2.HealthCheckRequest(service="tensorflow.serving.PredictionService")
        refused(lambda: health.Check(other, timeout=10), "NOT_FOUND", "")
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)

        def ask(**fields):
            requests = iter([reflection_pb2.ServerReflectionRequest(**fields)])
            return next(stub.ServerReflectionInfo(requests, timeout=10))

        services = ask(list_services="").list_services_response.service
        assert "tensorflow.serving.ModelService" in {service.name for service in services}
        for symbol in ("tensorflow.serving.PredictionService", "tensorflow.serving.ModelService"):
            files = ask(file_containing_symbol=symbol).file_descriptor_response
            assert b"HandleReloadConfigRequest" in files.file_descriptor_proto[0]


def test_tls_and_mutual_tls(base, tmp_path):
    authority = certificate_authority()
    key, certificate = certificate_of(authority, "localhost")
    config = tmp_path / "ssl.txt"

    def quoted(pem):
        return pem.decode().replace("\n", "\\n")

    def serving(verify):
        config.write_text(
            f'server_key: "{quoted(key)}" server_cert: "{quoted(certificate)}" '
            f'custom_ca: "{quoted(authority.pem)}" client_verify: {str(verify).lower()}'
        )
        flags = {"model_name": "small", "model_base_path": str(base / "small")}
        return running(**flags, ssl_config_file=str(config))

    def ask(server, timeout=10, **identity):
        credentials = grpc.ssl_channel_credentials(authority.pem, **identity)
        with grpc.secure_channel(f"localhost:{server.port}", credentials) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            return stub.Predict(request_for(ROWS), timeout=timeout).outputs["score"].float_val[0]

    with serving(verify=False) as server:
        assert ask(server) == 308.0
    with serving(verify=True) as server:
        own_key, own_certificate = certificate_of(authority, "client")
        assert ask(server, private_key=own_key, certificate_chain=own_certificate) == 308.0
        with pytest.raises(grpc.RpcError):
            ask(server, timeout=3)


def test_metrics_have_tensorflow_servings_names(base, tmp_path):
    monitoring = tmp_path / "monitoring.config"
    monitoring.write_text("prometheus_config { enable: true }")
    port = free_port()
    flags = {"model_name": "small", "model_base_path": str(base / "small")}
    flags |= {"rest_api_port": port, "monitoring_config_file": str(monitoring)}
    with running(**flags) as server, stubs(server) as (prediction, _):
        for _ in range(3):
            score(prediction)
        refused(lambda: score(prediction, version=9), "NOT_FOUND", "small")
        assert (
            call(f"http://127.0.0.1:{port}/v1/models/small:predict", {"instances": [1]})[0] == 400
        )
        url = f"http://127.0.0.1:{port}/monitoring/prometheus/metrics"
        assert call(f"http://127.0.0.1:{port}/v1/models/small")[0] == 200
        with urllib.request.urlopen(url, timeout=10) as page:
            lines = page.read().decode().splitlines()
    name = ":tensorflow:serving:request_count"
    assert f'{name}{{model_name="small",status="OK"}} 4' in lines  # three and a look at the status
    assert f'{name}{{model_name="small",status="INVALID_ARGUMENT"}} 1' in lines
    label = 'model_name="small",API="",entrypoint="REST"'
    assert f":tensorflow:serving:request_latency_count{{{label}}} 1" in lines
    assert ':tensorflow:serving:request_count{model_name="small",status="NOT_FOUND"} 1' in lines
    label = 'model_name="small",API="Predict",entrypoint="GRPC"'
    assert f":tensorflow:serving:request_latency_count{{{label}}} 3" in lines
    assert f':tensorflow:serving:request_latency_bucket{{{label},le="+Inf"}} 3' in lines
    path = base / "small" / "3"
    name = ":tensorflow:cc:saved_model:load_attempt_count"
    assert f'{name}{{model_path="{path}",status="success"}} 1' in lines
    name = f':tensorflow:cc:saved_model:load_latency{{model_path="{path}"}} '
    assert [int(line.removeprefix(name)) > 0 for line in lines if line.startswith(name)] == [True]


def test_limits_of_messages_and_of_calls_under_way(base, tmp_path):
    flags = {"model_name": "small", "model_base_path": str(base / "small"), "grpc_max_threads": 1}
    flags["grpc_channel_arguments"] = "grpc.max_receive_message_length=1000"
    with running(**flags) as server, stubs(server) as (prediction, _):
        rows = {name: np.concatenate([value] * 200) for name, value in ROWS.items()}
        refused(
            lambda: prediction.Predict(request_for(rows), timeout=10),
            "RESOURCE_EXHAUSTED",
            "larger than max",
        )
        assert score(prediction) == 308.0
        held = threading.Event()
        real = server._models.in_use

        @contextlib.contextmanager
        def slow(request):
            assert held.wait(20)
            with real(request) as servable:
                yield servable

        server._models.in_use = slow
        waiting = prediction.Predict.future(request_for(ROWS), timeout=20)
        wait(lambda: _is_refused(prediction))
        held.set()
        assert waiting.result().outputs["score"].float_val[0] == 308.0


def _is_refused(prediction):
    try:
        prediction.Predict(request_for(ROWS), timeout=0.5)
    except grpc.RpcError as error:
        return error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    return False


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        ({"batching_parameters_file": "x"}, "needs --enable_batching, got 'x' without it"),
        ({"grpc_channel_arguments": "a=1,b"}, "--grpc_channel_arguments: must be key=.* got 'b'"),
        ({"rest_api_num_threads": 0}, "--rest_api_num_threads: must be at least 1, got 0"),
        (
            {"tensorflow_session_parallelism": 2, "tensorflow_intra_op_parallelism": 1},
            "--tensorflow_session_parallelism: must be 0 where",
        ),
    ],
)
def test_options_are_checked(flags, text):
    with pytest.raises(ValueError, match=text):
        ServeOptions(model_base_path="/x", **flags)


@pytest.mark.parametrize(
    ("flags", "intra_op", "inter_op"),
    [
        ({}, 1, -1),  # a request runs in its own thread
        ({"tensorflow_inter_op_parallelism": -1}, 1, -1),
        ({"tensorflow_inter_op_parallelism": 3}, 1, 3),
        ({"tensorflow_session_parallelism": 2}, 2, 2),
    ],
)
def test_threads_are_those_of_the_flags(flags, intra_op, inter_op):
    runtime = ServeOptions(model_base_path="/x", **flags).runtime(Metrics())
    config = runtime.session_config()
    assert config.intra_op_parallelism_threads == intra_op
    assert config.inter_op_parallelism_threads == inter_op


def test_a_stopping_server_answers_what_is_under_way_and_takes_no_more(base):
    server = Server(ServeOptions(model_name="small", model_base_path=str(base / "small"), port=0))
    server.start()
    entered, real = threading.Event(), server._models.in_use

    @contextlib.contextmanager
    def slow(request):
        entered.set()
        time.sleep(0.5)
        with real(request) as servable:
            yield servable

    with stubs(server) as (prediction, _):
        score(prediction)
        server._models.in_use = slow
        waiting = prediction.Predict.future(request_for(ROWS), timeout=20)
        assert entered.wait(20)
        server.stop(10.0)
        assert waiting.result().outputs["score"].float_val[0] == 308.0
        refused(lambda: score(prediction), "UNAVAILABLE", "")


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


def _taken_port():
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    return taken, taken.getsockname()[1]


@pytest.mark.parametrize("clash", ["gRPC", "REST", "socket"])
def test_a_server_whose_port_is_taken_lets_the_others_go_and_can_be_stopped(base, tmp_path, clash):
    taken, port = _taken_port()
    free = free_port()
    flags = {
        "gRPC": {"port": port, "rest_api_port": free},
        "REST": {"port": free, "rest_api_port": port},
        # The TCP port is bound by then: it is the second address of gRPC that fails.
        "socket": {"port": free, "grpc_socket_path": str(tmp_path / "nowhere" / "socket")},
    }
    server = Server(
        ServeOptions(model_name="small", model_base_path=str(base / "small"), **flags[clash])
    )
    with taken, pytest.raises(OSError, match="cannot listen on"):
        server.start()
    with socket.socket() as again:
        again.bind(("127.0.0.1", free))
    # In a thread of its own: a stop that never returns must not hold up the tests.
    stopping = threading.Thread(target=server.stop, args=[5.0], daemon=True)
    stopping.start()
    stopping.join(20)
    assert not stopping.is_alive()


def test_a_server_that_never_started_can_be_stopped(base):
    server = Server(ServeOptions(model_name="small", model_base_path=str(base / "small"), port=0))
    stopping = threading.Thread(target=server.stop, args=[5.0], daemon=True)
    stopping.start()
    stopping.join(20)
    assert not stopping.is_alive()
