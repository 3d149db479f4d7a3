"""What a task hands over to the task after it."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from mgoe_tf.layers.batch_norm import BatchNorm
from mgoe_tf.layers.dropout import Dropout
from mgoe_tf.layers.initializers import StackedGlorotUniform


class InformationTransfer(tf.keras.layers.Layer):
    """z_1 = q_1, z_t = sum of w_u u V over u in {q_t, p_t}, with p_t = G_{t-1}(z_{t-1}).

        G_t = Dense, batch normalisation, ReLU, dropout
        w   = softmax over the two of <u Q, u K> / sqrt(k)    query and key of the same vector

    Q, K and V have no bias, and all transitions share them. The softmax is float32 under any
    policy.

    Args:
      num_tasks: T.
      batch_norm: whether G normalises; its Dense layer has a bias only where not.
      dropout: rate of G.

    Call arguments:
      inputs: [T, B, k], q_t, in the order of the transfers.

    Returns:
      [T, B, k], z_t.

    Example:

    >>> InformationTransfer(num_tasks=3, batch_norm=True)(tf.zeros([3, 5, 8])).shape
    TensorShape([3, 5, 8])
    """

    def __init__(
        self, *, num_tasks: int, batch_norm: bool, dropout: float = 0.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if num_tasks < 1:
            raise ValueError(f"num_tasks: must be at least 1, got {num_tasks}")
        self.num_tasks = num_tasks
        self.batch_norm = batch_norm
        self.dropout = dropout
        transfers = range(1, num_tasks)
        self.norms = [BatchNorm(name=f"norm_{n}") for n in transfers] if batch_norm else []
        self.dropout_layer = Dropout(rate=dropout)

    def build(self, input_shape: Any) -> None:
        width = input_shape[-1]
        if self.num_tasks > 1:
            self.transfer_kernel = self.add_weight(
                name="transfer_kernel",
                shape=[self.num_tasks - 1, width, width],
                initializer=StackedGlorotUniform(),
            )
            if not self.batch_norm:
                self.transfer_bias = self.add_weight(
                    name="transfer_bias",
                    shape=[self.num_tasks - 1, width],
                    initializer="zeros",
                )
            self.query, self.key, self.value = (
                self.add_weight(name=name, shape=[width, width], initializer=StackedGlorotUniform())
                for name in ("query", "key", "value")
            )
        super().build(input_shape)

    @property
    def score_kernels(self) -> tuple[tf.Variable, ...]:
        """Q and K; () of one task."""
        return (self.query, self.key) if self.num_tasks > 1 else ()

    def transferred(self, number: int, z: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """p = G(z) of a transition, numbered from 0: [B, k]."""
        outputs = tf.matmul(z, self.transfer_kernel[number])
        if self.batch_norm:
            outputs = self.norms[number](outputs, training=training)
        else:
            outputs += self.transfer_bias[number]
        return self.dropout_layer(tf.nn.relu(outputs), training=training)

    def attend(self, own: tf.Tensor, handed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """z_t of q_t and p_t, [B, k], and w_p, the weight of p_t: float32 [B]."""
        # candidates: [2, B, k]; scores: [2, B]
        candidates = tf.stack([own, handed])
        queries, keys, values = (
            tf.einsum("cbi,ij->cbj", candidates, kernel)
            for kernel in (self.query, self.key, self.value)
        )
        products = tf.cast(queries * keys, tf.float32)
        scores = tf.reduce_sum(products, axis=-1) * own.shape[-1] ** -0.5
        weights = tf.nn.softmax(scores, axis=0)
        mixed = tf.reduce_sum(tf.cast(weights, values.dtype)[..., tf.newaxis] * values, axis=0)
        return mixed, weights[1]

    def transfer(
        self, inputs: tf.Tensor, training: bool | None = None
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """z_t, [T, B, k], and of each transition w_p, float32 [B]."""
        first, *others = tf.unstack(inputs, num=self.num_tasks)
        found, weights = [first], []
        for number, own in enumerate(others):
            mixed, weight = self.attend(own, self.transferred(number, found[-1], training))
            found.append(mixed)
            weights.append(weight)
        return tf.stack(found), weights

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        return self.transfer(inputs, training)[0]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_tasks": self.num_tasks,
            "batch_norm": self.batch_norm,
            "dropout": self.dropout,
        }
