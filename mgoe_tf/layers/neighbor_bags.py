"""Micro neighbours of the target nodes as weighted lists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from mgoe_tf.layers.id_embeddings import Bags

NEIGHBOR_WEIGHTS = ("score", "one")


class NeighborBags(tf.keras.layers.Layer):
    """Weights of the micro neighbours in n^t_v = sum_j w_vj e_j (Eq. 18), without the padding.

    Args:
      neighbor_weights: `score`: w_vj = s_vj / sum_j s_vj; `one`: w_vj = 1.

    Call arguments:
      neighbors: int32 [T, B, L] by column: embedding rows of the neighbours by each task, and of
        their side features.
      scores: float32 [T, B, L], s_vj; an entry whose score is 0 is padding.

    Returns:
      `Bags` of T * B lists in that order, by column; a node without neighbours has an empty list,
      whose sum is the zero vector.

    Example:

    >>> neighbors = {"item_id": tf.constant([[[4, 5, 0]]])}
    >>> NeighborBags()(neighbors, tf.constant([[[1.0, 3.0, 0.0]]]))["item_id"].weights.numpy()
    array([0.25, 0.75], dtype=float32)
    """

    def __init__(self, *, neighbor_weights: str = "score", **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        if neighbor_weights not in NEIGHBOR_WEIGHTS:
            raise ValueError(
                f"neighbor_weights: must be one of {NEIGHBOR_WEIGHTS}, got {neighbor_weights!r}"
            )
        self.neighbor_weights = neighbor_weights

    def call(self, neighbors: Mapping[str, tf.Tensor], scores: tf.Tensor) -> dict[str, Bags]:
        length = tf.shape(scores)[-1]
        flat = tf.reshape(scores, [-1])
        # present: [N], places of the entries that are not padding
        present = tf.cast(tf.squeeze(tf.where(flat > 0.0), axis=1), tf.int32)
        bag_of = tf.truncatediv(present, tf.maximum(length, 1))
        if self.neighbor_weights == "one":
            weights = tf.ones_like(present, tf.float32)
        else:
            # Divided before the entries are picked: one gather less. A list may have no neighbour.
            totals = tf.reduce_sum(scores, axis=-1, keepdims=True)
            shares = tf.math.divide_no_nan(scores, totals)
            weights = tf.gather(tf.reshape(shares, [-1]), present)
        size = tf.reduce_prod(tf.shape(scores)[:-1])
        return {
            column: Bags(tf.gather(tf.reshape(ids, [-1]), present), weights, bag_of, size)
            for column, ids in neighbors.items()
        }

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "neighbor_weights": self.neighbor_weights}
