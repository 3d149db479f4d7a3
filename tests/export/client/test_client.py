"""The client against the embedded server: ranking by raw ids, messages, independence."""

import json
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf

from export.client import CallError, Client, Input, known_ids, protocol, ranking, tensors
from export.client import __main__ as command
from export.client.ranking import ByFeatures, by_ids, join, rank
from export.client.records import read_records
from export.client.snapshot import GraphSnapshot
from export.server.model_server import Server
from export.server.options import ServeOptions
from input_pipeline.spec import read_spec


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


@pytest.mark.parametrize("signature", ["rank_ids", "rank", "serving_default"])
def test_candidates_are_ranked_by_the_models_scores(exported, target, snapshot, signature):
    path, loaded = exported
    user, items = np.array([b"u3"], object), np.array([0, 7, 14, 21, 2**40])
    with Client(target, "m", timeout_seconds=30) as client:
        ask = by_ids
        if signature != "rank_ids":
            ask = ByFeatures(snapshot, signature, client.inputs(signature))
        ranked = rank(client, ask, user, items)
    assert (np.diff(ranked["score"]) <= 0).all()
    assert sorted(ranked["item_id"].tolist()) == sorted(items.tolist())
    inputs = {f: Input.of(loaded.spec.feature(f)) for f in loaded.model.feature_names}
    rows = join(snapshot, user, ranked["item_id"], inputs)
    serve = tf.saved_model.load(path).signatures["serving_default"]
    expected = serve(**{name: tf.constant(value) for name, value in rows.items()})
    for name in ("click", "buy", "score"):
        np.testing.assert_allclose(ranked[name], expected[name].numpy(), rtol=0, atol=1e-5)


def test_many_candidates_go_in_requests_of_a_size_that_servers_take(monkeypatch):
    sizes = []

    def ask(client, user_id, item_ids):
        sizes.append(len(item_ids))
        return {"score": item_ids.astype(np.float32)}

    monkeypatch.setattr(ranking, "MAX_BATCH_SIZE", 4)
    ranked = rank(None, ask, np.array([b"u1"], object), np.arange(10))
    assert sizes == [4, 4, 2]
    assert ranked["item_id"].tolist() == list(range(9, -1, -1))


def test_a_request_without_rows_or_candidates_is_not_sent(monkeypatch):
    with Client("localhost:1", "m") as client:
        monkeypatch.setattr(client, "_call", lambda *_: pytest.fail("it was sent"))
        users = {"user_id": np.zeros(0, np.int64), "item_id": np.zeros((0, 3), np.int64)}
        with pytest.raises(
            ValueError, match=r"user_id must have at least one row, got shape \[0\]"
        ):
            client.predict(users, "rank_ids")
        examples = {"examples": np.zeros(0, object)}
        with pytest.raises(ValueError, match="inputs: examples must have at least one row"):
            client.predict(examples, "examples")
    with pytest.raises(ValueError, match="item_ids: must have at least one candidate, got none"):
        rank(None, None, np.array([1]), np.zeros(0, np.int64))


_ENDS = """
import concurrent.futures, grpc, os

class Ends(grpc.GenericRpcHandler):
    def service(self, details):
        os._exit(1)

server = grpc.server(concurrent.futures.ThreadPoolExecutor(1), handlers=[Ends()])
port = server.add_insecure_port("127.0.0.1:0")
server.start()
print(port, flush=True)
server.wait_for_termination()
"""


def test_a_call_that_ended_its_server_is_not_tried_again():
    process = subprocess.Popen([sys.executable, "-c", _ENDS], stdout=subprocess.PIPE, text=True)
    port = int(process.stdout.readline())
    begin = time.monotonic()
    with (
        Client(f"127.0.0.1:{port}", "m", timeout_seconds=60) as client,
        pytest.raises(
            CallError, match="was lost while it answered, and is not asked again"
        ) as told,
    ):
        client.states()
    assert told.value.code == grpc.StatusCode.UNAVAILABLE
    assert time.monotonic() - begin < 30
    assert process.wait(20) == 1
    process.stdout.close()


