"""What the processes of a run in units tell each other."""

import dataclasses
import types

import pytest
import tensorflow as tf

from mgoe_tf.layers.row_order import RowOrders
from mgoe_tf.training.clusters import run_state
from mgoe_tf.training.clusters.run_state import ClusterCheckpoints
from mgoe_tf.training.options import TrainOptions
from mgoe_tf.training.position import Position
from mgoe_tf.training.stopping import StopRequest

OPTIONS = TrainOptions(distribution="parameter_server", epochs=2, patience=1)


def saved(folder, **arguments) -> ClusterCheckpoints:
    parts = {name: tf.Module() for name in ("model", "optimizer", "task", "weighting")}
    step = types.SimpleNamespace(**parts)
    return ClusterCheckpoints(str(folder), step, RowOrders({}), **arguments)


def test_the_end_of_a_run_is_none_of_one_that_was_asked_for_more(tmp_path) -> None:
    chief, evaluator = saved(tmp_path), saved(tmp_path)
    assert evaluator.finished(OPTIONS) is None
    chief.save(Position(epoch=2, step=9))
    chief.write_finished(2, OPTIONS)
    assert evaluator.finished(OPTIONS) == 2
    for more in ({"epochs": 3}, {"patience": 0}):
        assert evaluator.finished(dataclasses.replace(OPTIONS, **more)) is None
    chief.remove_finished()
    chief.remove_finished()
    assert evaluator.finished(OPTIONS) is None


def test_an_epoch_is_waited_for_until_it_was_evaluated(tmp_path, monkeypatch) -> None:
    chief = saved(tmp_path)
    for epoch in (1, 2):
        chief.save(Position(epoch=epoch, step=epoch))
    evaluated = []

    def sleep(seconds: float) -> None:
        assert seconds == run_state.POLL_SECONDS
        evaluated.append(len(evaluated) + 1)
        chief.write_validated(Position(epoch=evaluated[-1]))

    monkeypatch.setattr(run_state.time, "sleep", sleep)
    chief.wait_for(3)  # has no checkpoint
    assert not evaluated
    chief.save(Position(epoch=3, step=3))  # in the place of the first one
    assert evaluated == [1]
    assert sorted(chief.epochs()) == [2, 3]


@pytest.mark.parametrize("told_before", [True, False])
def test_none_is_waited_for_where_the_process_was_told_to_end(
    tmp_path, monkeypatch, told_before
) -> None:
    stop = StopRequest()
    stop.number = 15 if told_before else None
    chief = saved(tmp_path, stop=stop)
    chief.save(Position(epoch=1, step=1))
    clock = [0.0]

    def sleep(seconds: float) -> None:
        clock[0] += seconds
        if clock[0] == 5.0:
            stop.number = 15

    fake = types.SimpleNamespace(monotonic=lambda: clock[0], sleep=sleep)
    monkeypatch.setattr(run_state, "time", fake)
    chief.wait_for(1)
    assert clock[0] == (20.0 if told_before else 25.0)
