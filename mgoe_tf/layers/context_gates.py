"""What every expert lets through of the input that all share."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from mgoe_tf.layers.initializers import StackedGlorotUniform


class ContextGates(tf.keras.layers.Layer):
    """c * sigmoid(W_e g) for every expert e: a context g says how much of each input enters.

    Args:
      num_experts: E.
      context_dim: G; g are the last G inputs.

    Call arguments:
      inputs: [B, F], c.

    Returns:
      [E, B, F].

    Example: a context of zeros lets half of everything through.

    >>> ContextGates(num_experts=2, context_dim=1)(tf.constant([[4.0, 0.0]])).numpy().tolist()
    [[[2.0, 0.0]], [[2.0, 0.0]]]
    """

    def __init__(self, *, num_experts: int, context_dim: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for name, value in (("num_experts", num_experts), ("context_dim", context_dim)):
            if value < 1:
                raise ValueError(f"{name}: must be at least 1, got {value}")
        self.num_experts = num_experts
        self.context_dim = context_dim

    def build(self, input_shape: Any) -> None:
        self.kernel = self.add_weight(
            name="kernel",
            shape=[self.num_experts, self.context_dim, input_shape[-1]],
            initializer=StackedGlorotUniform(),
        )
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        context = inputs[:, -self.context_dim :]
        return inputs * tf.sigmoid(tf.matmul(context[tf.newaxis], self.kernel))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_experts": self.num_experts,
            "context_dim": self.context_dim,
        }
