"""Weights of macro nodes from the edges of a target node."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


class MacroWeights(tf.keras.layers.Layer):
    """alpha_m = softmax_m(log(1 + w_m) / tau) (Eq. 14).

    Computed in float32 under any policy: 2-hop edge weights pass float16's range.

    Args:
      temperature: tau; lower is sharper.

    Call arguments:
      edges: float32 [..., K], edge weights w as counted, not smoothed.

    Returns:
      float32 [..., K]; uniform for a node without edges.

    Example:

    >>> MacroWeights(temperature=1.0)(tf.constant([[0.0, 2.0]])).numpy()
    array([[0.25, 0.75]], dtype=float32)
    """

    def __init__(self, *, temperature: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        if temperature <= 0:
            raise ValueError(f"temperature: must be above 0, got {temperature}")
        self.temperature = temperature

    def levels(self, edges: tf.Tensor) -> tf.Tensor:
        """log(1 + w_m) / tau, what the softmax is of: float32 [..., K]."""
        return tf.math.log1p(edges) / self.temperature

    def call(self, edges: tf.Tensor) -> tf.Tensor:
        return tf.nn.softmax(self.levels(edges))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "temperature": self.temperature}
