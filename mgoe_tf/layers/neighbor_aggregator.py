"""What neighbours of one kind say to a target node."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from mgoe_tf.layers.initializers import StackedGlorotUniform

ATTENTIONS = ("macro", "constant")


class NeighborAggregator(tf.keras.layers.Layer):
    """sum_j softmax_j(l_j + <v_j Q, t K> / sqrt(h)) v_j V of neighbours v_j for a target t.

    With l_j = log w_j this is sum_j w_j a_j v_j V / sum_j w_j a_j, a the softmax of the products
    alone: weights and attention, brought back to the sum 1. With `constant` attention there are
    neither Q nor K, and the softmax is of l alone. The softmax is float32 under any policy.

    Args:
      units: h.
      attention: `macro` or `constant`.

    Call arguments:
      neighbors: [K, D], the same for all rows, or [B, K, D].
      levels: float32 [B, K], l.
      targets: [B, D], t.

    Returns:
      [B, H].

    Example:

    >>> aggregator = NeighborAggregator(units=16)
    >>> aggregator(tf.zeros([30, 8]), tf.zeros([5, 30]), tf.zeros([5, 8])).shape
    TensorShape([5, 16])
    """

    def __init__(self, *, units: int, attention: str = "macro", **kwargs: Any) -> None:
        # What is not a level is cast by hand.
        super().__init__(**{**kwargs, "autocast": False})
        if units < 1:
            raise ValueError(f"units: must be at least 1, got {units}")
        if attention not in ATTENTIONS:
            raise ValueError(f"attention: must be one of {ATTENTIONS}, got {attention!r}")
        self.units = units
        self.attention = attention

    def build(self, input_shape: Any) -> None:
        def add(name: str) -> tf.Variable:
            shape = [input_shape[-1], self.units]
            return self.add_weight(name=name, shape=shape, initializer=StackedGlorotUniform())

        self.value = add("value")
        if self.attention == "macro":
            self.query, self.key = add("query"), add("key")
        super().build(input_shape)

    @property
    def score_kernels(self) -> tuple[tf.Variable, ...]:
        """Q and K; () with `constant` attention."""
        return (self.query, self.key) if self.attention == "macro" else ()

    def project(self, sums: tf.Tensor) -> tf.Tensor:
        """V of sums of neighbours: [B, D] to [B, H]."""
        return tf.matmul(tf.cast(sums, self.compute_dtype), self._kernel(self.value))

    def scores(self, neighbors: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """<v_j Q, t K> / sqrt(h): float32 [B, K]; 0 with `constant` attention."""
        neighbors, targets = (tf.cast(x, self.compute_dtype) for x in (neighbors, targets))
        if self.attention == "constant":
            return tf.zeros([tf.shape(targets)[0], tf.shape(neighbors)[-2]])
        # t (K Q^T) first: [B, D] times each neighbour
        product = tf.matmul(self._kernel(self.key), self._kernel(self.query), transpose_b=True)
        if neighbors.shape.rank == 2:
            found = tf.matmul(targets, tf.matmul(product, neighbors, transpose_b=True))
        else:
            found = tf.einsum("bd,bjd->bj", tf.matmul(targets, product), neighbors)
        return tf.cast(found, tf.float32) * self.units**-0.5

    def call(self, neighbors: tf.Tensor, levels: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        logits = levels
        if self.attention == "macro":
            logits += self.scores(neighbors, targets)
        neighbors = tf.cast(neighbors, self.compute_dtype)
        weights = tf.cast(tf.nn.softmax(logits), self.compute_dtype)
        if neighbors.shape.rank == 2:
            return tf.matmul(weights, self.project(neighbors))
        return self.project(tf.einsum("bj,bjd->bd", weights, neighbors))

    def _kernel(self, weight: tf.Variable) -> tf.Tensor:
        return tf.cast(weight, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units, "attention": self.attention}
