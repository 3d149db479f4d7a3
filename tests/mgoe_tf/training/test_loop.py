"""The loop itself: its clock, the order of its hooks, where it begins and how it ends."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator

import numpy as np
import pytest
import tensorflow as tf

from mgoe_tf.training.loop import Hook, Losses, Run, timed_step, train_steps
from mgoe_tf.training.position import Position
from mgoe_tf.training.stopping import Interrupted, StopRequest


def _sleeping(seconds: float, value: tf.Tensor) -> tf.Tensor:
    def sleep(value: np.ndarray) -> np.ndarray:
        time.sleep(seconds)
        return value

    return tf.ensure_shape(tf.numpy_function(sleep, [value], tf.float32), value.shape)


@pytest.mark.parametrize(("input_seconds", "step_seconds"), [(0.3, 0.0), (0.0, 0.3)])
def test_clock_counts_waiting_for_a_batch_and_not_the_step(input_seconds, step_seconds) -> None:
    batches = tf.data.Dataset.from_tensors({"x": tf.ones([2]), "y": tf.ones([2])}).repeat(3)
    batches = batches.map(lambda batch: {**batch, "x": _sleeping(input_seconds, batch["x"])})
    take = timed_step(
        lambda batch: {"loss": tf.reduce_sum(_sleeping(step_seconds, batch["y"]))},
        tf.distribute.get_strategy(),
    )
    iterator = iter(batches)
    waited = 0.0
    for _ in range(3):
        losses, seconds = take(iterator)
        assert float(losses["loss"]) == 2
        waited += float(seconds)
    # Of 0.9 seconds of sleep; clocks differ a little, and a busy machine adds some.
    if input_seconds:
        assert waited > 0.8
    else:
        assert 0 <= waited < 0.8
    with pytest.raises(tf.errors.OutOfRangeError):
        take(iterator)


class Numbers:
    """Batch b of epoch e is 10 e + b."""

    steps_per_epoch = 3

    def __init__(self, extra: int = 0) -> None:
        self.extra = extra

    @contextlib.contextmanager
    def epoch(self, number: int, first_batch: int) -> Iterator[tf.data.Dataset]:
        end = self.steps_per_epoch + self.extra
        yield tf.data.Dataset.range(10 * number + first_batch, 10 * number + end)


class Diary(Hook):
    def __init__(self, tell: StopRequest | None = None, at_step: int = 0) -> None:
        self.lines: list[str] = []
        self.tell, self.at_step = tell, at_step

    def begin(self, run: Run) -> None:
        self.lines.append("begin")

    def after_step(self, run: Run, losses: Losses) -> None:
        place = f"{run.position.epoch}.{run.position.batch}"
        self.lines.append(f"step {run.position.step} at {place}: {int(losses['loss'])}")
        if self.tell is not None and run.position.step == self.at_step:
            os.kill(os.getpid(), signal.SIGTERM)

    def after_epoch(self, run: Run) -> None:
        assert run.is_epoch_end
        run.position.finish_epoch(0.5)
        self.lines.append("epoch")

    def before_exit(self, run: Run) -> None:
        self.lines.append("exit")

    def end(self, run: Run) -> None:
        self.lines.append("end")


def follow(position: Position, diary: Diary, *, epochs: int = 2, patience: int = 0, **options):
    train_steps(
        lambda batch: {"loss": batch},
        options.pop("source", Numbers()),
        Run(position, Numbers.steps_per_epoch, epochs),
        [diary],
        strategy=tf.distribute.get_strategy(),
        patience=patience,
        **options,
    )
    return diary.lines


WHOLE = [
    "begin",
    *("step 1 at 0.1: 0", "step 2 at 0.2: 1", "step 3 at 0.3: 2", "epoch"),
    *("step 4 at 1.1: 10", "step 5 at 1.2: 11", "step 6 at 1.3: 12", "epoch"),
    "end",
]


def test_every_batch_of_every_epoch_once_and_the_hooks_between() -> None:
    assert follow(Position(), Diary()) == WHOLE


@pytest.mark.parametrize(
    ("position", "left"),
    [
        (Position(batch=1, step=1), WHOLE[2:]),
        (Position(epoch=1, step=3), WHOLE[5:]),
        (Position(epoch=1, batch=2, step=5), WHOLE[7:]),
        # all steps are taken: the epoch is still to be counted
        (Position(batch=3, step=3), WHOLE[4:]),
        (Position(epoch=2, step=6), ["end"]),
    ],
)
def test_it_goes_on_from_any_position(position, left) -> None:
    assert follow(position, Diary()) == ["begin", *left]


def test_patience_ends_it() -> None:
    # the first epoch is the best; no later one is better
    position = Position()
    follow(position, Diary(), epochs=9, patience=2)
    assert (position.epoch, position.epochs_since_best) == (3, 2)


@pytest.mark.parametrize("at_step", [2, 3])
def test_told_to_end_it_finishes_the_step_and_says_how_to_go_on(at_step, capsys) -> None:
    request = StopRequest()
    diary = Diary(request, at_step)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted) as caught, request.listening() as stop:
        follow(Position(), diary, stop=stop)
    assert caught.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is before
    assert diary.lines == [*WHOLE[: 1 + at_step], "exit", "end"]
    assert f"SIGTERM: saved after step {at_step}; --resume" in capsys.readouterr().err


def test_a_second_signal_acts_at_once() -> None:
    # A process in the background of a shell begins with Ctrl-C ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with StopRequest().listening() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.number == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    signal.signal(signal.SIGINT, before)


def test_a_source_with_more_batches_than_it_tells_is_refused() -> None:
    with pytest.raises(AssertionError, match="more batches than its source tells"):
        follow(Position(), Diary(), source=Numbers(extra=1))


def test_a_position_survives_its_file(tmp_path) -> None:
    position = Position(epoch=1, batch=2, step=30, best_score=0.1 + 0.2, logged_step=20)
    position.write(str(tmp_path / "p.json"))
    assert Position.read(str(tmp_path / "p.json")) == position
    Position().write(str(tmp_path / "new.json"))
    assert Position.read(str(tmp_path / "new.json")) == Position()
    with pytest.raises(ValueError, match=r"other\.json: the checkpoint's position is missing"):
        Position.read(str(tmp_path / "other.json"))
    (tmp_path / "p.json").write_text('{"epoch": 1}')
    with pytest.raises(ValueError, match=r"p\.json: expected \['batch', .*got \['epoch'\]"):
        Position.read(str(tmp_path / "p.json"))


def test_the_best_epoch_by_score() -> None:
    position = Position(batch=7)
    scores = (-0.1, 0.6, 0.5, 0.6, 0.7)
    assert [position.finish_epoch(score) for score in scores] == [True, True, False, False, True]
    assert (position.epoch, position.batch, position.best_score) == (5, 0, 0.7)
    assert not position.has_stalled(1)
    assert Position(epochs_since_best=2).has_stalled(2)
    assert not Position(epochs_since_best=2).has_stalled(0)
