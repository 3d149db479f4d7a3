"""Gates by which tasks mix experts."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from mgoe_tf.layers.initializers import StackedGlorotUniform


def mix(outputs: tf.Tensor, gates: tf.Tensor) -> tf.Tensor:
    """sum_j g_tj outputs_tj: [T, X, B, H] (or [1, X, B, H], shared by all tasks) -> [T, B, H].

    Args:
      outputs: of the experts.
      gates: [T, B, X].
    """
    weights = tf.cast(tf.transpose(gates, [0, 2, 1])[..., tf.newaxis], outputs.dtype)
    return tf.reduce_sum(outputs * weights, axis=1)


class TaskGates(tf.keras.layers.Layer):
    """g_t = softmax(c_t G_t), the weights of the experts that task t uses.

    The softmax is float32 under any policy.

    Args:
      num_tasks: T.
      num_experts: X, how many experts a task uses.
      use_bias: whether the gates have a bias; MMoE's original has none.

    Call arguments:
      inputs: [T, B, F], or [B, F] where all tasks see the same.
      kernel: [T, F, X] in place of the layer's own G, for a caller that has multiplied parts of G
        by what does not depend on the row.

    Returns:
      float32 [T, B, X].

    Example:

    >>> TaskGates(num_tasks=2, num_experts=4)(tf.zeros([1, 20])).numpy()
    array([[[0.25, 0.25, 0.25, 0.25]],
    <BLANKLINE>
           [[0.25, 0.25, 0.25, 0.25]]], dtype=float32)
    """

    def __init__(
        self, *, num_tasks: int, num_experts: int, use_bias: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        for name, value in (("num_tasks", num_tasks), ("num_experts", num_experts)):
            if value < 1:
                raise ValueError(f"{name}: must be at least 1, got {value}")
        self.num_tasks = num_tasks
        self.num_experts = num_experts
        self.use_bias = use_bias

    def build(self, input_shape: Any) -> None:
        self.kernel = self.add_weight(
            name="kernel",
            shape=[self.num_tasks, input_shape[-1], self.num_experts],
            initializer=StackedGlorotUniform(),
        )
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias", shape=[self.num_tasks, 1, self.num_experts], initializer="zeros"
            )
        super().build(input_shape)

    def call(self, inputs: tf.Tensor, kernel: tf.Tensor | None = None) -> tf.Tensor:
        kernel = self.kernel if kernel is None else kernel
        if inputs.shape.rank == 2:
            # One product for all tasks. flat: [F, T * X]; logits: [B, T, X], then [T, B, X]
            flat = tf.reshape(tf.transpose(kernel, [1, 0, 2]), [kernel.shape[1], -1])
            logits = tf.reshape(inputs @ flat, [-1, self.num_tasks, self.num_experts])
            logits = tf.transpose(logits, [1, 0, 2])
        else:
            logits = tf.matmul(inputs, kernel)
        if self.use_bias:
            logits += self.bias
        return tf.nn.softmax(tf.cast(logits, tf.float32))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_tasks": self.num_tasks,
            "num_experts": self.num_experts,
            "use_bias": self.use_bias,
        }
