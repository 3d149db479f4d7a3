"""Numeric features as inputs of a network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from input_pipeline.feature import Transform


class NumericInputs(tf.keras.layers.Layer):
    """(f(x) - mean) / deviation of each number, f as its `Transform` says, one after the other.

    A missing number, NaN, reads as the mean: 0. Where a feature had missing values when its
    statistics were taken, a second number for each of its own says whether it is missing, 0 or 1.

    Everything is float32 under any policy.

    Args:
      transforms: by name of the feature.

    Call arguments:
      features: float32 [B] or [B, W] by name, raw; at least those in `transforms`.

    Returns:
      float32 [B, W of all].

    Example:

    >>> price = Transform("log", mean=(1.0,), deviation=(2.0,), has_missing=True)
    >>> inputs = NumericInputs(transforms={"price": price})
    >>> inputs({"price": tf.constant([0.0, float("nan")])}).numpy()
    array([[-0.5,  0. ],
           [ 0. ,  1. ]], dtype=float32)
    """

    def __init__(self, *, transforms: Mapping[str, Transform], **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.transforms = dict(transforms)

    @property
    def width(self) -> int:
        """How many numbers come out of a row."""
        return sum(len(t.mean) * (1 + t.has_missing) for t in self.transforms.values())

    def call(self, features: Mapping[str, tf.Tensor]) -> tf.Tensor:
        parts = []
        for name, transform in self.transforms.items():
            # values: [B, W]
            values = tf.reshape(features[name], [-1, len(transform.mean)])
            missing = tf.math.is_nan(values)
            if transform.kind == "log":
                values = tf.sign(values) * tf.math.log1p(tf.abs(values))
            scaled = (values - transform.mean) / transform.deviation
            parts.append(tf.where(missing, 0.0, scaled))
            if transform.has_missing:
                parts.append(tf.cast(missing, tf.float32))
        return tf.concat(parts, axis=-1)

    def get_config(self) -> dict[str, Any]:
        transforms = {name: vars(transform) for name, transform in self.transforms.items()}
        return {**super().get_config(), "transforms": transforms}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> NumericInputs:
        transforms = {name: Transform.from_json(t) for name, t in config["transforms"].items()}
        return cls(**{**config, "transforms": transforms})