@pytest.mark.parametrize(
    "first",
    ["import tensorflow as tf; tf.keras.Model", "import tensorflow_serving.apis.predict_pb2"],
)
def test_tensorflow_may_have_been_imported_and_used_before(first):
    code = f"{first}; from export.client import Client; Client('localhost:1', 'm').close()"
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)


def test_answers_are_as_wide_as_the_request_where_the_server_padded_it(monkeypatch):
    response = protocol.PredictResponse()
    tensors.encode(np.array([[0.5, 0.25, 0.125]], np.float32), response.outputs["score"])
    with Client("localhost:1", "m") as client:
        monkeypatch.setattr(client, "_call", lambda *_: response)
        candidates = {"user_id": np.array([1]), "item_id": np.array([[2, 3]])}
        assert client.predict(candidates, "rank_ids")["score"].tolist() == [[0.5, 0.25]]
        flat = {"user_id": np.array([1]), "item_id": np.array([2])}
        assert client.predict(flat)["score"].tolist() == [[0.5, 0.25, 0.125]]


_ALONE = """
import json, runpy, sys
runpy.run_module("export.client", run_name="__main__", alter_sys=True)
names = {name.split(".")[0] for name in sys.modules} - sys.stdlib_module_names
print(json.dumps(sorted(names)), file=sys.stderr)
"""
# what grpcio (it imports its extensions where they are installed), protobuf and NumPy bring along,
# and what an interpreter's start may import
_ALLOWED = {"export", "input_pipeline", "grpc", "google", "numpy", "typing_extensions", "__main__"}
_ALLOWED |= {"grpc_health", "grpc_reflection", "_distutils_hack", "cython_runtime", "sitecustomize"}


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
    told = "item_id: 1 of 3 unknown to the model, scored as cold: 280000"
    assert told in done.stderr.splitlines()
    header, *lines = done.stdout.splitlines()
    assert header.split() == ["item_id", "score", "click", "buy"]
    assert {line.split()[0] for line in lines} == {"7", "0", "280000"}
    scores = [float(line.split()[1]) for line in lines]
    assert scores == sorted(scores, reverse=True)


def _main(capsys, *flags):
    """The exit message of the command, or what it printed."""
    try:
        command.main(flags)
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
    assert {line.split()[0] for line in lines} == {"14", "21"}
    lines = _main(capsys, *flags, "--popular=8", "--top=5").splitlines()[1:]
    assert len(lines) == 5
    popular = {str(item) for item in snapshot.popular_items(8)}
    assert {line.split()[0] for line in lines} <= popular
    for flag in ("popular", "top"):
        message = _main(capsys, *flags, f"--{flag}=0")
        assert message.endswith(f"--{flag}: must be at least 1, got 0")
    for content in ("", "\n\n"):
        (tmp_path / "empty.txt").write_text(content)
        message = _main(capsys, *flags, f"--candidates={tmp_path}/empty.txt")
        assert message.endswith("empty.txt is empty")


def test_a_bad_candidate_is_named_by_its_line_and_alone(tmp_path):
    path = str(tmp_path / "items.txt")
    integers, strings = Input(9, (-1, -1)), Input(tensors.DT_STRING, (-1, -1))
    lines = [str(number) for number in range(1000)]
    lines[3], lines[700], lines[800] = "", "x7", "x8"
    Path(path).write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    message = f"--candidates: {path}, line 701: must be an integer within int64, .* got 'x7'$"
    with pytest.raises(ValueError, match=message):
        ranking.read_candidates(path, integers)
    lines[700], lines[800] = "-5", str(2**63)
    Path(path).write_text("\n".join(lines) + "\n")
    with pytest.raises(ValueError, match=r"line 801: .* got '9223372036854775808'$"):
        ranking.read_candidates(path, integers)
    lines[800] = " 8"
    Path(path).write_text("\n".join(lines) + "\n")
    expected = [*range(3), *range(4, 700), -5, *range(701, 800), 8, *range(801, 1000)]
    assert ranking.read_candidates(path, integers).tolist() == expected
    # what ends a line for Python, and what is no UTF-8, may be a part of an id
    Path(path).write_bytes(b"a\x1cb\ncaf\xe9\n\n")
    assert ranking.read_candidates(path, strings).tolist() == [b"a\x1cb", b"caf\xe9"]


