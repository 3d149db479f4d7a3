"""Versions of a model that come, fail and go while they are served."""

import shutil
import threading

import grpc
import pytest
from tensorflow_serving.apis import get_model_status_pb2, model_service_pb2_grpc

from export.client import CallError, Client
from tests.export.server.small_model import ROWS, save_version, serving, wait


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
            wait(lambda wanted=version: client.states().get(wanted) == "AVAILABLE")
            wait(lambda old=version - 1: client.states().get(old) == "END")
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


def test_a_broken_or_unfinished_new_version_changes_nothing(tmp_path):
    path = tmp_path / "small"
    save_version(path, 1, add=0.0)
    with serving(path, max_num_load_retries=0) as target, Client(target, "small") as client:
        (path / "2").mkdir()  # without saved_model.pb it is not looked at
        (path / "latest").mkdir()
        (path / "3").mkdir()
        (path / "3" / "saved_model.pb").write_bytes(b"not a model")
        wait(lambda: client.states().get(3) == "END")
        assert client.states() == {3: "END", 1: "AVAILABLE"}
        assert client.predict(ROWS)["score"][0] == 8.0
        shutil.rmtree(path / "3")
        (path / "5").write_text("a file, which ends the real server")
        save_version(path, 4, add=1.0)
        wait(lambda: client.states().get(4) == "AVAILABLE")
        with grpc.insecure_channel(target) as channel:
            request = get_model_status_pb2.GetModelStatusRequest()
            request.model_spec.name = "small"
            stub = model_service_pb2_grpc.ModelServiceStub(channel)
            states = stub.GetModelStatus(request, timeout=10).model_version_status
        status = next(state.status for state in states if state.version == 3)
        # What it failed of is still told when it is gone.
        assert (status.error_code, status.error_message) == (
            15,  # DATA_LOSS
            f"Can't parse {path}/3/saved_model.pb as binary proto",
        )


def test_zeros_before_a_version_number_do_not_count(tmp_path):
    path = tmp_path / "small"
    save_version(path, 7, add=0.0)
    save_version(path, 39, add=39.0)
    (path / "7").rename(path / "040")
    with serving(path) as target, Client(target, "small") as client:
        assert client.states() == {40: "AVAILABLE"}
        assert client.predict(ROWS)["score"][0] == 8.0


def test_a_version_that_is_tried_again_is_loading(tmp_path):
    path = tmp_path / "small"
    save_version(path, 1, add=0.0)
    flags = {"max_num_load_retries": 5, "load_retry_interval_micros": 100_000}
    with serving(path, **flags) as target, Client(target, "small") as client:
        (path / "3").mkdir()
        (path / "3" / "saved_model.pb").write_bytes(b"not a model")
        wait(lambda: client.states().get(3) == "LOADING")
        save_version(path, 4, add=1.0)
        wait(lambda: client.states().get(4) == "AVAILABLE")
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
