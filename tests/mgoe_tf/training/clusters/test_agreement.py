"""Workers that stop after the same step, and go by what the chief found."""

import functools
import signal
import types

import numpy as np
import pytest
import tensorflow as tf

from mgoe_tf.training import checkpoints
from mgoe_tf.training.clusters.agreement import AgreedStop, Agreement
from mgoe_tf.training.hooks import Validation
from mgoe_tf.training.loop import Run, exit_where_told
from mgoe_tf.training.optimizers import LazyAdam
from mgoe_tf.training.position import Position
from mgoe_tf.training.stopping import Interrupted, StopRequest


class _Others:
    """An agreement with workers who say certain numbers."""

    def __init__(self, *said: float) -> None:
        self._said = said
        self.asked: list[tuple[float, ...]] = []

    def total(self, *values: float):
        self.asked.append(values)
        return np.add(values, self._said)


def test_sums_are_over_all_replicas() -> None:
    devices = [cpu.name for cpu in tf.config.list_logical_devices("CPU")]
    strategy = tf.distribute.MirroredStrategy(
        devices, cross_device_ops=tf.distribute.ReductionToOneDevice()
    )
    assert len(devices) == 2
    assert Agreement(strategy).total(1.5, -2.0).tolist() == [3.0, -4.0]


def test_workers_vote_every_tenth_time_and_keep_to_it() -> None:
    others = _Others(0.0)
    stop = AgreedStop(StopRequest(), others)
    assert [stop.number for _ in range(20)] == [None] * 20
    assert others.asked == [(0.0,), (0.0,)]


@pytest.mark.parametrize(
    ("own", "expected"), [(None, signal.SIGTERM), (signal.SIGINT, signal.SIGINT)]
)
def test_all_stop_where_one_was_told(own: int | None, expected: int) -> None:
    heard = StopRequest()
    heard.number = own
    others = _Others(1.0)
    stop = AgreedStop(heard, others)
    run = Run(Position(), 5, 1)
    for _ in range(9):
        exit_where_told(stop, run, ())
    with pytest.raises(Interrupted) as interruption:
        exit_where_told(stop, run, ())
    assert interruption.value.code == 128 + expected
    assert len(others.asked) == 1


class _Validation(Validation):
    """Of epochs that are worth so much to this worker."""

    def __init__(self, scores: list[float], agreement: _Others, *, is_chief: bool) -> None:
        agreed = functools.partial(Agreement.of_chief, agreement, is_chief=is_chief)
        model = types.SimpleNamespace(diagnostics=lambda: {}, trainable_variables=[])
        step = types.SimpleNamespace(model=model, optimizer=LazyAdam())
        super().__init__(None, step, self, None, metrics_file="", report=print, agreed=agreed)
        self._scores = iter(scores)
        self.best: list[int] = []

    def save_best(self, epoch: int) -> None:
        self.best.append(epoch)

    def _evaluate(self, run: Run):
        values = {"auc": next(self._scores), "logloss": 0.5}
        return {"average": values, "tasks": {"click": values}, "rows": 9}


def test_the_score_of_an_epoch_is_the_chief_s(monkeypatch) -> None:
    monkeypatch.setattr(checkpoints, "write_json", lambda *of: None)
    for is_chief, said in ((True, 0.0), (False, 0.6)):
        run = Run(Position(step=7), 5, 2)
        validation = _Validation([0.6, 0.7], _Others(said), is_chief=is_chief)
        validation.after_epoch(run)
        validation.after_epoch(run)
        expected = (0.7, 0, [1, 2]) if is_chief else (0.6, 1, [1])
        position = run.position
        assert (position.best_score, position.epochs_since_best, validation.best) == expected
        assert position.epoch == 2
