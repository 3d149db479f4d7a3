"""How well the macro edges of a user and an item match."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from mgoe_tf.layers.macro_weights import MacroWeights
from mgoe_tf.layers.neighbor_sets import NODES, OWNERS
from mgoe_tf.layers.user_rows import by_row

# Sets of a user and of an item whose neighbours are the same macro nodes.
MATCHES = (("user_1hop", "item_2hop"), ("user_2hop", "item_1hop"))
# Sums of edges reach some thousands; their logarithms are brought to the size of the rest.
_SCALE = 0.2


def edge_totals(edges: tf.Tensor) -> tf.Tensor:
    """[sum W = 0] and log(1 + sum W) / 5 of edge weights [..., K], float32: [..., 2]."""
    total = tf.reduce_sum(edges, axis=-1, keepdims=True)
    return tf.concat([tf.cast(total <= 0, tf.float32), _SCALE * tf.math.log1p(total)], axis=-1)


class MacroMatch(tf.keras.layers.Layer):
    """What the macro edges of a row say at once, without weights: [B, 6].

    An addition to the paper. In this order:

        log(K sum_m alpha_u1,m alpha_i2,m)    over item macro nodes; 0 where either is uniform
        log(K sum_m alpha_u2,m alpha_i1,m)    over user macro nodes
        [sum W_u1 = 0],  log(1 + sum W_u1) / 5    of the user: whether there are edges, and how many
        [sum W_i1 = 0],  log(1 + sum W_i1) / 5    of the item

    The experts see shares of edges only (Eq. 14), which are the same for a node that is new and one
    that is tied to all macro nodes alike. Everything is float32 under any policy.

    Args:
      temperature: tau of Eq. 14.

    Call arguments:
      edges: edge weights by neighbour set, float32 [B, K], not smoothed.
      user_row: int32 [B], where rows share users: the edges of users are then [R, K].

    Returns:
      float32 [B, 6].

    Example:

    >>> edges = {name: tf.constant([[0.0, 2.0]]) for name in NODES}
    >>> MacroMatch(temperature=1.0)(edges).numpy().round(3)
    array([[0.223, 0.223, 0.   , 0.22 , 0.   , 0.22 ]], dtype=float32)
    """

    width = 6

    def __init__(self, *, temperature: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.macro_weights = MacroWeights(temperature=temperature)

    def call(self, edges: Mapping[str, tf.Tensor], user_row: tf.Tensor | None = None) -> tf.Tensor:
        def of_rows(name: str, values: tf.Tensor) -> tf.Tensor:
            return by_row(values, user_row if OWNERS[name] == "user" else None)

        alphas = {name: of_rows(name, self.macro_weights(edges[name])) for name in NODES}
        found = []
        for of_user, of_item in MATCHES:
            num_macro_nodes = float(alphas[of_user].shape[-1])
            common = tf.reduce_sum(alphas[of_user] * alphas[of_item], axis=-1, keepdims=True)
            found.append(tf.math.log(num_macro_nodes * common))
        for name in ("user_1hop", "item_1hop"):
            found.append(of_rows(name, edge_totals(edges[name])))
        return tf.concat(found, axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "temperature": self.macro_weights.temperature}
