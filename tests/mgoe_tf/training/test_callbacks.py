"""The clock of the training loop."""

from __future__ import annotations

import time
import types

import numpy as np
import pytest
import tensorflow as tf
from mgoe_tf.training.callbacks import InputClock, timed_train_function


def _sleeping(seconds: float, value: tf.Tensor) -> tf.Tensor:
    def sleep(value: np.ndarray) -> np.ndarray:
        time.sleep(seconds)
        return value

    return tf.ensure_shape(tf.numpy_function(sleep, [value], tf.float32), value.shape)


@pytest.mark.parametrize(("input_seconds", "step_seconds"), [(0.3, 0.0), (0.0, 0.3)])
def test_clock_counts_waiting_for_a_batch_and_not_the_step(input_seconds, step_seconds) -> None:
    batches = tf.data.Dataset.from_tensors({"x": tf.ones([2]), "y": tf.ones([2])}).repeat(3)
    batches = batches.map(lambda batch: {**batch, "x": _sleeping(input_seconds, batch["x"])})
    model = types.SimpleNamespace(
        distribute_strategy=tf.distribute.get_strategy(),
        train_step=lambda batch: {"loss": tf.reduce_sum(_sleeping(step_seconds, batch["y"]))},
    )
    clock = InputClock()
    train = timed_train_function(model, clock)
    iterator = iter(batches)
    losses = [float(train(iterator)["loss"]) for _ in range(3)]
    assert losses == [2, 2, 2]
    # Of 0.9 seconds of sleep; clocks differ a little, and a busy machine adds some.
    if input_seconds:
        assert clock.waited_seconds > 0.8
    else:
        assert 0 <= clock.waited_seconds < 0.8
    with pytest.raises(tf.errors.OutOfRangeError):
        train(iterator)
