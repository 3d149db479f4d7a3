"""Short trainings: they learn, repeat themselves, go on, and stop for a reason."""

import dataclasses
import hashlib
import json
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf

from input_pipeline.dataset import open_examples
from input_pipeline.records.bad_records import open_records
from input_pipeline.spec import read_spec
from mgoe_tf.models.options import ModelOptions
from mgoe_tf.training import checkpoints
from mgoe_tf.training.batches import TrainingBatches
from mgoe_tf.training.options import TrainOptions
from mgoe_tf.training.trainer import train
from tests.mgoe_tf.conftest import train_small
from tests.mgoe_tf.training.curves import scalars
from tests.model_options import OPTIONS


def metrics_of(options: TrainOptions) -> dict:
    return json.loads(pathlib.Path(options.model_dir, "metrics_test.json").read_text())


def weights(model_dir: str) -> list[np.ndarray]:
    return [v.numpy() for v in checkpoints.load_model(model_dir, best=False).model.variables]


def test_mgoe_learns_and_leaves_a_complete_model_directory(train_options) -> None:
    options = train_options(model="mgoe", epochs=3)
    metrics = train_small(options)
    assert metrics["split"] == "test"
    assert metrics["average"]["auc"] > 0.8
    folder = pathlib.Path(options.model_dir)
    assert json.loads((folder / "metrics_test.json").read_text()) == metrics
    loaded = checkpoints.load_model(options.model_dir)
    assert loaded.metrics is not None
    assert loaded.metrics == json.loads((folder / "metrics_validation.json").read_text())
    assert (loaded.model_options, loaded.train_options) == (OPTIONS["mgoe"], options)
    assert not list(folder.rglob("*tmp*"))

    logged = scalars(options.model_dir, "train")
    losses = [value for _, value in logged["loss/click"]]
    assert losses[-1] < 0.8 * losses[0]
    assert {"loss/buy", "speed/examples_per_second", "input/bad_records"} <= set(logged)
    assert 0 <= logged["speed/share_waiting_for_input"][-1][1] <= 1
    logged = scalars(options.model_dir, "validation")
    steps_per_epoch = 6159 // 128  # rows of history and train
    assert [step for step, _ in logged["auc/click"]] == sorted(
        [100] + [steps_per_epoch * epoch for epoch in (1, 2, 3)]
    )
    expected = {
        "average/auc",
        "logloss/buy",
        "calibration/click",
        "auc_new_pairs/buy",
        "gates/click/shared_0",
        "concentration/attention/buy/user_1hop",
        "theta/buy",
        "kappa/click",
    }
    assert expected <= set(logged)


