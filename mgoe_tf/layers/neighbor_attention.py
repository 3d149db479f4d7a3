"""A node's own vector and an attentive mean of its neighbours'."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


class NeighborAttention(tf.keras.layers.Layer):
    """ReLU(W_self h + W_nb sum_n alpha_n h_n), alpha = softmax_n LeakyReLU(a^T [h ; h_n]).

    The softmax is over the neighbours that there are; without any the sum is the zero vector.
    Everything is float32 under any policy, as the embeddings that it reads are.

    Args:
      units: H.
      slope: of LeakyReLU below 0.

    Call arguments:
      nodes: [N, D], h.
      neighbors: [N, L, D], h_n.
      present: bool [N, L], which neighbours there are.

    Returns:
      float32 [N, H].

    Example:

    >>> layer = NeighborAttention(units=4)
    >>> layer(tf.zeros([5, 3]), tf.zeros([5, 2, 3]), tf.ones([5, 2], tf.bool)).shape
    TensorShape([5, 4])
    """

    def __init__(self, *, units: int, slope: float = 0.2, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        if units < 1:
            raise ValueError(f"units: must be at least 1, got {units}")
        if not 0 <= slope < 1:
            raise ValueError(f"slope: must be in [0, 1), got {slope}")
        self.units = units
        self.slope = slope

    def build(self, input_shape: Any) -> None:
        dim = input_shape[-1]
        self.self_kernel = self.add_weight(name="self_kernel", shape=[dim, self.units])
        self.neighbor_kernel = self.add_weight(name="neighbor_kernel", shape=[dim, self.units])
        # a, its part of the node and its part of the neighbour
        self.score_kernel = self.add_weight(name="score_kernel", shape=[2, dim])
        super().build(input_shape)

    def attention(self, nodes: tf.Tensor, neighbors: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
        """alpha, [N, L]; 0 of neighbours that there are not."""
        of_node, of_neighbor = tf.unstack(tf.convert_to_tensor(self.score_kernel))
        # scores: [N, L]
        scores = tf.nn.leaky_relu(
            tf.linalg.matvec(nodes, of_node)[:, tf.newaxis]
            + tf.linalg.matvec(neighbors, of_neighbor),
            alpha=self.slope,
        )
        lowest = tf.constant(-1e30)
        largest = tf.reduce_max(tf.where(present, scores, lowest), axis=1, keepdims=True)
        shares = tf.exp(tf.where(present, scores - largest, lowest))
        return tf.math.divide_no_nan(shares, tf.reduce_sum(shares, axis=1, keepdims=True))

    def call(self, nodes: tf.Tensor, neighbors: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
        alpha = self.attention(nodes, neighbors, present)
        # mean: [N, D]
        mean = tf.squeeze(tf.matmul(alpha[:, tf.newaxis], neighbors), axis=1)
        own = tf.matmul(nodes, self.self_kernel)
        return tf.nn.relu(own + tf.matmul(mean, self.neighbor_kernel))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units, "slope": self.slope}
