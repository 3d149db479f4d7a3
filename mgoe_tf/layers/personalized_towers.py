"""Towers whose units are scaled by who asks for what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from mgoe_tf.layers.gate_units import GateUnits
from mgoe_tf.layers.prediction_towers import PredictionTowers


class PersonalizedTowers(PredictionTowers):
    """p_t = Tower_t(o), whose hidden units are scaled by gates of the row: PPNet of PEPNet.

    H_t^l = delta_t^l * ReLU(H_t^{l-1} W_t^l + b_t^l), H_t^0 = o, then one unit; p_t is a logit.
    delta_t^l = GateUnits([prior ; stop_gradient(o)]), one gate a task and layer: gates read o and
    do not change it. Dropout comes after the scaling.

    Everything is float32 under any policy, because logits are.

    Source: Chang et al., "PEPNet", KDD 2023.

    Args:
      num_tasks: T.
      units: widths of the hidden layers, at least one.
      dropout: rate after each hidden layer.
      gate_units: width of the gates' hidden layers; 0: as wide as the layer that is scaled.
      gamma: above 0, what a gate scales by at most.

    Call arguments:
      inputs: [B, D], o.
      prior: [B, P], what the gates know of the user and the item.

    Returns:
      float32 [T, B], logits.

    Example:

    >>> towers = PersonalizedTowers(num_tasks=4, units=[64, 32])
    >>> towers(tf.zeros([5, 20]), tf.zeros([5, 10])).shape
    TensorShape([4, 5])
    """

    def __init__(
        self,
        *,
        num_tasks: int,
        units: Sequence[int],
        dropout: float = 0.0,
        gate_units: int = 0,
        gamma: float = 2.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_tasks=num_tasks, units=units, dropout=dropout, **kwargs)
        if not units:
            raise ValueError("units: must be one or more widths, got []")
        if gate_units < 0:
            raise ValueError(f"gate_units: must be at least 0, got {gate_units}")
        self.gate_units = gate_units
        self.gamma = gamma
        self.gates = [
            GateUnits(
                num_gates=num_tasks,
                units=gate_units or width,
                outputs=width,
                gamma=gamma,
                dtype="float32",
                name=f"gates_{layer}",
            )
            for layer, width in enumerate(units)
        ]

    def scales(self, inputs: tf.Tensor, prior: tf.Tensor) -> list[tf.Tensor]:
        """delta^l of each hidden layer: float32 [T, B, H_l]."""
        # Keras casts the first argument only, and nothing where this is called from outside.
        known = [tf.cast(part, tf.float32) for part in (prior, tf.stop_gradient(inputs))]
        return [gates(tf.concat(known, axis=-1)) for gates in self.gates]

    def call(  # type: ignore[override]  # these towers read a prior too
        self, inputs: tf.Tensor, prior: tf.Tensor, training: bool | None = None
    ) -> tf.Tensor:
        outputs = self.first_layer(inputs)
        scales = self.scales(inputs, prior)
        for scale, (kernel, bias) in zip(scales, self.later_layers(), strict=True):
            hidden = self.dropout_layer(scale * tf.nn.relu(outputs), training=training)
            outputs = tf.matmul(hidden, kernel) + bias
        return tf.squeeze(outputs, axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "gate_units": self.gate_units, "gamma": self.gamma}
