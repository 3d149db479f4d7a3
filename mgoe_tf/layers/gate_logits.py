"""Gates before their softmax."""

from __future__ import annotations

import tensorflow as tf

from mgoe_tf.layers.task_gates import TaskGates


class GateLogits(TaskGates):
    """f_t(c_t) G_t, what `TaskGates` takes its softmax of.

    Args, call arguments: see `TaskGates`; the temperature is that of a softmax to come.

    Returns:
      float32 [T, B, X].

    Example:

    >>> GateLogits(num_tasks=2, num_experts=4)(tf.zeros([1, 20])).shape
    TensorShape([2, 1, 4])
    """

    def call(self, inputs: tf.Tensor, kernel: tf.Tensor | None = None) -> tf.Tensor:
        return self.logits(inputs, kernel)
