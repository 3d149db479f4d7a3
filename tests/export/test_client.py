"""The client against the embedded server: ranking by raw ids, messages, independence."""

import json
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import ClassVar

import grpc
import numpy as np
import pytest
import tensorflow as tf

from export import client as client_module
from export.client import CallError, Client, Input, join, rank
from export.serve import ServeOptions, Server
from export.snapshot import GraphSnapshot


@pytest.fixture(scope="module")
def snapshot(run):
    return GraphSnapshot(run.data_dir)


@pytest.fixture(scope="module")
def target(exported):
    base_path = str(Path(exported[0]).parent)
    server = Server(ServeOptions(model_name="m", model_base_path=base_path, port=0))
    server.start()
    yield f"127.0.0.1:{server.port}"
    server.stop(0)


def test_candidates_are_ranked_by_the_models_scores(exported, target, snapshot):
    path, loaded = exported
    user, items = np.array([b"u3"], object), np.array([0, 7, 14, 21, 2**40])
    with Client(target, "m", timeout_seconds=30) as client:
        ranked = rank(client, snapshot, user, items)
    assert (np.diff(ranked["score"]) <= 0).all()
    assert sorted(ranked["item_id"].tolist()) == sorted(items.tolist())
    inputs = {f: Input.of(loaded.spec.feature(f)) for f in loaded.model.feature_names}
    rows = join(snapshot, user, ranked["item_id"], inputs)
    serve = tf.saved_model.load(path).signatures["serving_default"]
    expected = serve(**{name: tf.constant(value) for name, value in rows.items()})
    for name in ("click", "buy", "score"):
        np.testing.assert_allclose(ranked[name], expected[name].numpy(), rtol=0, atol=1e-6)


def test_many_candidates_go_in_requests_of_a_size_that_servers_take(snapshot, monkeypatch):
    class Counting:
        sizes: ClassVar[list[int]] = []

        def inputs(self):
            return {"item_id": Input(9, (-1,))}

        def predict(self, rows):
            self.sizes.append(len(rows["item_id"]))
            return {"score": rows["item_id"].astype(np.float32)}

    monkeypatch.setattr(client_module, "LARGEST_REQUEST", 4)
    ranked = rank(Counting(), snapshot, np.array([b"u1"], object), np.arange(10))
    assert Counting.sizes == [4, 4, 2]
    assert ranked["item_id"].tolist() == list(range(9, -1, -1))


_ALONE = """
import json, sys
from export import client
client.main(sys.argv[1:])
names = {name.split(".")[0] for name in sys.modules} - sys.stdlib_module_names
print(json.dumps(sorted(names)), file=sys.stderr)
"""
# what grpcio, protobuf and NumPy bring along, and what an interpreter's start may import
_ALLOWED = {"export", "input_pipeline", "grpc", "google", "numpy", "typing_extensions", "__main__"}
_ALLOWED |= {"_distutils_hack", "cython_runtime", "sitecustomize"}


@pytest.mark.parametrize("exported", ["mgoe"], indirect=True)
def test_the_command_needs_grpc_protobuf_and_numpy_only(run, target):
    flags = [f"--target={target}", "--model_name=m", f"--data_dir={run.data_dir}"]
    flags += ["--user_id=u1", "--item_ids=7,0,280000", "--timeout_seconds=30"]
    done = subprocess.run(
        [sys.executable, "-c", _ALONE, *flags], capture_output=True, text=True, check=True
    )
    modules = set(json.loads(done.stderr.splitlines()[-1]))
    # An editable installation puts a finder of its own in front of the imports.
    ours = ("_cython", "__editable__")
    assert {name for name in modules - _ALLOWED if not name.startswith(ours)} == set()
    assert "1 item(s) unknown to the graph are scored as cold" in done.stderr
    header, *lines = done.stdout.splitlines()
    assert header.split() == ["rank", "item_id", "score", "click", "buy"]
    assert [line.split()[0] for line in lines] == ["1", "2", "3"]
    assert {line.split()[1] for line in lines} == {"7", "0", "280000"}
    scores = [float(line.split()[2]) for line in lines]
    assert scores == sorted(scores, reverse=True)


