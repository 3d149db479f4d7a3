"""Dropout whose randomness is part of a checkpoint."""

from __future__ import annotations

import random
from typing import Any

import tensorflow as tf


class Dropout(tf.keras.layers.Layer):
    """In training, sets entries to 0 with probability `rate` and divides the others by 1 - rate.

    Unlike Keras's own layer it keeps the state of its random numbers where checkpoints see it, so
    that a resumed run draws what an uninterrupted one would have drawn.

    Args:
      rate: in [0, 1).

    Call arguments:
      inputs: any shape.
      training: whether to drop.

    Example:
      >>> Dropout(rate=0.5)(tf.ones([2, 3])).shape
      TensorShape([2, 3])
    """

    def __init__(self, *, rate: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not 0 <= rate < 1:
            raise ValueError(f"rate: must be in [0, 1), got {rate}")
        self.rate = rate

    def build(self, input_shape: Any) -> None:
        if self.rate:
            # tf.keras.utils.set_random_seed seeds Python's random numbers too
            with tf.init_scope():
                self.generator = tf.random.Generator.from_seed(random.randrange(2**31))
        super().build(input_shape)

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        if not training or not self.rate:
            return inputs
        seed = self.generator.make_seeds()[:, 0]
        return tf.nn.experimental.stateless_dropout(inputs, self.rate, seed=seed)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate}
