"""Runs that go on from the model of the day before."""

import dataclasses
import json
import os
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf

from input_pipeline.spec import read_spec
from mgoe_tf.evaluate import EvaluateOptions, evaluate
from mgoe_tf.models.registry import MODELS
from mgoe_tf.training import checkpoints, days, warm_start
from mgoe_tf.training.optimizers import inner_optimizer
from mgoe_tf.training.options import TrainOptions
from mgoe_tf.training.position import Position
from mgoe_tf.training.run_checkpoints import RunCheckpoints
from mgoe_tf.training.step import TrainingStep
from mgoe_tf.training.trainer import make_step, train
from tests.mgoe_tf.training.curves import scalars
from tests.mgoe_tf.training.test_resume import KilledError, assert_same_runs, kill_at
from tests.model_options import OPTIONS
from tests.refreshed_data import Days, make_days


@pytest.fixture(scope="module")
def two_days(tmp_path_factory: pytest.TempPathFactory) -> Days:
    return make_days(tmp_path_factory.mktemp("days"))


def _options(data_dir: str, model_dir, **changes) -> TrainOptions:
    told = {"model": "mmoe", "epochs": 1, "batch_size": 64, "shuffle_rows": 500, "report": False}
    return TrainOptions(data_dir=data_dir, model_dir=str(model_dir), **told | changes)


def _begun(options: TrainOptions) -> TrainingStep:
    """A run without a step yet."""
    spec = checkpoints.read_trained_spec(options)
    checkpoints.write_run(options.model_dir, spec, OPTIONS[options.model], options)
    model = checkpoints.new_model(spec, OPTIONS[options.model], options)
    return make_step(model, options, num_steps=30)


def _write_filled(options: TrainOptions) -> TrainingStep:
    """A run that has come to the end of an epoch after 70 steps."""
    step = _begun(options)
    _fill(step)
    saved = RunCheckpoints(options.model_dir, step)
    saved.save_best(1)
    saved.save(Position(epoch=1, step=70))
    return step


def _fill(step: TrainingStep) -> None:
    """Other numbers everywhere, as if it had been trained for 70 steps."""
    random, adam = np.random.default_rng(0), inner_optimizer(step.optimizer)
    variables = [*step.model.weights, *(s for w in step.weights for s in adam.slots(w))]
    for variable in variables:
        variable.assign(random.normal(size=variable.shape))
    adam.iterations.assign(70)


def _ids(model_dir: str, name: str) -> list[bytes]:
    return pathlib.Path(model_dir, "vocabulary", f"{name}.txt").read_bytes().split(b"\n")[:-1]


@pytest.mark.parametrize(("model", "ema_decay"), [("mmoe", 0.9), *((name, 0.0) for name in MODELS)])
def test_every_weight_and_moment_follows_its_id(two_days, tmp_path, model, ema_decay):
    changes = {"model": model, "ema_decay": ema_decay}
    old_options = _options(two_days.before, tmp_path / "old", **changes)
    old = _write_filled(old_options)
    options = _options(
        two_days.after, tmp_path / "new", warm_start=old_options.model_dir, **changes
    )
    warm_start.require_startable(read_spec(two_days.after), OPTIONS[model], options)
    new = _begun(options)
    told = warm_start.apply(new, options, make_step)
    assert "after 70 steps; " in told
    theirs, ours = inner_optimizer(old.optimizer), inner_optimizer(new.optimizer)
    assert int(ours.iterations) == 70
    tables = {id(v): name for name, v in new.model.embeddings.tables.items()}
    others = [(a, b) for a, b in zip(old.model.weights, new.model.weights, strict=True)
              if id(b) not in tables]  # fmt: skip
    assert others
    for before, after in others:
        np.testing.assert_array_equal(before, after)
    for before, after in zip(old.weights, new.weights, strict=True):
        if id(after) not in tables:
            for one, other in zip(theirs.slots(before), ours.slots(after), strict=True):
                np.testing.assert_array_equal(one, other)
    spec = read_spec(two_days.after)
    grown = 0
    for name, table in new.model.embeddings.tables.items():
        vocabulary = new.model.tables[name].vocabulary
        old_table = old.model.embeddings.tables[name]
        known = {i: n for n, i in enumerate(_ids(old_options.model_dir, vocabulary), 1)}
        ids = _ids(options.model_dir, vocabulary)
        before, after = old_table.numpy(), table.numpy()
        np.testing.assert_array_equal(before[0], after[0])
        pairs = list(zip(theirs.slots(old_table), ours.slots(table), strict=True))
        macro = None
        if vocabulary in ("user_id", "item_id"):
            side = vocabulary.removesuffix("_id")
            path = pathlib.Path(two_days.after, "graph", str(len(spec.cuts) - 1))
            macro = np.load(path / f"{side}_macro.npy")  # vocabulary order, as min_count is 1
        for row, raw in enumerate(ids, 1):
            if raw in known:
                np.testing.assert_array_equal(after[row], before[known[raw]])
                for one, other in pairs:
                    np.testing.assert_array_equal(other[row], one[known[raw]])
                continue
            grown += 1
            expected = before[0]
            if macro is not None and macro[row - 1] >= 0:
                members = [known[i] for i, m in zip(ids, macro, strict=True)
                           if i in known and m == macro[row - 1]]  # fmt: skip
                expected = before[members].mean(axis=0) if members else before[0]
            np.testing.assert_allclose(after[row], expected, rtol=1e-5, atol=1e-6)
            assert not ours.slots(table)[0][row].numpy().any()
            if ema_decay:
                average = ours.slots(table)[-1][row]
                np.testing.assert_allclose(average, [*after[row], 70.0], rtol=1e-6)
    assert grown > 0