def _main(capsys, *flags):
    """The exit message of the command, or what it printed."""
    try:
        client_module.main(flags)
    except SystemExit as stop:
        return str(stop)
    return capsys.readouterr().out


@pytest.mark.parametrize("exported", ["mgoe"], indirect=True)
def test_candidates_come_from_a_file_or_are_the_popular_items(
    run, target, snapshot, tmp_path, capsys
):
    flags = [f"--target={target}", "--model_name=m", f"--data_dir={run.data_dir}", "--user_id=u1"]
    flags += ["--timeout_seconds=30"]
    (tmp_path / "items.txt").write_text("14\n21\n")
    lines = _main(capsys, *flags, f"--candidates={tmp_path}/items.txt").splitlines()[1:]
    assert {line.split()[1] for line in lines} == {"14", "21"}
    lines = _main(capsys, *flags, "--popular=8", "--top=5").splitlines()[1:]
    assert len(lines) == 5
    popular = {str(item) for item in snapshot.popular_items(8)}
    assert {line.split()[1] for line in lines} <= popular
    for flag in ("popular", "top"):
        message = _main(capsys, *flags, f"--{flag}=0")
        assert message.endswith(f"--{flag}: must be at least 1, got 0")
    (tmp_path / "empty.txt").write_text("")
    message = _main(capsys, *flags, f"--candidates={tmp_path}/empty.txt")
    assert message.endswith("empty.txt is empty")


@pytest.mark.parametrize("exported", ["mgoe"], indirect=True)
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--model_name=other"], "does not serve model 'other': Servable not found for request"),
        (["--version=3"], "does not serve model 'm': Servable not found .* Specific\\(m, 3\\)"),
        (["--data_dir=nowhere"], "'nowhere' is not a data set directory"),
        (["--item_ids=abc"], r"item_id: must be integers within int64, .* got \['abc'\]"),
        (["--candidates=nofile"], "No such file"),
        (["--snapshot=none"], "has no graph 'none'"),
    ],
)
def test_mistakes_end_in_one_message(run, target, capsys, flags, message):
    given = [f"--target={target}", "--model_name=m", f"--data_dir={run.data_dir}", "--user_id=u1"]
    stopped = _main(capsys, *given, *flags)
    assert stopped.startswith("export.client: ")
    with pytest.raises(ValueError, match=message):
        raise ValueError(stopped)


def test_a_data_set_of_another_kind_is_refused(snapshot):
    user, items = np.array([b"u1"], object), np.array([7])
    narrow = {"user_1hop": Input(1, (-1, 4))}
    assert join(snapshot, user, items, narrow)["user_1hop"].shape == (1, 4)
    with pytest.raises(ValueError, match=r"user_1hop with shape \[-1, 20\], .* has \[-1, 4\]"):
        join(snapshot, user, items, {"user_1hop": Input(1, (-1, 20))})
    with pytest.raises(ValueError, match="reads gender, which the data set does not have"):
        join(snapshot, user, items, {"gender": Input(7, (-1,))})


@pytest.mark.parametrize("exported", ["mgoe"], indirect=True)
def test_an_unknown_signature_is_named(target):
    with Client(target, "m") as client, pytest.raises(ValueError, match="not 'ranks'"):
        client.inputs("ranks")


def test_an_unreachable_server_is_named_after_the_timeout():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    begin = time.monotonic()
    message = f"no server answers at 127.0.0.1:{port}"
    with (
        Client(f"127.0.0.1:{port}", "m", timeout_seconds=0.5) as client,
        pytest.raises(CallError, match=message) as error,
    ):
        client.states()
    assert error.value.code == grpc.StatusCode.UNAVAILABLE
    assert time.monotonic() - begin >= 0.3  # pauses of 0.1 s and 0.2 s, then none of 0.4 s


@pytest.mark.parametrize("exported", ["mgoe"], indirect=True)
def test_a_server_that_is_still_starting_is_waited_for(exported):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    base_path = str(Path(exported[0]).parent)
    server = Server(ServeOptions(model_name="m", model_base_path=base_path, port=port))
    threading.Timer(2.0, server.start).start()
    try:
        with Client(f"127.0.0.1:{port}", "m", timeout_seconds=60) as client:
            assert list(client.states().values()) == ["AVAILABLE"]
    finally:
        server.stop(0)
