"""Gates by which tasks mix experts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from mgoe_tf.layers.initializers import StackedGlorotUniform
from mgoe_tf.layers.split_rows import SplitRows, product


def mix(outputs: tf.Tensor, gates: tf.Tensor) -> tf.Tensor:
    """sum_j g_tj outputs_tj: [T, X, B, H] (or [1, X, B, H], shared by all tasks) -> [T, B, H].

    Args:
      outputs: of the experts.
      gates: [T, B, X].
    """
    weights = tf.cast(tf.transpose(gates, [0, 2, 1])[..., tf.newaxis], outputs.dtype)
    return tf.reduce_sum(outputs * weights, axis=1)


class TaskGates(tf.keras.layers.Layer):
    """g_t = softmax(f_t(c_t) G_t / tau), the weights of the experts that task t uses.

    f_t are the hidden layers of task t (Dense, ReLU), by default none. The softmax is float32 under
    any policy. A single expert has the weight 1, and there are no kernels to learn it by.

    Args:
      num_tasks: T.
      num_experts: X, how many experts a task uses.
      use_bias: whether G_t has a bias; MMoE's original has none.
      units: widths of the hidden layers, which have biases.
      temperature: tau, above 0: lower is sharper.

    Call arguments:
      inputs: [T, B, F]; [B, F], or `SplitRows`, where all tasks see the same.
      kernel: [T, F, X] in place of the layer's own G, for a caller that has multiplied parts of G
        by what does not depend on the row; not with hidden layers.

    Returns:
      float32 [T, B, X].

    Example:

    >>> TaskGates(num_tasks=2, num_experts=4)(tf.zeros([1, 20])).numpy()
    array([[[0.25, 0.25, 0.25, 0.25]],
    <BLANKLINE>
           [[0.25, 0.25, 0.25, 0.25]]], dtype=float32)
    """

    def __init__(
        self,
        *,
        num_tasks: int,
        num_experts: int,
        use_bias: bool = False,
        units: Sequence[int] = (),
        temperature: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        for name, value in (("num_tasks", num_tasks), ("num_experts", num_experts)):
            if value < 1:
                raise ValueError(f"{name}: must be at least 1, got {value}")
        if any(width < 1 for width in units):
            raise ValueError(f"units: must be widths of at least 1, got {list(units)}")
        if not temperature > 0:
            raise ValueError(f"temperature: must be above 0, got {temperature}")
        self.num_tasks = num_tasks
        self.num_experts = num_experts
        self.use_bias = use_bias
        self.units = tuple(units)
        self.temperature = temperature

    def build(self, input_shape: Any) -> None:
        self.hidden: list[tuple[tf.Variable, tf.Variable]] = []
        if self.num_experts > 1:
            self._add_weights((input_shape[-1], *self.units))
        else:
            self.kernel = np.zeros([self.num_tasks, input_shape[-1], 1], np.float32)
        super().build(input_shape)

    def _add_weights(self, widths: Sequence[int]) -> None:
        self.hidden = [
            (
                self.add_weight(
                    name=f"hidden_kernel_{layer}",
                    shape=[self.num_tasks, *widths[layer : layer + 2]],
                    initializer=StackedGlorotUniform(),
                ),
                self.add_weight(
                    name=f"hidden_bias_{layer}",
                    shape=[self.num_tasks, 1, width],
                    initializer="zeros",
                ),
            )
            for layer, width in enumerate(self.units)
        ]
        self.kernel = self.add_weight(
            name="kernel",
            shape=[self.num_tasks, widths[-1], self.num_experts],
            initializer=StackedGlorotUniform(),
        )
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias", shape=[self.num_tasks, 1, self.num_experts], initializer="zeros"
            )

    def logits(self, inputs: tf.Tensor, kernel: tf.Tensor | None = None) -> tf.Tensor:
        """f_t(c_t) G_t, float32 [T, B, X], before the temperature; arguments as of the call."""
        kernel = self.kernel if kernel is None else kernel
        for hidden_kernel, bias in self.hidden:
            inputs = tf.nn.relu(by_task(inputs, hidden_kernel) + bias)
        logits = by_task(inputs, kernel)
        if self.use_bias and self.num_experts > 1:
            logits += self.bias
        return tf.cast(logits, tf.float32)

    def call(self, inputs: tf.Tensor, kernel: tf.Tensor | None = None) -> tf.Tensor:
        if self.num_experts == 1:
            split = isinstance(inputs, SplitRows)
            rows = tf.size(inputs.items[..., 0]) if split else tf.shape(inputs)[-2]
            return tf.ones([self.num_tasks, rows, 1])
        logits = self.logits(inputs, kernel)
        return softmax(logits if self.temperature == 1 else logits / self.temperature)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_tasks": self.num_tasks,
            "num_experts": self.num_experts,
            "use_bias": self.use_bias,
            "units": self.units,
            "temperature": self.temperature,
        }


def softmax(logits: tf.Tensor) -> tf.Tensor:
    """Over the experts, [..., X]; of two the sigmoid of their difference, a fifth of the time.

    >>> softmax(tf.math.log([[1.0, 3.0]])).numpy()
    array([[0.25, 0.75]], dtype=float32)
    """
    if logits.shape[-1] != 2:
        return tf.nn.softmax(logits)
    return tf.sigmoid(logits - tf.reverse(logits, [-1]))


def by_task(inputs: tf.Tensor | SplitRows, kernel: tf.Tensor) -> tf.Tensor:
    """[T, B, F], or rows that all tasks see, times [T, F, X]: [T, B, X]."""
    if not isinstance(inputs, SplitRows) and inputs.shape.rank > 2:
        return tf.matmul(inputs, kernel)
    # One product for all tasks. flat: [F, T * X]; products: [B, T, X]
    num_tasks, features, width = kernel.shape
    flat = tf.reshape(tf.transpose(kernel, [1, 0, 2]), [features, num_tasks * width])
    products = tf.reshape(product(inputs, flat), [-1, num_tasks, width])
    return tf.transpose(products, [1, 0, 2])
