"""Gates that scale units up and down."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from mgoe_tf.layers.initializers import StackedGlorotUniform


class GateUnits(tf.keras.layers.Layer):
    """delta_n = gamma sigmoid(ReLU(z W_n + b_n) W'_n + b'_n), the gate neural unit (Gate NU).

    Each delta is in (0, gamma); with gamma 2 it is about 1 at first, so that what is scaled is left
    as it is.

    Source: Chang et al., "PEPNet", KDD 2023.

    Args:
      num_gates: N, gates that read the same.
      units: width of the hidden layer.
      outputs: O, how many units a gate scales.
      gamma: above 0.

    Call arguments:
      inputs: [B, F], z.

    Returns:
      [N, B, O].

    Example:

    >>> GateUnits(num_gates=3, units=8, outputs=2)(tf.zeros([1, 20])).numpy()[0]
    array([[1., 1.]], dtype=float32)
    """

    def __init__(
        self, *, num_gates: int, units: int, outputs: int, gamma: float = 2.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        for name, value in (("num_gates", num_gates), ("units", units), ("outputs", outputs)):
            if value < 1:
                raise ValueError(f"{name}: must be at least 1, got {value}")
        if not gamma > 0:
            raise ValueError(f"gamma: must be above 0, got {gamma}")
        self.num_gates = num_gates
        self.units = units
        self.outputs = outputs
        self.gamma = gamma

    def build(self, input_shape: Any) -> None:
        widths = (input_shape[-1], self.units, self.outputs)
        self.kernels = [
            self.add_weight(
                name=f"kernel_{layer}",
                shape=[self.num_gates, *widths[layer : layer + 2]],
                initializer=StackedGlorotUniform(),
            )
            for layer in range(2)
        ]
        self.biases = [
            self.add_weight(
                name=f"bias_{layer}", shape=[self.num_gates, 1, width], initializer="zeros"
            )
            for layer, width in enumerate(widths[1:])
        ]
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        first, second = self.kernels
        # One product for all gates. flat: [F, N * U]; products: [B, N, U], then [N, B, U]
        flat = tf.reshape(tf.transpose(first, [1, 0, 2]), [first.shape[1], -1])
        products = tf.reshape(inputs @ flat, [-1, self.num_gates, self.units])
        hidden = tf.nn.relu(tf.transpose(products, [1, 0, 2]) + self.biases[0])
        return self.gamma * tf.sigmoid(tf.matmul(hidden, second) + self.biases[1])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_gates": self.num_gates,
            "units": self.units,
            "outputs": self.outputs,
            "gamma": self.gamma,
        }
