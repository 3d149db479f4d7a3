"""Batch normalisation whose answers in serving do not depend on the batch."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


class BatchNorm(tf.keras.layers.Layer):
    """gamma (x - mean) / sqrt(variance + epsilon) + beta, unit by unit.

    In training mean and variance are those of the batch, and the moving statistics go
    `momentum * old + (1 - momentum) * batch`; else they are the moving ones, so that a row's answer
    is its own. Moving statistics are weights that no gradient reaches: checkpoints hold them.

    With several replicas the batch is that of all of them: the statistics are summed over the
    replicas. Inside a function that is compiled by itself, as a training step that XLA compiles,
    there can be no such sums: there each replica has the statistics of its own rows, and the moving
    ones are the replicas' means.

    The variance is the biased one, in the moving statistics too. Everything is float32 under any
    policy; outputs have the dtype of the inputs. A layer before this one needs no bias: the
    mean takes it out.

    Args:
      epsilon: added to variances, above 0.
      momentum: what is kept of the moving statistics in a step, in [0, 1).
      affine: whether there are gamma and beta.

    Call arguments:
      inputs: [..., B, H]; what is before the rows is a stack, of tasks or experts, each with
        weights and statistics of its own.
      training: whether to use the statistics of the batch.

    Returns:
      As the inputs.

    Example:

    >>> BatchNorm()(tf.constant([[1.0], [3.0]]), training=True).numpy().round(3)
    array([[-1.],
           [ 1.]], dtype=float32)
    """

    def __init__(
        self,
        *,
        epsilon: float = 1e-5,
        momentum: float = 0.9,
        affine: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{**kwargs, "dtype": "float32", "autocast": False})
        if not epsilon > 0:
            raise ValueError(f"epsilon: must be above 0, got {epsilon}")
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum: must be in [0, 1), got {momentum}")
        self.epsilon = epsilon
        self.momentum = momentum
        self.affine = affine

    def build(self, input_shape: Any) -> None:
        # shape: [..., 1, H]
        shape = [*input_shape[:-2], 1, input_shape[-1]]
        if self.affine:
            self.gamma = self.add_weight(name="gamma", shape=shape, initializer="ones")
            self.beta = self.add_weight(name="beta", shape=shape, initializer="zeros")
        moving: dict[str, Any] = {
            "shape": shape,
            "trainable": False,
            "synchronization": tf.VariableSynchronization.ON_READ,
            "aggregation": tf.VariableAggregation.MEAN,
        }
        self.moving_mean = self.add_weight(name="moving_mean", initializer="zeros", **moving)
        self.moving_variance = self.add_weight(name="moving_variance", initializer="ones", **moving)
        super().build(input_shape)

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        values = tf.cast(inputs, tf.float32)
        if training:
            mean, variance = self._moments(values)
            for moving, found in ((self.moving_mean, mean), (self.moving_variance, variance)):
                moving.assign(self.momentum * moving + (1.0 - self.momentum) * found)
        else:
            mean = tf.convert_to_tensor(self.moving_mean)
            variance = tf.convert_to_tensor(self.moving_variance)
        normal = (values - mean) * tf.math.rsqrt(variance + self.epsilon)
        if self.affine:
            normal = normal * self.gamma + self.beta
        return tf.cast(normal, inputs.dtype)

    def _moments(self, values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Mean and variance of the rows of all replicas: [..., 1, H]."""
        count = tf.cast(tf.shape(values)[-2], tf.float32)
        # The rows' own mean first: a sum of squares far from 0 would lose the variance.
        mean = tf.reduce_mean(values, axis=-2, keepdims=True)
        variance = tf.reduce_mean(tf.square(values - mean), axis=-2, keepdims=True)
        if tf.distribute.get_strategy().num_replicas_in_sync == 1:
            return mean, variance
        context = tf.distribute.get_replica_context()
        try:
            total, of_all = context.all_reduce("sum", [count, count * mean])
            of_all /= total
            spread = count * (variance + tf.square(mean - of_all))
            return of_all, context.all_reduce("sum", spread) / total
        except RuntimeError:  # in a graph within that of the replica
            return mean, variance

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "epsilon": self.epsilon,
            "momentum": self.momentum,
            "affine": self.affine,
        }
