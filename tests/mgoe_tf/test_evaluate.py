"""The evaluate command, its slices and its refusals."""

import dataclasses
import json
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf
from scipy import sparse

from input_pipeline.log import vocabulary
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.spec import read_spec
from mgoe_tf.evaluate import EvaluateOptions, evaluate
from mgoe_tf.evaluation.scored import SLICES
from mgoe_tf.training import checkpoints
from tests.data_sets import write_small_data_set
from tests.input_pipeline.logs import event_log, random_lines, write_log
from tests.mgoe_tf.conftest import short_run, train_small


@pytest.fixture(scope="module")
def newcomers(tmp_path_factory) -> tuple[str, str]:
    """A data set in every window of which users and items are new, and a model of it."""
    data_dir, model_dir = (str(tmp_path_factory.mktemp(name)) for name in ("newcomers", "model"))
    preparation = PreparationOptions(
        source="csv",
        data_dir=data_dir,
        cuts=(0.3, 0.5, 0.7, 0.85),
        num_user_macro_nodes=4,
        num_item_macro_nodes=4,
        negatives=1,
    )
    write_log(event_log(random_lines(3, 900, users=60, items=60)), preparation, data_dir)
    train_small(short_run(data_dir, model_dir))
    return data_dir, model_dir


@pytest.fixture
def trained(finished) -> str:
    return finished.model_dir


def rows_of(data_dir: str, split: str) -> list[tf.train.Example]:
    paths = sorted(map(str, pathlib.Path(data_dir, "examples").glob(f"{split}-*")))
    records = tf.data.TFRecordDataset(paths, "GZIP").as_numpy_iterator()
    return [tf.train.Example.FromString(record) for record in records]


@pytest.mark.parametrize("split", ["validation", "test"])
def test_evaluation_writes_what_training_wrote(trained, data_dir, tmp_path, split) -> None:
    output = tmp_path / "new" / "metrics.json"
    metrics = evaluate(EvaluateOptions(trained, data_dir, split, str(output)))
    assert json.loads(output.read_text()) == metrics
    written = pathlib.Path(trained, f"metrics_{split}.json").read_text()
    assert json.loads(written) == metrics
    assert [path.name for path in output.parent.iterdir()] == ["metrics.json"]


@pytest.mark.parametrize(("split", "cut"), [("validation", 3), ("test", 4)])
def test_slices_equal_a_loop_over_the_rows(newcomers, split, cut) -> None:
    data_dir, model_dir = newcomers
    spec = read_spec(data_dir)
    users, items = (
        {raw: row for row, raw in enumerate(vocabulary.read_ids(data_dir, spec, name))}
        for name in ("user_id", "item_id")
    )
    matrix = sparse.load_npz(pathlib.Path(data_dir, "graph", str(cut), "merging_matrix.npz"))
    expected = dict.fromkeys(SLICES, 0)
    positives = 0
    for row in rows_of(data_dir, split):
        values = row.features.feature
        user = users[values["user_id"].int64_list.value[0]]
        item = items[values["item_id"].int64_list.value[0]]
        known = user < matrix.shape[0] and item < matrix.shape[1]
        repeated = known and matrix[user, item] > 0
        expected["repeated_pairs" if repeated else "new_pairs"] += 1
        item_macro, user_macro = (
            values[f"{o}_macro"].int64_list.value[0] for o in ("item", "user")
        )
        expected["cold_item"] += item_macro == -1
        expected["cold_user"] += user_macro == -1
        expected["warm"] += item_macro >= 0 and user_macro >= 0
        positives += values["label_buy"].float_list.value[0] == 1
    metrics = evaluate(EvaluateOptions(model_dir, data_dir, split))
    assert {name: part["rows"] for name, part in metrics["slices"].items()} == expected
    assert metrics["tasks"]["buy"]["positives"] == positives
    assert all(0 < rows < metrics["rows"] for rows in expected.values())


