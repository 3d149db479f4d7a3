"""A run that ends at any step and is resumed is the run that never ended."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from input_pipeline.spec import RECORD_LAYOUTS
from mgoe_tf.models.registry import MODELS
from mgoe_tf.training import checkpoints, hooks
from mgoe_tf.training.options import TrainOptions
from tests.mgoe_tf.conftest import train_small
from tests.mgoe_tf.training.curves import scalars

ROOT = pathlib.Path(__file__).parents[3]
STEPS_PER_EPOCH = 6159 // 128
# Each has state of its own that a checkpoint must hold.
SETTINGS = {
    "plain": {},
    "averaged": {"ema_decay": 0.9, "schedule": "cosine", "warmup_steps": 5, "clip_norm": 1.0},
    "uncertainty": {"task_weighting": "uncertainty", "label_smoothing": (0.1, 0.0)},
    "gradnorm": {"task_weighting": "gradnorm"},
    "pcgrad": {"task_weighting": "pcgrad"},
    "hashed": {"id_tables": "hashed", "hash_rows": 300},
}


class KilledError(Exception):
    pass


def kill_at(monkeypatch: pytest.MonkeyPatch, steps: list[int]) -> None:
    """Lets training die after each of some steps, before anything is logged or saved there."""
    left = list(steps)
    original = hooks.TrainingLog.after_step

    def after_step(self, run, losses) -> None:
        if left and run.position.step == left[0]:
            left.pop(0)
            raise KilledError
        original(self, run, losses)

    monkeypatch.setattr(hooks.TrainingLog, "after_step", after_step)


def assert_same_runs(ours: str, theirs: str) -> None:
    """Weights of the latest and the best epoch, metrics and curves, bit for bit."""
    for best in (False, True):
        pairs = zip(
            checkpoints.load_model(ours, best=best).model.variables,
            checkpoints.load_model(theirs, best=best).model.variables,
            strict=True,
        )
        for one, other in pairs:
            np.testing.assert_array_equal(one, other, err_msg=other.name)
    for name in ("metrics_validation.json", "metrics_test.json"):
        found, expected = (
            json.loads(pathlib.Path(folder, name).read_text()) for folder in (ours, theirs)
        )
        assert found == expected
    for part in ("train", "validation"):
        found, expected = (
            {tag: v for tag, v in scalars(folder, part).items() if not tag.startswith("speed/")}
            for folder in (ours, theirs)
        )
        assert found == expected


def resumed_until_done(options: TrainOptions, kills: int) -> None:
    for _ in range(kills):
        with pytest.raises(KilledError):
            train_small(options, dropout=0.1)
    train_small(options, dropout=0.1)


@pytest.fixture
def data_dirs(data_dir, request_data_dir) -> dict[str, str]:
    return {"example": data_dir, "request": request_data_dir}


@pytest.mark.parametrize("layout", RECORD_LAYOUTS)
def test_killed_and_resumed_equals_uninterrupted(
    train_options, data_dirs, monkeypatch, layout
) -> None:
    changes = {"epochs": 2, "data_dir": data_dirs[layout], "model": "mmoe"}
    whole = train_options("whole", **changes)
    train_small(whole, dropout=0.1)
    # before the first checkpoint, in the first epoch, at its last step, in the second epoch
    kills = [5, 31, STEPS_PER_EPOCH, STEPS_PER_EPOCH + 23]
    kill_at(monkeypatch, kills)
    parts = train_options("parts", **changes, resume=True, checkpoint_steps=10)
    resumed_until_done(parts, len(kills))
    assert_same_runs(parts.model_dir, whole.model_dir)
    sessions = json.loads(pathlib.Path(parts.model_dir, "run.json").read_text())["sessions"]
    assert [session["begun_at_step"] for session in sessions] == [0, 30, 40, 70]
    assert sessions[-1]["ended_at_step"] == 2 * STEPS_PER_EPOCH


@pytest.mark.parametrize("setting", [name for name in SETTINGS if name != "plain"])
def test_every_kind_of_state_is_resumed(train_options, monkeypatch, setting) -> None:
    whole = train_options("whole", **SETTINGS[setting])
    train_small(whole, dropout=0.1)
    kill_at(monkeypatch, [28])
    parts = train_options("parts", **SETTINGS[setting], resume=True, checkpoint_steps=9)
    resumed_until_done(parts, 1)
    assert_same_runs(parts.model_dir, whole.model_dir)


@pytest.mark.parametrize("name", sorted(set(MODELS) - {"mmoe"}))
def test_every_model_is_resumed(train_options, request_data_dir, monkeypatch, name) -> None:
    changes = {"data_dir": request_data_dir, "model": name}
    whole = train_options("whole", **changes)
    train_small(whole, dropout=0.1)
    kill_at(monkeypatch, [28])
    parts = train_options("parts", **changes, resume=True, checkpoint_steps=9)
    resumed_until_done(parts, 1)
    assert_same_runs(parts.model_dir, whole.model_dir)
    curves = scalars(whole.model_dir, "train")
    for penalty in checkpoints.load_model(whole.model_dir).model.penalty_names:
        assert len(curves[f"penalty/{penalty}"]) > 1


def test_checkpoints_are_kept_and_old_ones_removed_with_their_positions(train_options) -> None:
    options = train_options(checkpoint_steps=10, keep_checkpoints=3, evaluate_test=False)
    train_small(options)
    folder = pathlib.Path(options.model_dir, "checkpoints/latest")
    # after steps 10, 20, 30, 40 and after the epoch
    for name in ("position-{}.json", "ckpt-{}.index"):
        found = sorted(
            int("".join(filter(str.isdigit, p.name))) for p in folder.glob(name.format("*"))
        )
        assert found == [3, 4, 5], name
    steps = [
        json.loads((folder / f"position-{number}.json").read_text())["step"] for number in (3, 4, 5)
    ]
    assert steps == [30, 40, STEPS_PER_EPOCH]


def test_the_position_is_in_no_checkpoint_and_the_best_one_holds_the_model_alone(finished) -> None:
    folder = pathlib.Path(finished.model_dir, "checkpoints")
    names = {
        kind: [name for name, _ in tf.train.list_variables(str(folder / kind))]
        for kind in ("latest", "best")
    }
    assert {name.split("/")[0] for name in names["best"]} == {
        *("model", "save_counter", "_CHECKPOINTABLE_OBJECT_GRAPH")
    }
    assert not [name for name in names["best"] if "optimizer" in name.lower()]
    assert not [n for kind in names.values() for n in kind if "position" in n or "iterator" in n]
    assert [name for name in names["latest"] if name.startswith("optimizer/")]


def test_the_moving_average_is_what_is_evaluated_and_exported(train_options) -> None:
    plain = train_options("plain")
    averaged = train_options("averaged", ema_decay=0.9)
    other = train_small(averaged)
    assert train_small(plain) != other
    latest = [
        checkpoints.load_model(options.model_dir, best=False).model.get_weights()
        for options in (plain, averaged)
    ]
    for one, two in zip(*latest, strict=True):
        np.testing.assert_array_equal(one, two)
    best = checkpoints.load_model(averaged.model_dir).model.get_weights()
    assert any((one != two).any() for one, two in zip(best, latest[1], strict=True))


def test_cosine_to_the_end_of_the_epochs_fixes_their_number(train_options) -> None:
    options = train_options(schedule="cosine", evaluate_test=False)
    train_small(options)
    rates = scalars(options.model_dir, "train")["learning_rate"]
    assert rates[0] == (1, pytest.approx(5e-3))
    assert rates[-1][1] < 5e-4
    with pytest.raises(ValueError, match=r"--epochs=2: the run in .* was begun with 1"):
        train_small(dataclasses.replace(options, epochs=2, resume=True))


_PROGRAM = """
import json, sys
import tensorflow as tf
tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)
from mgoe_tf.training.options import TrainOptions
from tests.mgoe_tf.conftest import train_small
options = {k: tuple(v) if isinstance(v, list) else v for k, v in json.loads(sys.argv[1]).items()}
train_small(TrainOptions(**options), dropout=0.1)
"""


def start(options: TrainOptions) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, json.dumps(dataclasses.asdict(options))],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 300
    while not condition() and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def saved_step(model_dir: str) -> int:
    """The last step whose position was written."""
    steps = []
    for path in pathlib.Path(model_dir, "checkpoints/latest").glob("position-*.json"):
        try:
            steps.append(json.loads(path.read_text())["step"])
        except FileNotFoundError:  # removed meanwhile
            continue
    return max(steps, default=0)


@pytest.mark.slow
@pytest.mark.parametrize("layout", RECORD_LAYOUTS)
@pytest.mark.parametrize("setting", ["plain", "averaged"])
def test_processes_killed_at_random_steps(train_options, data_dirs, layout, setting) -> None:
    changes = {"epochs": 3, "data_dir": data_dirs[layout], "batch_size": 32, **SETTINGS[setting]}
    whole = train_options("whole", **changes)
    process = start(whole)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    last = 3 * (6159 // 32)
    rng = np.random.default_rng([len(layout), len(setting)])
    parts = train_options("parts", **changes, resume=True, checkpoint_steps=7)
    killed = 0
    for step in sorted(rng.integers(1, last - 20, 5).tolist()):
        process = start(parts)
        wait_for(lambda step=step: saved_step(parts.model_dir) >= step, process)
        time.sleep(float(rng.random() / 10))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
    assert killed >= 4
    process = start(parts)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert_same_runs(parts.model_dir, whole.model_dir)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["term", "int"]
)
def test_a_process_told_to_end_saves_itself(train_options, number, status) -> None:
    whole = train_options("whole", epochs=2)
    train_small(whole, dropout=0.1)
    parts = train_options("parts", epochs=2, checkpoint_steps=5, resume=True)
    process = start(parts)
    wait_for(lambda: saved_step(parts.model_dir) >= 20, process)
    process.send_signal(number)
    _, errors = process.communicate()
    assert process.returncode == status
    step = saved_step(parts.model_dir)
    assert f"{number.name}: saved after step {step}; --resume goes on from there" in errors
    train_small(parts, dropout=0.1)
    assert_same_runs(parts.model_dir, whole.model_dir)