def test_the_run_card_tells_what_the_run_was_made_of(finished) -> None:
    card = json.loads(pathlib.Path(finished.model_dir, "run.json").read_text())
    assert card["seed"] == finished.seed
    assert card["flags"]["batch_size"] == 128
    assert card["flags"]["embedding_dim"] == OPTIONS[finished.model].embedding_dim
    assert card["weights"] == checkpoints.load_model(finished.model_dir).model.count_params()
    spec = read_spec(finished.data_dir)
    assert card["data"]["checksum"] == hashlib.sha256(spec.to_json().encode()).hexdigest()
    assert card["data"]["rows"] == spec.counts["rows"]
    (session,) = card["sessions"]
    assert session["versions"]["tensorflow"] == tf.__version__
    assert session["begun"] <= session["ended"]
    assert (session["begun_at_step"], session["ended_at_step"]) == (0, 6159 // 128)
    assert {"host", "cpus", "devices", "intra_op_threads"} <= set(session)


def test_the_same_seed_gives_the_same_digits(train_options) -> None:
    first, second = (
        train_small(train_options(name, model="mgoe"), dropout=0.1) for name in ("a", "b")
    )
    assert first == second


def test_another_seed_gives_other_digits(train_options, finished) -> None:
    assert train_small(train_options(seed=1)) != metrics_of(finished)


def test_a_resumed_run_equals_an_uninterrupted_one(train_options) -> None:
    whole = train_small(train_options("whole", epochs=2), dropout=0.1)
    train_small(train_options("parts", evaluate_test=False), dropout=0.1)
    parts = train_small(train_options("parts", epochs=2, resume=True), dropout=0.1)
    assert whole == parts
    for ours, theirs in zip(
        weights(train_options("whole").model_dir),
        weights(train_options("parts").model_dir),
        strict=True,
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_an_existing_run_is_not_overwritten_nor_resumed_with_other_options(finished) -> None:
    with pytest.raises(ValueError, match="already holds a run: name another directory"):
        train_small(finished)
    changed = dataclasses.replace(finished, resume=True, learning_rate=0.1)
    message = r"--learning_rate=0.1: the run in .*finished was begun with 0.005"
    with pytest.raises(ValueError, match=message):
        train_small(changed)
    resumed = dataclasses.replace(finished, resume=True)
    with pytest.raises(ValueError, match=r"--embedding_dim=5: the run in .* was begun with 3"):
        train_small(resumed, embedding_dim=5)
    with pytest.raises(ValueError, match=r"--model=mgoe: the run in .* was begun with mmoe"):
        train_small(dataclasses.replace(resumed, model="mgoe"))


def test_a_run_is_resumed_on_its_own_rows_alone(finished, tmp_path) -> None:
    copied = tmp_path / "data"
    shutil.copytree(finished.data_dir, copied)
    resumed = dataclasses.replace(finished, data_dir=str(copied), resume=True)
    # as many epochs as it has: there is nothing left to train, wherever the same rows lie
    assert train_small(resumed) == metrics_of(finished)
    path = copied / "dataset_spec.json"
    contents = json.loads(path.read_text())
    contents["flags"]["negatives"] = 7
    path.write_text(json.dumps(contents))
    with pytest.raises(ValueError, match=r"data does not hold the rows .*: other negatives$"):
        train_small(resumed)


def test_mirrored_on_two_devices_equals_one_device(train_options, finished) -> None:
    assert len(tf.config.list_logical_devices("CPU")) == 2
    one = metrics_of(finished)
    two = train_small(train_options(distribution="mirrored"))
    for task, values in one["tasks"].items():
        assert two["tasks"][task]["auc"] == pytest.approx(values["auc"], abs=1e-3)
        assert two["tasks"][task]["logloss"] == pytest.approx(values["logloss"], abs=1e-3)


def test_requests_train_as_examples_do(train_options, request_data_dir) -> None:
    changes = {"model": "mgoe", "epochs": 2, "data_dir": request_data_dir}
    whole = train_small(train_options("whole", **changes))
    assert whole["average"]["auc"] > 0.8
    first = {**changes, "epochs": 1, "evaluate_test": False}
    train_small(train_options("parts", **first))
    assert train_small(train_options("parts", **changes, resume=True)) == whole


def test_requests_on_two_devices_equal_one_device(train_options, request_data_dir) -> None:
    one, two = (
        train_small(
            train_options(distribution, data_dir=request_data_dir, distribution=distribution),
        )
        for distribution in ("one_device", "mirrored")
    )
    for task, values in one["tasks"].items():
        assert two["tasks"][task]["auc"] == pytest.approx(values["auc"], abs=1e-3)
        assert two["tasks"][task]["logloss"] == pytest.approx(values["logloss"], abs=1e-3)


@pytest.mark.parametrize("changes", [{"xla": True}, {"precision": "mixed_bfloat16"}])
def test_xla_and_mixed_precision_train_about_as_well(train_options, finished, changes) -> None:
    other = train_small(train_options(**changes))
    plain = metrics_of(finished)
    assert other["average"]["auc"] == pytest.approx(plain["average"]["auc"], abs=0.02)
    assert tf.keras.mixed_precision.global_policy().name == "float32"


def test_early_stopping_keeps_the_best_epoch(train_options, capsys) -> None:
    options = train_options(epochs=30, patience=2, learning_rate=0.05, evaluate_test=False)
    metrics = train_small(options)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch")]
    assert 3 <= len(lines) < 30
    assert ["best so far" in line for line in lines[-3:]] == [True, False, False]
    shown = float(lines[-3].split("validation AUC ")[1].split()[0])
    assert metrics["average"]["auc"] == pytest.approx(shown, abs=1e-4)
    assert metrics["split"] == "validation"


def test_a_loss_that_is_not_finite_stops_naming_step_and_task(train_options) -> None:
    options = train_options(task_weights=(1.0, 1.0), learning_rate=1e38)
    with pytest.raises(ValueError, match=r"the loss is not finite at step \d+ \(.*(click|buy)"):
        train_small(options)
    # no epoch was finished: the directory is free for another try
    train_small(dataclasses.replace(options, learning_rate=5e-3))
    assert len(list(pathlib.Path(options.model_dir, "events", "train").iterdir())) == 1


def test_bad_records_are_named_or_skipped_and_counted(train_options, tmp_path) -> None:
    copied = tmp_path / "data"
    shutil.copytree(train_options().data_dir, copied)
    path = str(copied / "examples/train-00001-of-00003.tfrecord.gz")
    records = list(open_records(path).as_numpy_iterator())
    records[7] = b"\xff"
    with tf.io.TFRecordWriter(path, "GZIP") as writer:
        for record in records:
            writer.write(record)
    options = train_options(data_dir=str(copied))
    with pytest.raises(ValueError, match=r"train-00001-of-00003\.tfrecord\.gz: record 7 "):
        train_small(options)
    options = dataclasses.replace(options, model_dir=str(tmp_path / "b"), skip_bad_records=1)
    train_small(options)
    assert scalars(options.model_dir, "train")["input/bad_records"][-1][1] == 1


def test_train_rows_and_task_weights(train_options) -> None:
    options = train_options(train_rows="windows", task_weights=(1.0, 0.0))
    train_small(options)
    steps = scalars(options.model_dir, "validation")["auc/buy"]
    assert [step for step, _ in steps] == [3699 // 128]
    with pytest.raises(ValueError, match="task_weights: must be one per task"):
        train_small(train_options("other", task_weights=(1.0,)))
    # what could not begin does not hold the directory
    assert not checkpoints.holds_run(train_options("other").model_dir)


def test_unknown_names_and_missing_data_are_errors(train_options, tmp_path) -> None:
    with pytest.raises(ValueError, match=r"must be one of .*mgoe, .*mmoe.*, got 'nothing'"):
        train(ModelOptions(), train_options(model="nothing"))
    with pytest.raises(ValueError, match="options: MMoE takes MMoEOptions, got MGOEOptions"):
        train(OPTIONS["mgoe"], train_options(model="mmoe"))
    with pytest.raises(ValueError, match="is not a data set directory: it has no dataset_spec"):
        train_small(train_options(data_dir=str(tmp_path / "nothing")))


def test_out_of_vocabulary_replacement_is_seeded_and_of_the_asked_rate(finished) -> None:
    options = dataclasses.replace(finished, oov_rate=0.25)
    loaded = checkpoints.load_model(options.model_dir)
    examples = open_examples(
        options.data_dir, loaded.spec, ["history", "train"], loaded.lookup.names
    )

    def replaced(epoch: int) -> dict[str, np.ndarray]:
        source = TrainingBatches(examples, loaded.lookup, loaded.spec, options)
        features = [features for features, _ in source.dataset(epoch).as_numpy_iterator()]
        return {
            name: np.concatenate([f[name] for f in features]) == 0
            for name in ("user_id", "item_id", "category_id")
        }

    first, again, later = replaced(0), replaced(0), replaced(1)
    for name, rows in first.items():
        # 6,144 draws: 0.25 has a standard error of 0.0055
        assert rows.mean() == pytest.approx(0.25, abs=0.03)
        np.testing.assert_array_equal(rows, again[name])
        assert (rows != later[name]).any()
    assert (first["user_id"] & first["item_id"]).mean() == pytest.approx(0.0625, abs=0.02)