def test_hashed_tables_stay_as_they_are(two_days, tmp_path):
    changes = {"id_tables": "hashed", "hash_rows": 50}
    old_options = _options(two_days.before, tmp_path / "old", **changes)
    old = _write_filled(old_options)
    options = _options(
        two_days.after, tmp_path / "new", warm_start=old_options.model_dir, **changes
    )
    spec = checkpoints.read_trained_spec(options)
    warm_start.require_startable(spec, OPTIONS["mmoe"], options)
    new = _begun(options)
    warm_start.apply(new, options, make_step)
    for name in ("user_id", "item_id"):
        before, after = (s.model.embeddings.tables[name] for s in (old, new))
        np.testing.assert_array_equal(before, after)
        ours, theirs = inner_optimizer(new.optimizer), inner_optimizer(old.optimizer)
        np.testing.assert_array_equal(theirs.slots(before)[0], ours.slots(after)[0])
    more = dataclasses.replace(options, hash_rows=60)
    with pytest.raises(ValueError, match=r"--hash_rows=60: the model in .* was trained with 50"):
        warm_start.require_startable(spec, OPTIONS["mmoe"], more)


def test_goes_on_from_a_run_of_another_schedule(two_days, tmp_path):
    old = _options(two_days.before, tmp_path / "old", schedule="cosine", warmup_steps=20)
    _write_filled(old)
    options = _options(two_days.after, tmp_path / "new", warm_start=old.model_dir)
    new = _begun(options)
    assert "after 70 steps; " in warm_start.apply(new, options, make_step)
    rate = inner_optimizer(new.optimizer).learning_rate.numpy()
    assert rate == pytest.approx(options.learning_rate)


@pytest.fixture(scope="module")
def first(two_days, tmp_path_factory: pytest.TempPathFactory) -> TrainOptions:
    """A trained model of the earlier data set."""
    options = _options(two_days.before, tmp_path_factory.mktemp("runs") / "first", epochs=2)
    train(OPTIONS["mmoe"], options)
    return options


def _weights(model_dir: str) -> list[np.ndarray]:
    return [v.numpy() for v in checkpoints.load_model(model_dir, best=False).model.variables]


