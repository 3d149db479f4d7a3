"""A tower for each task over the same inputs, activated by Dice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from mgoe_tf.layers.dice import Dice
from mgoe_tf.layers.dropout import Dropout
from mgoe_tf.layers.initializers import StackedGlorotUniform


class DiceTowers(tf.keras.layers.Layer):
    """s_t = Tower_t(c): hidden layers (Dense, Dice, dropout), then one unit; s_t is a logit.

    Everything is float32 under any policy, because logits are.

    Args:
      num_tasks: T.
      units: widths of the hidden layers, one or more.
      dropout: rate after each hidden layer.
      batch_statistics: of `Dice`.

    Call arguments:
      inputs: [B, F], c.

    Returns:
      float32 [T, B], logits.

    Example:

    >>> DiceTowers(num_tasks=4, units=[32])(tf.zeros([5, 16])).shape
    TensorShape([4, 5])
    """

    def __init__(
        self,
        *,
        num_tasks: int,
        units: Sequence[int],
        dropout: float = 0.0,
        batch_statistics: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        if num_tasks < 1:
            raise ValueError(f"num_tasks: must be at least 1, got {num_tasks}")
        if not units or min(units) < 1:
            raise ValueError(f"units: must be one or more widths of at least 1, got {list(units)}")
        self.num_tasks = num_tasks
        self.units = tuple(units)
        self.dropout = dropout
        self.batch_statistics = batch_statistics
        self.activations = [
            Dice(batch_statistics=batch_statistics, name=f"dice_{layer}")
            for layer in range(len(self.units))
        ]
        self.dropout_layer = Dropout(rate=dropout, dtype="float32")

    def build(self, input_shape: Any) -> None:
        widths = (input_shape[-1], *self.units, 1)
        self.kernels = [
            self.add_weight(
                name=f"kernel_{layer}",
                shape=[self.num_tasks, *widths[layer : layer + 2]],
                initializer=StackedGlorotUniform(),
            )
            for layer in range(len(widths) - 1)
        ]
        self.biases = [
            self.add_weight(
                name=f"bias_{layer}", shape=[self.num_tasks, 1, width], initializer="zeros"
            )
            for layer, width in enumerate(widths[1:])
        ]
        super().build(input_shape)

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        outputs = tf.einsum("bf,tfh->tbh", inputs, self.kernels[0]) + self.biases[0]
        for activation, kernel, bias in zip(
            self.activations, self.kernels[1:], self.biases[1:], strict=True
        ):
            hidden = self.dropout_layer(activation(outputs, training=training), training=training)
            outputs = tf.matmul(hidden, kernel) + bias
        return tf.squeeze(outputs, axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_tasks": self.num_tasks,
            "units": self.units,
            "dropout": self.dropout,
            "batch_statistics": self.batch_statistics,
        }
