"""A bank of feed-forward experts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from mgoe_tf.layers.dropout import Dropout
from mgoe_tf.layers.expert_bank import ExpertBank
from mgoe_tf.layers.split_rows import SplitRows, product


class MlpExperts(ExpertBank):
    """MLP_j(f) for every expert j: per width Dense, ReLU, dropout (Eq. 2).

    Args:
      units: widths of the layers of an expert; the last one is activated too.
      dropout: rate after each layer.
      num_tasks, num_shared, num_task_experts: see `ExpertBank`.

    Call arguments:
      inputs: [T, B, F], what the experts of each task see; [1, B, F], or `SplitRows`, where all see
        the same.

    Returns:
      [T, X, B, H], H the last of `units`.

    Example:

    >>> experts = MlpExperts(num_tasks=4, num_shared=2, num_task_experts=1, units=[64, 32])
    >>> experts(tf.zeros([4, 5, 20])).shape
    TensorShape([4, 3, 5, 32])
    """

    def __init__(self, *, units: Sequence[int], dropout: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not units or min(units) < 1:
            raise ValueError(f"units: must be one or more widths of at least 1, got {list(units)}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout: must be in [0, 1), got {dropout}")
        self.units = tuple(units)
        self.dropout = dropout

    def build(self, input_shape: Any) -> None:
        widths = (input_shape[-1], *self.units)
        self.kernels = [
            self.add_expert_weight(f"kernel_{layer}", widths[layer : layer + 2])
            for layer in range(len(self.units))
        ]
        self.biases = [
            self.add_expert_weight(f"bias_{layer}", [1, width], "zeros")
            for layer, width in enumerate(self.units)
        ]
        self.dropout_layer = Dropout(rate=self.dropout, dtype=self.dtype_policy)
        super().build(input_shape)

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        first, *later = [self.by_task(kernel) for kernel in self.kernels]
        biases = [self.by_task(bias) for bias in self.biases]
        outputs = self._first_product(inputs, first) + biases[0]
        for kernel, bias in zip(later, biases[1:], strict=True):
            hidden = self.dropout_layer(tf.nn.relu(outputs), training=training)
            outputs = tf.matmul(hidden, kernel) + bias
        return self.dropout_layer(tf.nn.relu(outputs), training=training)

    def _first_product(self, inputs: tf.Tensor | SplitRows, kernel: tf.Tensor) -> tf.Tensor:
        """What all experts of a task make of the same input, in one product: [T, X, B, H]."""
        # side_by_side: [T, F, X * H], or [1, F, T * X * H] of one input for all. Broadcasting the
        # input to the experts instead would sum its gradient over them in a pass of its own.
        given = 1 if isinstance(inputs, SplitRows) else inputs.shape[0]
        inputs_given = self.num_tasks if given is None else given
        columns = self.num_tasks * self.experts_of_task * self.units[0] // inputs_given
        by_input = tf.reshape(kernel, [inputs_given, -1, *kernel.shape[2:]])
        side_by_side = tf.reshape(
            tf.transpose(by_input, [0, 2, 1, 3]), [inputs_given, kernel.shape[2], columns]
        )
        # products: [T, B, X, H], or [1, B, T * X, H]
        products = tf.reshape(
            product(inputs, side_by_side[0])
            if isinstance(inputs, SplitRows)
            else tf.matmul(inputs, side_by_side),
            [inputs_given, -1, columns // self.units[0], self.units[0]],
        )
        outputs = tf.transpose(products, [0, 2, 1, 3])
        if inputs_given == self.num_tasks:
            return outputs
        return tf.reshape(outputs, [self.num_tasks, self.experts_of_task, -1, self.units[0]])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units, "dropout": self.dropout}