def test_goes_on_with_the_newest_day_and_resumes_exactly(
    two_days, first, tmp_path, capsys, monkeypatch
):
    options = _options(
        two_days.after, tmp_path / "warm", warm_start=first.model_dir, epochs=2, checkpoint_steps=3
    )
    metrics = train(OPTIONS["mmoe"], options)
    rows = read_spec(two_days.after).counts["newest_training_rows"]
    assert rows == read_spec(two_days.before).counts["rows"]["validation"]
    told = capsys.readouterr().out
    assert f"on {rows:,} rows" in told
    assert "after 66 steps; 12 new ids" in told
    assert rows // options.batch_size == 15

    # killed before the first checkpoint, and in the middle of the second epoch
    moved = str(tmp_path / "moved")
    shutil.copytree(first.model_dir, moved)
    changes = {"model_dir": str(tmp_path / "killed"), "warm_start": moved}
    again = dataclasses.replace(options, **changes)
    kill_at(monkeypatch, [2, 20])
    for _ in range(2):
        with pytest.raises(KilledError):
            train(OPTIONS["mmoe"], again)
        if checkpoints.holds_checkpoint(again.model_dir):
            shutil.rmtree(moved, ignore_errors=True)  # it is not needed any more
        again = dataclasses.replace(again, resume=True)
    train(OPTIONS["mmoe"], again)
    assert not os.path.exists(moved)
    assert_same_runs(again.model_dir, options.model_dir)

    chain = days.read(options.model_dir)
    assert [day["window"] for day in chain] == [2, 3]
    spec = read_spec(two_days.after)
    assert chain[1]["until"] == spec.cut_times[-2]
    assert chain[1]["test"]["average"] == metrics["average"]["auc"]
    told = json.loads(pathlib.Path(first.model_dir, "metrics_validation.json").read_text())
    assert chain[0]["validation"]["click"] == told["tasks"]["click"]["auc"]
    curve = scalars(options.model_dir, "days")["days/test_auc/average"]
    assert [step for step, _ in curve] == [2, 3]
    assert curve[1][1] == pytest.approx(metrics["average"]["auc"])
    assert days.read(again.model_dir) == chain


def test_an_earlier_model_reads_later_days(two_days, first, tmp_path):
    output = str(tmp_path / "metrics.json")
    found = evaluate(EvaluateOptions(first.model_dir, two_days.after, "validation", output))
    # OLD's test rows are NEW's validation rows
    told = json.loads(pathlib.Path(first.model_dir, "metrics_test.json").read_text())
    assert found["tasks"] == told["tasks"]
    assert os.path.exists(output)


def test_refuses_models_that_do_not_fit(two_days, first, tmp_path):
    def refused(message: str, model: str = "mmoe", model_options=None, **changes) -> None:
        options = _options(two_days.after, tmp_path / "x", model=model, **changes)
        with pytest.raises(ValueError, match=message):
            train(model_options or OPTIONS[model], options)
        assert not os.path.exists(tmp_path / "x")

    refused("is a model mmoe, got --model=esmm", "esmm", warm_start=first.model_dir)
    wider = dataclasses.replace(OPTIONS["mmoe"], embedding_dim=9)
    refused("--embedding_dim=9: the model in", model_options=wider, warm_start=first.model_dir)
    refused("holds no trained model", warm_start=str(tmp_path))
    clustered = tmp_path / "clustered"
    shutil.copytree(first.model_dir, clustered)
    text = (clustered / "config.json").read_text()
    (clustered / "config.json").write_text(text.replace("one_device", "parameter_server"))
    refused("was trained with --distribution=parameter_server", warm_start=str(clustered))
    options = _options(two_days.before, tmp_path / "x", warm_start=first.model_dir)
    with pytest.raises(ValueError, match="does not keep the newest training window apart"):
        train(OPTIONS["mmoe"], options)
    with pytest.raises(ValueError, match="--distribution: must be one_device or mirrored with"):
        _options(two_days.after, tmp_path, warm_start="x", distribution="multi_worker")
    with pytest.raises(ValueError, match="--schedule: cosine has come to its end"):
        _options(two_days.after, tmp_path, warm_start=first.model_dir, schedule="cosine")
    # backwards there is no going on
    later = _options(two_days.after, tmp_path / "later", epochs=1)
    train(OPTIONS["mmoe"], later)
    back = _options(two_days.before, tmp_path / "x", warm_start=later.model_dir)
    with pytest.raises(ValueError, match="is not like the data set that the checkpoint"):
        train(OPTIONS["mmoe"], back)
    tf.keras.backend.clear_session()
