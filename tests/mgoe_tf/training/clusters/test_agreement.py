"""Workers that stop after the same step, and go by what the chief found."""

import signal

import numpy as np
import pytest
import tensorflow as tf

from mgoe_tf.training.clusters.agreement import AgreedStop, AgreedValidation, Agreement
from mgoe_tf.training.loop import Hook, Run, exit_where_told
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


class _Found(Hook):
    def after_epoch(self, run: Run) -> None:
        run.position.finish_epoch(0.6)


def test_the_score_is_the_chief_s() -> None:
    chief, other = Run(Position(step=7), 5, 2), Run(Position(step=7), 5, 2)
    AgreedValidation(_Found(), _Others(0.0, 0.0), is_chief=True).after_epoch(chief)
    AgreedValidation(_Found(), _Others(0.5, 3.0), is_chief=False).after_epoch(other)
    assert (chief.position.best_score, chief.position.epochs_since_best) == (0.6, 0)
    assert (other.position.best_score, other.position.epochs_since_best) == (0.5, 3)
    assert other.position.epoch == 1
