"""Training in phases: what begins anew, and that a killed run goes through it as any other does."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from mgoe_tf.training import checkpoints, selection
from mgoe_tf.training.loop import Run
from mgoe_tf.training.optimizers import LazyAdam
from mgoe_tf.training.phases import Phases
from mgoe_tf.training.position import Position
from mgoe_tf.training.run_checkpoints import best_epoch
from tests.mgoe_tf.conftest import train_small
from tests.mgoe_tf.training.curves import scalars
from tests.mgoe_tf.training.test_loop import WHOLE, Diary, follow
from tests.mgoe_tf.training.test_resume import (
    STEPS_PER_EPOCH,
    assert_same_runs,
    kill_at,
    resumed_until_done,
)


class Announcing(Diary):
    def before_epoch(self, run: Run) -> None:
        self.lines.append(f"before {run.position.epoch}")


def test_hooks_are_called_before_the_first_step_of_an_epoch() -> None:
    expected = [*WHOLE]
    expected.insert(5, "before 1")
    expected.insert(1, "before 0")
    assert follow(Position(), Announcing()) == expected
    # in the middle of an epoch that was begun, and at the beginning of one that was not
    assert follow(Position(batch=1, step=1), Announcing())[:2] == ["begin", WHOLE[2]]
    assert follow(Position(epoch=1, step=3), Announcing())[:2] == ["begin", "before 1"]
    assert follow(Position(epoch=2, step=6), Announcing()) == ["begin", "end"]


def test_a_new_phase_forgets_the_best_epoch() -> None:
    position = Position()
    assert [position.finish_epoch(score) for score in (0.9, 0.8, 0.7)] == [True, False, False]
    position.begin_phase()
    assert not position.has_stalled(1)
    assert [position.finish_epoch(score) for score in (0.5, 0.6, 0.4)] == [True, True, False]
    assert (position.epoch, position.best_score, position.epochs_since_best) == (6, 0.6, 1)


@pytest.mark.parametrize("begins", [False, True])
def test_model_decides_whether_a_phase_begins(begins) -> None:
    told, restarted = [], []
    optimizer = LazyAdam(0.01)
    optimizer.restart = restarted.append
    step = SimpleNamespace(
        model=SimpleNamespace(begin_epoch=lambda epoch: begins and epoch == 2),
        optimizer=optimizer,
        weights=["weight"],
    )
    position = Position(epoch=2, step=20, best_score=0.7, epochs_since_best=1)
    Phases(step, report=told.append).before_epoch(Run(position, 10, 5))
    assert (restarted == [["weight"]]) == begins
    assert position.best_score == (-math.inf if begins else 0.7)
    assert position.epochs_since_best == (0 if begins else 1)
    assert len(told) == begins
    if begins:
        assert "a new phase of training begins with epoch 3" in told[0]


def test_a_restarted_optimizer_is_a_new_one() -> None:
    def gradients(seed: int):
        dense = tf.random.stateless_normal([3], [seed, 0])
        rows = tf.IndexedSlices(
            tf.random.stateless_normal([2, 2], [seed, 1]), tf.constant([seed % 4, 3]), [4, 2]
        )
        return dense, rows

    def steps(optimizer, weights, seeds):
        for seed in seeds:
            optimizer.apply_gradients(zip(gradients(seed), weights, strict=True))

    def make(values):
        weights = [tf.Variable(value) for value in values]
        schedule = tf.keras.optimizers.schedules.ExponentialDecay(0.1, 1, 0.5)
        optimizer = LazyAdam(schedule, l2=0.01, ema_decay=0.6)
        optimizer.add_tables(weights[1:])
        optimizer.build(weights)
        return optimizer, weights

    old, weights = make([tf.ones([3]), tf.ones([4, 2])])
    steps(old, weights, range(3))
    old.restart(weights)
    new, copies = make([weight.numpy() for weight in weights])
    for optimizer, of in ((old, weights), (new, copies)):
        steps(optimizer, of, range(3, 6))
    assert int(old.iterations) == 3
    for one, other in zip(weights, copies, strict=True):
        np.testing.assert_array_equal(one, other)
    with old.averaged(weights), new.averaged(copies):
        for one, other in zip(weights, copies, strict=True):
            np.testing.assert_array_equal(one, other)


# before the switch, at the last step before it, at the first one after it, later
KILLS = [31, STEPS_PER_EPOCH, STEPS_PER_EPOCH + 1, STEPS_PER_EPOCH + 23]


@pytest.mark.parametrize("every", [0, 10], ids=["epochs", "10 steps"])
def test_killed_across_the_switch_equals_uninterrupted(train_options, monkeypatch, every) -> None:
    changes = {
        "epochs": 3,
        "model": "mome",
        "ema_decay": 0.9,
        "schedule": "warmup",
        "warmup_steps": 30,
    }
    whole = train_options("whole", **changes)
    train_small(whole, dropout=0.1)
    kill_at(monkeypatch, KILLS)
    parts = train_options("parts", **changes, resume=True, checkpoint_steps=every)
    resumed_until_done(parts, len(KILLS))
    assert_same_runs(parts.model_dir, whole.model_dir)
    latest = checkpoints.load_model(whole.model_dir, best=False).model
    assert bool(latest.experts.in_second_phase())
    # the schedule begins anew
    rates = dict(scalars(whole.model_dir, "train")["learning_rate"])
    assert rates[50] < rates[STEPS_PER_EPOCH] == rates[3 * STEPS_PER_EPOCH]


def test_the_best_epoch_is_one_of_the_last_phase(train_options, monkeypatch) -> None:
    # every epoch is worse than the one before it
    monkeypatch.setattr(selection, "score", lambda metrics, epoch: -float(epoch))
    options = train_options(epochs=3, model="mome", evaluate_test=False)
    train_small(options, mask_epochs=1)
    assert best_epoch(options.model_dir) == 2
    assert bool(checkpoints.load_model(options.model_dir).model.experts.in_second_phase())
