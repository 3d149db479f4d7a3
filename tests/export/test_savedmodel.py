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

from export import savedmodel, warmup
from export.client import Client
from export.savedmodel import ExportOptions, export
from export.serve import ServeOptions, Server
from input_pipeline.parsing import parse_examples
from mgoe_tf import checkpoints
from tests.export.conftest import write_model

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
    assert set(signatures) == {"serving_default", "examples"}
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


_ELSEWHERE = """
import sys
import numpy as np
import tensorflow as tf
path, rows, answers = sys.argv[1:]
outputs = tf.saved_model.load(path).signatures["examples"](examples=tf.constant(np.load(rows)))
np.savez(answers, **{name: value.numpy() for name, value in outputs.items()})
ours = {"mgoe_tf", "input_pipeline", "export", "tf_keras", "tensorflow_recommenders"}
assert not ours & set(sys.modules), ours & set(sys.modules)
"""


@pytest.mark.parametrize("exported", ["mgoe"], indirect=True)
def test_an_export_answers_where_this_project_is_not_installed(exported, serialized, tmp_path):
    path, loaded = exported
    np.save(tmp_path / "rows.npy", serialized.numpy().astype("S"))
    # -I: neither the current directory nor PYTHONPATH; the guard in the script sees an installation
    script = [sys.executable, "-I", "-c", _ELSEWHERE, path]
    files = [str(tmp_path / "rows.npy"), str(tmp_path / "answers.npz")]
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
    requests = [log.predict_log.request for log in warmup.read(path)]
    asked = [(r.model_spec.signature_name, r.model_spec.name) for r in requests]
    name = Path(path).parent.name
    assert asked == [("serving_default", name), ("examples", name)] * 3
    batches = [r.inputs["user_id"].tensor_shape.dim[0].size for r in requests[::2]]
    assert batches == [1, 16, 128]
    assert len(requests[-1].inputs["examples"].string_val) == 128


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
        ({"data_dir": "nowhere"}, "data_dir: 'nowhere' is not a data set directory"),
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


_KILLED = """
import os, signal, sys
from export import savedmodel
calls = {"save": savedmodel.tf.saved_model, "write": savedmodel.warmup, "compare": savedmodel}
name, (model_dir, data_dir, base) = sys.argv[1], sys.argv[2:]
options = savedmodel.ExportOptions(model_dir=model_dir, data_dir=data_dir, export_base=base)
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
