"""One vector of a node out of one a channel."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


class ChannelFusion(tf.keras.layers.Layer):
    """h = sum_c beta_c h_c with beta = softmax_c(v^T tanh(W h_c + b)).

    Everything is float32 under any policy, as the vectors that it reads are.

    Call arguments:
      channels: [C, N, D], h_c.

    Returns:
      float32 [N, D].

    Example: channels that are alike count alike.

    >>> ChannelFusion()(tf.constant([[[1.0, 2.0]], [[1.0, 2.0]]])).numpy().tolist()
    [[1.0, 2.0]]
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})

    def build(self, input_shape: Any) -> None:
        dim = input_shape[-1]
        self.kernel = self.add_weight(name="kernel", shape=[dim, dim])
        self.bias = self.add_weight(name="bias", shape=[dim], initializer="zeros")
        self.score_kernel = self.add_weight(name="score_kernel", shape=[dim, 1])
        super().build(input_shape)

    def shares(self, channels: tf.Tensor) -> tf.Tensor:
        """beta, [C, N]."""
        hidden = tf.tanh(tf.matmul(channels, self.kernel) + self.bias)
        return tf.nn.softmax(tf.squeeze(tf.matmul(hidden, self.score_kernel), axis=-1), axis=0)

    def call(self, channels: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(self.shares(channels)[..., tf.newaxis] * channels, axis=0)
