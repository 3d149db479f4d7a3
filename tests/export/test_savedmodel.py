"""Exports of real models: equal answers everywhere, publication, faults."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from export import savedmodel, warmup
from export.client import Client
from export.client.snapshot import GraphSnapshot
from export.options import ExportOptions
from export.savedmodel import export
from export.server.model_server import Server
from export.server.options import ServeOptions
from input_pipeline.records.example_parsing import parse_examples
from mgoe_tf.training import checkpoints
from tests.export.conftest import write_model
from tests.model_options import OPTIONS

TASKS = ("click", "buy")
OUTPUTS = {*TASKS, "score"}


@pytest.fixture(scope="module")
def serialized(run):
    files = sorted(map(str, Path(run.data_dir).glob("examples/*.tfrecord.gz")))
    rows = tf.data.TFRecordDataset(files, "GZIP").batch(1000)
    return next(iter(rows))


def raw_rows(loaded, serialized):
    features = [loaded.spec.feature(name) for name in loaded.model.feature_names]
    return parse_examples(serialized, features)


def keras_answers(loaded, raw):
    logits = loaded.model(loaded.lookup(raw))
    answers = {task: 1 / (1 + np.exp(-logits[task].numpy().astype(np.float64))) for task in TASKS}
    # the weights are 1 and 3: (click * buy ** 3) ** (1 / 4)
    answers["score"] = (answers["click"] * answers["buy"] ** 3) ** 0.25
    return answers


def assert_equal_answers(actual, expected, tolerance=1e-6):
    assert set(actual) == OUTPUTS
    for name in OUTPUTS:
        np.testing.assert_allclose(actual[name], expected[name], rtol=0, atol=tolerance)


def numpy_of(outputs):
    return {name: value.numpy() for name, value in outputs.items()}


def test_keras_both_signatures_and_grpc_agree(exported, serialized):
    path, loaded = exported
    raw = raw_rows(loaded, serialized)
    expected = keras_answers(loaded, raw)
    assert len(expected["buy"]) == 1000
    assert np.std(expected["buy"]) > 1e-3
    signatures = tf.saved_model.load(path).signatures
    assert_equal_answers(numpy_of(signatures["serving_default"](**raw)), expected)
    assert_equal_answers(numpy_of(signatures["examples"](examples=serialized)), expected)
    base_path = str(Path(path).parent)
    server = Server(ServeOptions(model_name="m", model_base_path=base_path, port=0))
    server.start()
    try:
        with Client(f"127.0.0.1:{server.port}", "m", timeout_seconds=30) as client:
            assert_equal_answers(client.predict(numpy_of(raw)), expected)
            replayed = client.predict({"examples": serialized.numpy()}, "examples")
            assert_equal_answers(replayed, expected)
    finally:
        server.stop(0)


def test_one_row_is_answered_as_in_a_thousand(exported, serialized):
    path, loaded = exported
    raw = raw_rows(loaded, serialized)
    serve = tf.saved_model.load(path).signatures["serving_default"]
    together = numpy_of(serve(**raw))
    for row in (0, 500, 999):
        alone = numpy_of(serve(**{name: value[row : row + 1] for name, value in raw.items()}))
        assert_equal_answers(alone, {name: together[name][row : row + 1] for name in OUTPUTS})


def test_signatures_take_what_the_model_reads(exported):
    path, loaded = exported
    signatures = tf.saved_model.load(path).signatures
    names = {"serving_default", "examples", "classify", "regress"}
    names |= {"rank", "rank_ids", "known_ids"}
    assert set(signatures) == names | (
        {"explain"} if loaded.train_options.model == "mgoe" else set()
    )
    ids = signatures["rank_ids"].structured_input_signature[1]
    assert {name: spec.shape.as_list() for name, spec in ids.items()} == {
        "user_id": [None],
        "item_id": [None, None],
    }
    inputs = signatures["serving_default"].structured_input_signature[1]
    assert set(inputs) == set(loaded.model.feature_names)
    assert inputs["user_id"].dtype == tf.string
    assert inputs["item_id"].dtype == tf.int64
    assert inputs["kind"].shape.as_list() == [None]
    if "user_1hop" in inputs:
        assert inputs["user_1hop"].shape.as_list() == [None, 4]
        assert inputs["user_neighbors_buy"].shape.as_list() == [None, 5]
        assert inputs["task_table"].shape.as_list() == [None, 8]
    for name, spec in signatures["examples"].structured_outputs.items():
        assert name in OUTPUTS
        assert spec.dtype == tf.float32
        assert spec.shape.as_list() == [None]


def test_dense_weights_are_constants_inside_the_graph(exported):
    path, _ = exported
    for signature in tf.saved_model.load(path).signatures.values():
        # Tables come in from outside; weights that did could not be folded.
        assert not [tensor for tensor in signature.captured_inputs if tensor.dtype.is_floating]


def _joined(loaded, snapshot, users, items):
    """Flat rows of users [B] with candidates [B, N], joined by NumPy."""
    names = loaded.model.feature_names
    user = snapshot.features("user", np.repeat(users, items.shape[1]), names)
    return user | snapshot.features("item", items.ravel(), names)


USERS = np.array([b"u1", b"u2", b"nobody"], object)
CANDIDATES = np.array([[7, 14, 21, 0], [7, 7, -5, 35], [0, 2**40, 7, 70]])


def test_rank_and_rank_ids_answer_as_flat_rows_do(exported, run):
    path, loaded = exported
    snapshot = GraphSnapshot(run.data_dir)
    flat = _joined(loaded, snapshot, USERS, CANDIDATES)
    expected = {k: v.reshape(3, 4) for k, v in keras_answers(loaded, flat).items()}
    assert np.std(expected["buy"]) > 1e-3
    signatures = tf.saved_model.load(path).signatures
    ids = {"user_id": tf.constant(USERS), "item_id": tf.constant(CANDIDATES)}
    assert_equal_answers(numpy_of(signatures["rank_ids"](**ids)), expected, 1e-5)
    items = {f.name for f in loaded.spec.select("item")}
    lists = {
        name: value.reshape(3, 4, *value.shape[1:]) if name in items else value[::4]
        for name, value in flat.items()
    }
    tensors = {name: tf.constant(value) for name, value in lists.items()}
    assert_equal_answers(numpy_of(signatures["rank"](**tensors)), expected, 1e-5)


def test_rank_ids_of_an_early_graph_scores_later_ids_as_cold(run, tmp_path):
    options = {"model_dir": run.model_dirs["mgoe"], "export_base": str(tmp_path)}
    path = export(ExportOptions(**options, data_dir=run.data_dir, snapshot="1"))
    loaded, snapshot = (
        checkpoints.load_model(run.model_dirs["mgoe"]),
        GraphSnapshot(run.data_dir, "1"),
    )
    items = GraphSnapshot(run.data_dir).known_ids("item")[None]
    assert (snapshot.rows("item", items[0]) < 0).any()
    flat = _joined(loaded, snapshot, USERS[:1], items)
    outputs = tf.saved_model.load(path).signatures["rank_ids"](
        user_id=tf.constant(USERS[:1]), item_id=tf.constant(items)
    )
    np.testing.assert_allclose(outputs["buy"][0], keras_answers(loaded, flat)["buy"], atol=1e-5)


def test_classify_and_regress_say_so_and_agree(exported, serialized):
    path, loaded = exported
    meta_graph = saved_model_pb2.SavedModel.FromString(
        (Path(path) / "saved_model.pb").read_bytes()
    ).meta_graphs[0]
    methods = {
        name: s.method_name for name, s in meta_graph.signature_def.items() if name[0] != "_"
    }
    named = {"classify": "tensorflow/serving/classify", "regress": "tensorflow/serving/regress"}
    assert methods == dict.fromkeys(methods, "tensorflow/serving/predict") | named
    signatures = tf.saved_model.load(path).signatures
    expected = keras_answers(loaded, raw_rows(loaded, serialized))
    classes = signatures["classify"](inputs=serialized)
    assert classes["classes"].numpy().tolist() == [[b"click", b"buy"]] * 1000
    scores = np.stack([expected["click"], expected["buy"]], axis=1)
    np.testing.assert_allclose(classes["scores"], scores, rtol=0, atol=1e-6)
    values = signatures["regress"](inputs=serialized)["outputs"]
    np.testing.assert_allclose(values, expected["score"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("exported", ["mgoe"], indirect=True)
def test_explain_gives_weights_that_the_score_is_made_of(exported, run):
    path, loaded = exported
    outputs = numpy_of(
        tf.saved_model.load(path).signatures["explain"](
            user_id=tf.constant(USERS), item_id=tf.constant(CANDIDATES)
        )
    )
    sizes = {"user_1hop": 4, "user_2hop": 3, "item_1hop": 3, "item_2hop": 4}
    for name, size in sizes.items():
        alpha = outputs[f"alpha_{name}"]
        assert alpha.shape == (3, 4, size)
        np.testing.assert_allclose(alpha.sum(-1), 1.0, atol=1e-5)
        for task in TASKS:
            attention = outputs[f"attention_{task}_{name}"]
            np.testing.assert_allclose(attention.sum(-1), 1.0, atol=1e-5)
            np.testing.assert_allclose(outputs[f"weight_{task}_{name}"], alpha * attention)
    # log(1 + edges) / tau is what alpha is the softmax of
    edges = GraphSnapshot(run.data_dir).features("user", USERS, ["user_1hop"])["user_1hop"]
    powers = (1 + edges) ** (1 / OPTIONS["mgoe"].temperature)
    expected = powers / powers.sum(-1, keepdims=True)
    np.testing.assert_allclose(outputs["alpha_user_1hop"][:, 0], expected, atol=1e-5)
    # kappa_t (log(1 + L_t[u, m(i)]) - mean_m log(1 + L_t[u, m])), Eq. 22
    table = GraphSnapshot(run.data_dir).features("user", USERS, ["task_table"])["task_table"]
    macro = GraphSnapshot(run.data_dir).features("item", CANDIDATES[0], ["item_macro"])[
        "item_macro"
    ]
    levels = np.log1p(table[0].reshape(2, 4))
    kappa = loaded.model.adjustment.kappa.numpy()
    for index, task in enumerate(TASKS):
        expected = kappa[index] * (levels[index][macro] - levels[index].mean()) * (macro >= 0)
        np.testing.assert_allclose(outputs[f"adjustment_{task}"][0], expected, atol=1e-5)


_ELSEWHERE = """
import sys
import numpy as np
import tensorflow as tf
path, rows, answers = sys.argv[1:]
outputs = tf.saved_model.load(path).signatures["examples"](
    examples=tf.constant(list(tf.data.TFRecordDataset(rows).as_numpy_iterator()))
)
np.savez(answers, **{name: value.numpy() for name, value in outputs.items()})
ours = {"mgoe_tf", "input_pipeline", "export", "tf_keras", "tensorflow_recommenders"}
assert not ours & set(sys.modules), ours & set(sys.modules)
"""


@pytest.mark.parametrize("exported", ["mgoe"], indirect=True)
def test_an_export_answers_where_this_project_is_not_installed(exported, serialized, tmp_path):
    path, loaded = exported
    with tf.io.TFRecordWriter(str(tmp_path / "rows")) as writer:
        for row in serialized.numpy():
            writer.write(row)
    # -I: neither the current directory nor PYTHONPATH; the guard in the script sees an installation
    script = [sys.executable, "-I", "-c", _ELSEWHERE, path]
    files = [str(tmp_path / "rows"), str(tmp_path / "answers.npz")]
    environment = {k: v for k, v in os.environ.items() if k != "TF_USE_LEGACY_KERAS"}
    subprocess.run([*script, *files], cwd=tmp_path, env=environment, check=True)
    answers = dict(np.load(tmp_path / "answers.npz"))
    assert_equal_answers(answers, keras_answers(loaded, raw_rows(loaded, serialized)))


def test_unknown_ids_are_cold_nodes(exported):
    path, loaded = exported
    features = [loaded.spec.feature(name) for name in loaded.model.feature_names]
    rows = warmup.cold_rows(features, 3)
    rows["item_id"][:] = [-1, -1, 2**62]  # 0 is an item of this log
    rows["user_id"][1] = b"nobody knows me"
    serve = tf.saved_model.load(path).signatures["serving_default"]
    outputs = numpy_of(serve(**{name: tf.constant(value) for name, value in rows.items()}))
    for name in OUTPUTS:
        assert np.isfinite(outputs[name]).all()
        np.testing.assert_array_equal(outputs[name], outputs[name][0])


@pytest.mark.parametrize("exported", ["mgoe"], indirect=True)
@pytest.mark.parametrize(
    ("feature", "value"),
    [
        ("user_1hop", np.nan),
        ("item_2hop", np.inf),
        ("task_table", -1.0),
        ("item_neighbor_weights_buy", np.nan),
        ("item_macro", 4),
        ("item_macro", -2),
    ],
)
def test_a_row_that_cannot_be_scored_is_nan_alone(exported, serialized, feature, value):
    path, loaded = exported
    raw = numpy_of(raw_rows(loaded, serialized[:6]))
    serve = tf.saved_model.load(path).signatures["serving_default"]
    expected = numpy_of(serve(**{name: tf.constant(rows) for name, rows in raw.items()}))
    raw[feature][3, ...] = value
    outputs = numpy_of(serve(**{name: tf.constant(rows) for name, rows in raw.items()}))
    for name in OUTPUTS:
        assert np.isnan(outputs[name]).tolist() == [False, False, False, True, False, False]
        np.testing.assert_allclose(
            np.delete(outputs[name], 3), np.delete(expected[name], 3), rtol=0, atol=1e-6
        )


def test_check_finite_batch_refuses_the_request(run, serialized, tmp_path):
    path = export(
        ExportOptions(
            model_dir=run.model_dirs["mgoe"], export_base=str(tmp_path), check_finite="batch"
        )
    )
    loaded = checkpoints.load_model(run.model_dirs["mgoe"])
    raw = raw_rows(loaded, serialized[:2])
    serve = tf.saved_model.load(path).signatures["serving_default"]
    assert np.isfinite(serve(**raw)["score"]).all()
    raw["user_2hop"] = -raw["user_2hop"] - 1.0
    with pytest.raises(tf.errors.InvalidArgumentError, match="user_2hop"):
        serve(**raw)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_models_of_mixed_precision_answer_in_float32(run, serialized, tmp_path, precision):
    model_dir = str(tmp_path / "model")
    write_model(model_dir, "mgoe", run.data_dir, precision)
    path = export(
        ExportOptions(model_dir=model_dir, export_base=str(tmp_path), data_dir=run.data_dir)
    )
    outputs = tf.saved_model.load(path).signatures["examples"](examples=serialized)
    assert {name: value.dtype for name, value in outputs.items()} == dict.fromkeys(
        OUTPUTS, tf.float32
    )
    assert np.isfinite(outputs["score"]).all()


def test_what_lies_beside_the_model(exported):
    path, loaded = exported
    extra = Path(path) / "assets.extra"
    assert (extra / "dataset_spec.json").read_text() == loaded.spec.to_json()
    assert json.loads((extra / "evaluation.json").read_text()) == {
        "validation": {"average": {"auc": 0.75}}
    }
    told = json.loads((extra / "signatures.json").read_text())
    explains = loaded.train_options.model == "mgoe"
    assert ("explain" in told["signatures"], "explain" in told["absent"]) == (
        explains,
        not explains,
    )


def test_warm_up_requests_are_of_every_signature_and_batch_size(exported):
    path, _ = exported
    signatures = json.loads((Path(path) / "assets.extra/signatures.json").read_text())["signatures"]
    sizes = {}
    for log in warmup.read(path):
        request = getattr(log, log.WhichOneof("log_type")).request
        assert request.model_spec.name == Path(path).parent.name
        name = request.model_spec.signature_name
        if name in ("classify", "regress"):
            size = len(request.input.example_list.examples)
        else:
            size = next(iter(request.inputs.values())).tensor_shape.dim[0].size
        sizes.setdefault(name, []).append(size)
    assert sizes == {name: [2**power for power in range(11)] for name in signatures}


def _export(run, base, **options):
    return export(ExportOptions(model_dir=run.model_dirs["mmoe"], export_base=str(base), **options))


def test_versions_increase_and_are_pruned(run, tmp_path):
    begin = int(time.time())
    first, second = _export(run, tmp_path), _export(run, tmp_path)
    numbers = [int(Path(path).name) for path in (first, second)]
    assert begin <= numbers[0] < numbers[1]
    future = _export(run, tmp_path, version=numbers[1] + 10**6)
    after = _export(run, tmp_path, keep=2)
    assert int(Path(after).name) == int(Path(future).name) + 1
    assert sorted(path.name for path in (tmp_path / "mgoe").iterdir()) == sorted(
        [Path(future).name, Path(after).name]
    )
    assert [path.name for path in tmp_path.iterdir()] == ["mgoe"]  # no temporary is left


def test_an_existing_version_is_never_overwritten(run, tmp_path):
    path = Path(_export(run, tmp_path, version=5))
    before = (path / "saved_model.pb").stat()
    with pytest.raises(ValueError, match=r"--version: 5 exists under .*mgoe.*the newest is 5"):
        _export(run, tmp_path, version=5)
    assert (path / "saved_model.pb").stat() == before


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"score_weights": (1.0,)}, r"--score_weights: must be 2 numbers .* got \[1.0\]"),
        ({"score_weights": (1.0, -1.0)}, r"--score_weights: .* got \[1.0, -1.0\]"),
        ({"version": 0}, "--version: must be at least 1, got 0"),
        ({"keep": -1}, "--keep: must be at least 0, got -1"),
        ({"model_name": "a/b"}, "--model_name: must be a plain name, got 'a/b'"),
        ({"model_dir": ""}, "--model_dir: must be given, got ''"),
        ({"model_dir": "nowhere"}, "--model_dir=nowhere holds no trained model"),
        ({"data_dir": "nowhere"}, "'nowhere' is not a data set directory"),
        ({"max_graph_bytes": -1}, "--max_graph_bytes: must be at least 0, got -1"),
        ({"min_auc": 0.8}, r"not published: --min_auc: .* at least 0.8, got 0.750000"),
        ({"check_finite": "no"}, "--check_finite: must be one of .*, got 'no'"),
    ],
)
def test_mistakes_are_named_and_publish_nothing(run, tmp_path, options, text):
    given = {"model_dir": run.model_dirs["mgoe"], "export_base": str(tmp_path / "base"), **options}
    with pytest.raises(ValueError, match=text):
        export(ExportOptions(**given))
    assert not (tmp_path / "base").exists()


def test_an_export_that_answers_otherwise_is_not_published(run, tmp_path, monkeypatch):
    class Wrong(savedmodel.ServedModel):
        def predict(self, features):
            outputs = super().predict(features)
            return {**outputs, "buy": outputs["buy"] + 1e-3}

    monkeypatch.setattr(savedmodel, "ServedModel", Wrong)
    with pytest.raises(ValueError, match=r"not published: buy of signature .* differs .* by 0.001"):
        _export(run, tmp_path, data_dir=run.data_dir)
    assert not (tmp_path / "mgoe").exists()


def test_a_model_that_is_worse_than_the_live_one_is_not_published(run, tmp_path):
    live = Path(_export(run, tmp_path, version=1, max_auc_drop=0.0))  # nothing is live before it
    evaluation = live / "assets.extra" / "evaluation.json"
    evaluation.write_text(json.dumps({"validation": {"average": {"auc": 0.77}}}))
    with pytest.raises(ValueError, match=r"at least 0.760000, 0.01 below .* version 1, got 0.75"):
        _export(run, tmp_path, max_auc_drop=0.01)
    assert [path.name for path in (tmp_path / "mgoe").iterdir()] == ["1"]
    _export(run, tmp_path, version=2, max_auc_drop=0.03)
    (tmp_path / "mgoe" / "2" / "assets.extra" / "evaluation.json").write_text("{}")
    with pytest.raises(ValueError, match=r"--max_auc_drop: .*evaluation.json tells no mean"):
        _export(run, tmp_path, max_auc_drop=0.5)


def test_a_graph_that_is_too_large_is_left_out_and_said_so(run, tmp_path):
    path = Path(_export(run, tmp_path, data_dir=run.data_dir, max_graph_bytes=100))
    told = json.loads((path / "assets.extra" / "signatures.json").read_text())
    assert told["signatures"] == ["classify", "examples", "rank", "regress", "serving_default"]
    assert "more than --max_graph_bytes=100" in told["absent"]["rank_ids"]
    assert "mmoe does not explain" in told["absent"]["explain"]
    without = json.loads(
        (Path(_export(run, tmp_path)) / "assets.extra" / "signatures.json").read_text()
    )
    assert "no graph was given" in without["absent"]["rank_ids"]


def test_an_export_that_does_not_answer_its_warm_up_is_not_published(run, tmp_path, monkeypatch):
    real = warmup.WarmupRequests._flat
    monkeypatch.setattr(
        warmup.WarmupRequests,
        "_flat",
        lambda self, batch: {**real(self, batch), "timestamp": np.zeros(batch, np.int64)},
    )
    with pytest.raises(ValueError, match=r"not published: .* Sent extra: {timestamp}"):
        _export(run, tmp_path)
    assert not (tmp_path / "mgoe").exists()


_KILLED = """
import os, signal, sys
from export import savedmodel
from export.options import ExportOptions
calls = {"save": savedmodel.tf.saved_model, "compare": savedmodel.gates}
name, (model_dir, data_dir, base) = sys.argv[1], sys.argv[2:]
options = ExportOptions(model_dir=model_dir, data_dir=data_dir, export_base=base)
real = getattr(calls[name], name)
def killed(*args, **kwargs):
    real(*args, **kwargs)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(calls[name], name, killed)
savedmodel.export(options)
"""


@pytest.mark.parametrize("moment", [pytest.param("save", marks=pytest.mark.slow), "compare"])
def test_a_killed_export_leaves_nothing_that_a_server_would_load(run, tmp_path, moment):
    arguments = [moment, run.model_dirs["mmoe"], run.data_dir, str(tmp_path)]
    process = subprocess.run([sys.executable, "-c", _KILLED, *arguments], check=False)
    assert process.returncode == -9
    assert not (tmp_path / "mgoe").exists()
    left = [path.name for path in tmp_path.iterdir()]
    assert len(left) == 1
    assert left[0].startswith(".mgoe.tmp-")
    _export(run, tmp_path)  # and the next export is not disturbed
    assert [path.name.isdigit() for path in (tmp_path / "mgoe").iterdir()] == [True]
