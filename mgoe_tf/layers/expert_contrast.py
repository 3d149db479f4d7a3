"""A loss that drives experts apart."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from mgoe_tf.layers.dropout import Dropout

_SMALLEST_SQUARE = 1e-6


class ExpertContrast(tf.keras.layers.Layer):
    """L_cl = mean_{e != f} max(0, m - C_ee + C_ef), C_ef = <n'_e, n''_f>, n_e = h_e / |h_e|.

    n' and n'' are two copies of n with dropout of their own, so that C_ee is 1 on average only: the
    two copies of one expert's output are to be closer than those of different experts, by m. An
    output that is shorter than 0.001 has n = 0. Everything is float32 under any policy.

    Args:
      margin: m.
      rate: of the dropout of both copies.

    Call arguments:
      outputs: [X, B, H], h_e of the experts, X at least 1.
      training: whether to drop.

    Returns:
      A scalar, the mean over rows; 0 of one expert alone.

    Example:

    >>> same = tf.ones([2, 5, 3])  # C_ee = C_ef = 1
    >>> print(ExpertContrast(margin=0.3)(same).numpy())
    0.3
    """

    def __init__(self, *, margin: float, rate: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        if margin < 0:
            raise ValueError(f"margin: must be at least 0, got {margin}")
        self.margin = margin
        self.rate = rate
        self.dropout = Dropout(rate=rate, dtype="float32", name="dropout")

    def build(self, input_shape: Any) -> None:
        self.dropout.build(input_shape)
        super().build(input_shape)

    def call(self, outputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        num_experts = outputs.shape[0]
        if num_experts == 1:
            return tf.zeros([])
        # by_row: [B, X, H]; cosines: [B, X, X]
        by_row = tf.transpose(tf.cast(outputs, tf.float32), [1, 0, 2])
        squares = tf.reduce_sum(tf.square(by_row), axis=-1, keepdims=True)
        # where, twice: what is 0 stays so, without a gradient that is not finite in float16
        is_short = squares < _SMALLEST_SQUARE
        by_row *= tf.where(is_short, 0.0, tf.math.rsqrt(tf.where(is_short, 1.0, squares)))
        first = self.dropout(by_row, training=training)
        second = self.dropout(by_row, training=training)
        cosines = tf.matmul(first, second, transpose_b=True)
        own = tf.linalg.diag_part(cosines)[..., tf.newaxis]
        others = 1.0 - tf.eye(num_experts)
        # by_pair: [X, X], the mean over rows
        by_pair = tf.reduce_mean(tf.nn.relu(self.margin - own + cosines), axis=0)
        return tf.reduce_sum(by_pair * others) / (num_experts * (num_experts - 1))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "margin": self.margin, "rate": self.rate}
