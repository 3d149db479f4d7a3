"""Macro task adjustment of the logits."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


class TaskAdjustment(tf.keras.layers.Layer):
    """p_t + kappa_t a_t, a_t = log(1 + L_t[u, m(i)]) - mean_m log(1 + L_t[u, m]) (Eq. 22).

    a_t is 0 where the item is cold (m(i) = -1) or the user has no history. kappa_t is trainable,
    initially 0.1. Everything is float32 under any policy.

    Args:
      num_tasks: T.

    Call arguments:
      logits: float32 [T, B], p_t.
      task_table: float32 [B, T * K], L[u], row-major by task.
      item_macro: int [B], m(i).

    Returns:
      float32 [T, B].

    Example:

    >>> table, item_macro = tf.constant([[7.0, 0.0, 0.0, 0.0]]), tf.constant([0])
    >>> TaskAdjustment(num_tasks=1)(tf.zeros([1, 1]), table, item_macro).numpy().round(3)
    array([[0.156]], dtype=float32)
    """

    def __init__(self, *, num_tasks: int, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        if num_tasks < 1:
            raise ValueError(f"num_tasks: must be at least 1, got {num_tasks}")
        self.num_tasks = num_tasks

    def build(self, input_shape: Any) -> None:
        self.kappa = self.add_weight(
            name="kappa",
            shape=[self.num_tasks],
            initializer=tf.keras.initializers.Constant(0.1),
        )
        super().build(input_shape)

    def terms_by_macro_node(self, task_table: tf.Tensor) -> tf.Tensor:
        """kappa_t a_t for every m(i), last for a cold item: float32 [B, T, K + 1]."""
        num_macro_nodes = task_table.shape[-1] // self.num_tasks
        levels = tf.math.log1p(tf.reshape(task_table, [-1, self.num_tasks, num_macro_nodes]))
        advantages = levels - tf.reduce_mean(levels, axis=-1, keepdims=True)
        cold = [[0, 0], [0, 0], [0, 1]]
        return tf.pad(self.kappa[:, tf.newaxis] * advantages, cold)

    def advantages(self, task_table: tf.Tensor, item_macro: tf.Tensor) -> tf.Tensor:
        """a_t: float32 [T, B]."""
        num_macro_nodes = task_table.shape[-1] // self.num_tasks
        # levels: [B, T, K]
        levels = tf.math.log1p(tf.reshape(task_table, [-1, self.num_tasks, num_macro_nodes]))
        at_item = tf.gather(levels, tf.maximum(item_macro, 0), axis=2, batch_dims=1)
        warm = tf.cast(item_macro >= 0, tf.float32)[:, tf.newaxis]
        return tf.transpose((at_item - tf.reduce_mean(levels, axis=-1)) * warm)

    def terms(self, task_table: tf.Tensor, item_macro: tf.Tensor) -> tf.Tensor:
        """kappa_t a_t: float32 [T, B]."""
        return self.kappa[:, tf.newaxis] * self.advantages(task_table, item_macro)

    def call(self, logits: tf.Tensor, task_table: tf.Tensor, item_macro: tf.Tensor) -> tf.Tensor:
        return logits + self.terms(task_table, item_macro)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_tasks": self.num_tasks}
