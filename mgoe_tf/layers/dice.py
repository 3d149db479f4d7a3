"""An activation that follows the distribution of its inputs."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from mgoe_tf.layers.batch_norm import BatchNorm


class Dice(tf.keras.layers.Layer):
    """p x + alpha (1 - p) x, p = sigmoid of x normalised over the batch; alpha starts at 0.

    x is normalised by `BatchNorm` without weights of its own: by the batch in training, by moving
    statistics else. Everything is float32 under any policy.

    Args:
      batch_statistics: whether to take mean and unbiased deviation of the batch outside training
        too, and nothing added to the deviation, as MacGNN's authors do: an answer then depends on
        the rows beside it, and that of a batch of one is NaN. Each replica has a batch of its own.

    Call arguments:
      inputs: [..., B, H]; what is before the rows is a stack, of tasks, say, with an alpha each.
      training: see `BatchNorm`.

    Returns:
      float32, of the same shape.

    Example:

    >>> Dice()(tf.constant([[0.0], [1.0]])).numpy().round(3)
    array([[0.   ],
           [0.731]], dtype=float32)
    """

    def __init__(self, *, batch_statistics: bool = False, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.batch_statistics = batch_statistics
        self.norm: BatchNorm | None = None
        if not batch_statistics:
            self.norm = BatchNorm(affine=False, name="norm")

    def build(self, input_shape: Any) -> None:
        self.alpha = self.add_weight(
            name="alpha", shape=[*input_shape[:-2], 1, 1], initializer="zeros"
        )
        super().build(input_shape)

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        if self.norm is None:
            mean = tf.reduce_mean(inputs, axis=-2, keepdims=True)
            squares = tf.reduce_sum(tf.square(inputs - mean), axis=-2, keepdims=True)
            degrees = tf.cast(tf.shape(inputs)[-2] - 1, tf.float32)
            normal = (inputs - mean) / tf.sqrt(squares / degrees)
        else:
            normal = self.norm(inputs, training=training)
        share = tf.sigmoid(normal)
        return inputs * (share + self.alpha * (1.0 - share))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "batch_statistics": self.batch_statistics}