@pytest.mark.parametrize("exported", ["mgoe"], indirect=True)
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--model_name=other"], "does not serve model 'other': Servable not found for request"),
        (["--version=3"], "does not serve model 'm': Servable not found .* Specific\\(m, 3\\)"),
        (["--data_dir=nowhere"], "'nowhere' is not a data set directory"),
        (["--item_ids=7,abc,x"], "--item_ids: must be an integer within int64, .* got 'abc'$"),
        (["--candidates=nofile"], "No such file"),
        (["--snapshot=none"], "has no graph 'none'"),
        (["--signature=examples"], "--examples: must be given for signature examples, got none"),
        (["--signature=examples", "--examples=nofile"], "No such file"),
        (["--private_key=x"], "--private_key and --certificate: must be given together"),
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


@pytest.mark.parametrize("exported", ["mgoe"], indirect=True)
def test_without_a_data_set_ids_are_enough(target, capsys):
    flags = [f"--target={target}", "--model_name=m", "--user_id=u1", "--timeout_seconds=30"]
    lines = _main(capsys, *flags, "--item_ids=7,14").splitlines()[1:]
    assert {line.split()[0] for line in lines} == {"7", "14"}
    for extra, text in (
        ([], "--item_ids: must be given without --data_dir, got none"),
        (["--item_ids=7", "--signature=rank"], "--data_dir: must be given for signature rank"),
    ):
        assert text in _main(capsys, *flags, *extra)


@pytest.mark.parametrize("exported", ["mgoe", "mmoe"], indirect=True)
def test_what_the_model_does_not_know_is_named(target, capsys):
    flags = [f"--target={target}", "--model_name=m", "--timeout_seconds=30", "--item_ids=7,5,14"]
    command.main([*flags, "--user_id=u1"])
    out, err = capsys.readouterr()
    assert out.split("\n")[0].split() == ["item_id", "score", "click", "buy"]
    assert err == "item_id: 1 of 3 unknown to the model, scored as cold: 5\n"
    command.main([*flags, "--user_id=u1.0"])
    first, second = capsys.readouterr().err.splitlines()
    assert first == "user_id: unknown to the model, scored as cold: u1.0 (did you mean u1?)"
    assert second == err.strip()


@pytest.mark.parametrize("exported", ["mgoe"], indirect=True)
def test_the_model_tells_what_it_knows_and_its_tasks(run, snapshot, target):
    with Client(target, "m", timeout_seconds=30) as client:
        inputs = client.inputs(known_ids.SIGNATURE)
        model = known_ids.ModelIds(lambda ids: client.predict(ids, known_ids.SIGNATURE), inputs)
        assert model.tasks() == ("click", "buy")
        # more than a request takes
        items = np.arange(-1, 2000)
        np.testing.assert_array_equal(model.knows("item", items), snapshot.rows("item", items) >= 0)
        users = np.array([b"u1", b"", b"u1 ", b"U1"], object)
        assert model.knows("user", users).tolist() == [True, False, False, False]


def test_unknown_ids_are_few_in_a_message():
    known = {b"1.0", b"x"}

    def knows(owner, ids):
        return np.array([one in known for one in ids.tolist()], bool)

    ids = np.array([b"1", b"x", b" x", b"caf\xe9", b"a", b"b", b"c", b"d"], object)
    assert known_ids.of_unknown(knows, "item", ids) == (
        "item_id: 7 of 8 unknown to the model, scored as cold: 1 (did you mean 1.0?),  x (did you "
        "mean x?), caf\\xe9, a, b and 2 more"
    )
    assert known_ids.of_unknown(knows, "item", ids[1:2]) is None


