"""Initial values of stacked kernels."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf


class StackedGlorotUniform(tf.keras.initializers.Initializer):
    """Glorot uniform values for each matrix of a stack: the fans are the last two axes.

    Keras reads every leading axis as a receptive field, so that its Glorot values shrink with the
    number of experts. All matrices of the stack come from one draw and differ from each other.

    Args:
      fan_in: inputs of the whole kernel, where these rows are a part of one; None: the rows given.
      seed: of the draw; None takes the next seed of `tf.keras.utils.set_random_seed`'s sequence.
    """

    def __init__(self, *, fan_in: int | None = None, seed: int | None = None) -> None:
        self.fan_in = fan_in
        self.seed = seed

    def __call__(self, shape: Any, dtype: Any = tf.float32, **kwargs: Any) -> tf.Tensor:
        rows, fan_out = shape[-2:]
        fan_in = rows if self.fan_in is None else self.fan_in
        limit = math.sqrt(6.0 / max(1, fan_in + fan_out))
        return tf.random.uniform(shape, -limit, limit, dtype or tf.float32, seed=self.seed)

    def get_config(self) -> dict[str, Any]:
        return {"fan_in": self.fan_in, "seed": self.seed}