def test_predictions_are_those_of_the_model_on_the_rows(trained, data_dir) -> None:
    loaded = checkpoints.load_model(trained)
    rows = rows_of(data_dir, "test")
    raw = {
        "user_id": [r.features.feature["user_id"].int64_list.value[0] for r in rows],
        "item_id": [r.features.feature["item_id"].bytes_list.value[0] for r in rows],
        "category_id": [r.features.feature["category_id"].int64_list.value[0] for r in rows],
    }
    dtypes = {"user_id": tf.int64, "item_id": tf.string, "category_id": tf.int64}
    features = loaded.lookup({k: tf.constant(v, dtypes[k]) for k, v in raw.items()})
    logits = loaded.model(features)["buy"].numpy().astype(np.float64)
    labels = np.array([r.features.feature["label_buy"].float_list.value[0] for r in rows])
    loss = np.mean(np.logaddexp(0, logits) - labels * logits)
    metrics = evaluate(EvaluateOptions(trained, data_dir, "test"))
    assert metrics["tasks"]["buy"]["logloss"] == pytest.approx(loss, abs=1e-6)


def test_both_layouts_of_a_log_give_the_same_metrics(trained, data_dir, request_data_dir) -> None:
    examples, requests = (
        evaluate(EvaluateOptions(trained, folder, "test"))
        for folder in (data_dir, request_data_dir)
    )
    assert requests["rows"] == examples["rows"]
    for part in ("tasks", "slices"):
        assert requests[part].keys() == examples[part].keys()
    for task, values in examples["tasks"].items():
        assert requests["tasks"][task] == pytest.approx(values, abs=1e-6)
    for name, values in examples["slices"].items():
        assert requests["slices"][name]["rows"] == values["rows"]
        for task, of_task in values["tasks"].items():
            assert requests["slices"][name]["tasks"][task] == pytest.approx(of_task, abs=1e-6)


def test_data_of_another_spec_are_refused_saying_what_differs(trained, tmp_path) -> None:
    write_small_data_set(str(tmp_path), num_item_macro_nodes=3)
    with pytest.raises(ValueError) as error:  # noqa: PT011
        evaluate(EvaluateOptions(trained, str(tmp_path), "test"))
    assert f"--data_dir={tmp_path} is not like the data set" in str(error.value)
    assert "feature user_1hop: float, 5 there, float, 3 here" in str(error.value)
    assert "feature user_id" not in str(error.value)
    _, options = checkpoints.read_options(trained)
    options = dataclasses.replace(options, data_dir=str(tmp_path), resume=True)
    with pytest.raises(ValueError, match="is not like the data set that the checkpoint"):
        train_small(options)


def test_data_grouped_otherwise_are_refused(trained, data_dir, tmp_path) -> None:
    # The same log, ids and shapes, but the macro nodes are other groups.
    write_small_data_set(str(tmp_path), seed=1)
    ours, theirs = (read_spec(folder) for folder in (data_dir, str(tmp_path)))
    assert ours.vocabularies == theirs.vocabularies
    message = f"grouping into macro nodes: {ours.grouping[:12]} there, {theirs.grouping[:12]} here"
    with pytest.raises(ValueError, match=message):
        evaluate(EvaluateOptions(trained, str(tmp_path), "test"))


def test_a_damaged_checkpoint_is_an_error(trained, data_dir, tmp_path) -> None:
    model_dir = tmp_path / "model"
    shutil.copytree(trained, model_dir)
    (file,) = (model_dir / "checkpoints" / "best").glob("*.data-*")
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"checkpoints/best/.*: the checkpoint is damaged: "):
        evaluate(EvaluateOptions(str(model_dir), data_dir))


def test_a_checkpoint_of_other_objects_is_an_error(tmp_path) -> None:
    path = tf.train.Checkpoint(moments=tf.Variable(tf.zeros([3, 2]))).save(str(tmp_path / "ckpt"))
    for other in ({"moments": tf.Variable(tf.zeros([3, 4]))}, {"m": tf.Variable(tf.zeros([3, 2]))}):
        with pytest.raises(ValueError, match=r"ckpt-1: the checkpoint is of another version: "):
            checkpoints.restore(tf.train.Checkpoint(**other), path)


def test_a_directory_without_a_model_is_an_error(data_dir, tmp_path) -> None:
    with pytest.raises(ValueError, match=r"holds no trained model: no config\.json there"):
        evaluate(EvaluateOptions(str(tmp_path), data_dir))
    with pytest.raises(ValueError, match="--data_dir: must name a directory, got ''"):
        EvaluateOptions(str(tmp_path))