@pytest.mark.parametrize("exported", ["mgoe"], indirect=True)
def test_rows_of_a_tfrecord_are_replayed(run, exported, target, capsys):
    path = sorted(map(str, Path(run.data_dir).glob("examples/test-*.tfrecord.gz")))[0]
    rows = next(iter(tf.data.TFRecordDataset([path], "GZIP").batch(3)))
    assert read_records(path, 3) == rows.numpy().tolist()
    expected = tf.saved_model.load(exported[0]).signatures["examples"](examples=rows)
    flags = [f"--target={target}", "--model_name=m", f"--examples={path}", "--top=3"]
    columns = {
        "examples": ["score", "click", "buy"],
        "classify": ["click", "buy"],
        "regress": ["score"],
    }
    for signature, names in columns.items():
        text = _main(capsys, *flags, f"--signature={signature}", "--timeout_seconds=30")
        header, *lines = text.splitlines()
        assert header.split() == ["row", *names]
        for row, line in enumerate(lines):
            wanted = [row, *(expected[name].numpy()[row] for name in names)]
            np.testing.assert_allclose([float(cell) for cell in line.split()], wanted, atol=2e-6)


@pytest.mark.parametrize("exported", ["mgoe"], indirect=True)
def test_records_of_the_request_layout_are_replayed(run, exported, target, tmp_path, capsys):
    spec = read_spec(run.data_dir)
    path = sorted(map(str, Path(run.data_dir).glob("examples/test-*.tfrecord.gz")))[0]
    rows = [tf.train.Example.FromString(record) for record in read_records(path, 3)]
    request = tf.train.SequenceExample()
    for feature in spec.input_features:
        if feature.owner == "user":
            request.context.feature[feature.name].CopyFrom(rows[0].features.feature[feature.name])
            continue
        for row in rows:
            entry = request.feature_lists.feature_list[feature.name].feature.add()
            entry.CopyFrom(row.features.feature[feature.name])
    records = tmp_path / "requests.tfrecord"
    with tf.io.TFRecordWriter(str(records)) as writer:
        for _ in range(2):
            writer.write(request.SerializeToString())
    for row in rows:
        for feature in spec.select("user"):
            of_user = rows[0].features.feature[feature.name]
            row.features.feature[feature.name].CopyFrom(of_user)
    examples = tf.constant([row.SerializeToString() for row in rows])
    expected = tf.saved_model.load(exported[0]).signatures["examples"](examples=examples)
    flags = [f"--target={target}", "--model_name=m", "--signature=rank", "--timeout_seconds=30"]
    header, *lines = _main(capsys, *flags, f"--examples={records}", "--top=5").splitlines()
    assert header.split() == ["row", "score", "click", "buy"]
    assert [line.split()[0] for line in lines] == ["0.0", "0.1", "0.2", "1.0", "1.1"]
    for row, line in enumerate(lines):
        wanted = [expected[name].numpy()[row % 3] for name in ("score", "click", "buy")]
        np.testing.assert_allclose([float(c) for c in line.split()[1:]], wanted, atol=2e-6)
    message = _main(capsys, *flags, f"--examples={path}")
    assert "a record must have" in message or "is no tf.train.SequenceExample" in message


def test_files_that_hold_no_records_are_named(tmp_path):
    path = tmp_path / "rows"
    for content, text in ((b"hello", "within a header"), (b"\xff" * 40, "within a record")):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"rows: no TFRecord file, .*{text}"):
            read_records(str(path), 1)
    path.write_bytes(b"\x1f\x8b garbage")
    with pytest.raises(ValueError, match="rows: no TFRecord file"):
        read_records(str(path), 1)


def test_an_unreachable_server_is_named_after_the_timeout():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    begin = time.monotonic()
    message = rf"no server answers at 127.0.0.1:{port}, tried for 0\.[3-9] s: "
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
            assert 1 < client.waited_seconds < 60
    finally:
        server.stop(0)
