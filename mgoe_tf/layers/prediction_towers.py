"""A tower for each task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from mgoe_tf.layers.dropout import Dropout
from mgoe_tf.layers.initializers import StackedGlorotUniform
from mgoe_tf.layers.task_gates import by_task


class PredictionTowers(tf.keras.layers.Layer):
    """p_t = Tower_t(o_t): hidden layers (Dense, ReLU, dropout), then one unit; p_t is a logit.

    Everything is float32 under any policy, because logits are.

    Args:
      num_tasks: T.
      units: widths of the hidden layers; none is allowed.
      dropout: rate after each hidden layer.

    Call arguments:
      inputs: [T, B, H], o_t; [B, H], or `SplitRows`, where all tasks see
        the same.

    Returns:
      float32 [T, B], logits.

    Example:

    >>> PredictionTowers(num_tasks=4, units=[32])(tf.zeros([4, 5, 16])).shape
    TensorShape([4, 5])
    """

    def __init__(
        self, *, num_tasks: int, units: Sequence[int], dropout: float = 0.0, **kwargs: Any
    ) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        if num_tasks < 1:
            raise ValueError(f"num_tasks: must be at least 1, got {num_tasks}")
        if any(width < 1 for width in units):
            raise ValueError(f"units: must be widths of at least 1, got {list(units)}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout: must be in [0, 1), got {dropout}")
        self.num_tasks = num_tasks
        self.units = tuple(units)
        self.dropout = dropout

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
        self.dropout_layer = Dropout(rate=self.dropout, dtype=self.dtype_policy)
        super().build(input_shape)

    def first_layer(self, inputs: tf.Tensor, shift: tf.Tensor | float = 0.0) -> tf.Tensor:
        """The first layer of all towers before its activation, [T, B, H].

        Args:
          inputs: of the call.
          shift: added to the biases, [T, 1, H].
        """
        kernel, bias = self.kernels[0], self.biases[0] + shift
        return by_task(inputs, tf.convert_to_tensor(kernel)) + bias

    def later_layers(self) -> list[tuple[tf.Tensor, tf.Tensor]]:
        """Kernels [T, H, H'] and biases [T, 1, H'] after the first layer."""
        return [
            (tf.convert_to_tensor(kernel), tf.convert_to_tensor(bias))
            for kernel, bias in zip(self.kernels[1:], self.biases[1:], strict=True)
        ]

    def finish(
        self,
        first: tf.Tensor,
        layers: Sequence[tuple[tf.Tensor, tf.Tensor]],
        training: bool | None = None,
    ) -> tf.Tensor:
        """From the first layer of some towers, [T', B, H], to their logits, [T', B].

        Args:
          first: from `first_layer`.
          layers: from `later_layers`, the same T' tasks.
          training: whether to drop units.
        """
        outputs = first
        for kernel, bias in layers:
            hidden = self.dropout_layer(tf.nn.relu(outputs), training=training)
            outputs = tf.matmul(hidden, kernel) + bias
        return tf.squeeze(outputs, axis=-1)

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        return self.finish(self.first_layer(inputs), self.later_layers(), training)

    def cascade_factors(self) -> dict[int, tf.Tensor]:
        """theta_t, scalar, by the number of each task that reads the logit before its own."""
        return {}

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_tasks": self.num_tasks,
            "units": self.units,
            "dropout": self.dropout,
        }
