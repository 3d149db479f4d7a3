"""A feed-forward network for each task, over the same inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from mgoe_tf.layers.batch_norm import BatchNorm
from mgoe_tf.layers.dropout import Dropout
from mgoe_tf.layers.initializers import StackedGlorotUniform
from mgoe_tf.layers.task_gates import by_task


class TaskBottoms(tf.keras.layers.Layer):
    """q_t = MLP_t(x): per width Dense, batch normalisation, ReLU, dropout.

    Args:
      num_tasks: T.
      units: widths of the layers; the last one is activated too.
      batch_norm: whether to normalise; a Dense layer has a bias only where not.
      dropout: rate after each layer.

    Call arguments:
      inputs: [B, F], x, or `SplitRows`.

    Returns:
      [T, B, H], H the last of `units`.

    Example:

    >>> TaskBottoms(num_tasks=3, units=[16, 8], batch_norm=True)(tf.zeros([5, 20])).shape
    TensorShape([3, 5, 8])
    """

    def __init__(
        self,
        *,
        num_tasks: int,
        units: Sequence[int],
        batch_norm: bool,
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if num_tasks < 1:
            raise ValueError(f"num_tasks: must be at least 1, got {num_tasks}")
        if not units or min(units) < 1:
            raise ValueError(f"units: must be one or more widths of at least 1, got {list(units)}")
        self.num_tasks = num_tasks
        self.units = tuple(units)
        self.batch_norm = batch_norm
        self.dropout = dropout
        self.norms = [BatchNorm(name=f"norm_{n}") for n in range(len(units))] if batch_norm else []
        self.dropout_layer = Dropout(rate=dropout)

    def build(self, input_shape: Any) -> None:
        widths = (input_shape[-1], *self.units)
        self.kernels = [
            self.add_weight(
                name=f"kernel_{layer}",
                shape=[self.num_tasks, *widths[layer : layer + 2]],
                initializer=StackedGlorotUniform(),
            )
            for layer in range(len(self.units))
        ]
        self.biases = [
            self.add_weight(
                name=f"bias_{layer}", shape=[self.num_tasks, 1, width], initializer="zeros"
            )
            for layer, width in enumerate(self.units)
            if not self.batch_norm
        ]
        super().build(input_shape)

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        outputs = by_task(inputs, tf.cast(self.kernels[0], self.compute_dtype))
        for layer, kernel in enumerate(self.kernels):
            if layer:
                outputs = tf.matmul(outputs, kernel)
            if self.batch_norm:
                outputs = self.norms[layer](outputs, training=training)
            else:
                outputs += self.biases[layer]
            outputs = self.dropout_layer(tf.nn.relu(outputs), training=training)
        return outputs

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_tasks": self.num_tasks,
            "units": self.units,
            "batch_norm": self.batch_norm,
            "dropout": self.dropout,
        }
