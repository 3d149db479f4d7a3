"""A network that goes on from what depends on one node alone.

Axes: V nodes, B users with N candidates each, T tasks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

# What an export keeps of every node: features and sums of embeddings, or the state of a network.
NODE_STATES = ("none", "full")
State = Mapping[str, tf.Tensor]


class NodeNetwork:
    """States of users and items, and the network from there to logits.

    An export makes one of a trained model (`RankingModel.node_network`), keeps the state of every
    node, and serves `logits`. This one is of models whose network reads x = [x_u ; x_i ; x_c] alone
    by layers that take `SplitRows`: states are x_u and x_i, and what the first layers make of x_u
    is computed once a user.

    Args:
      model: a `RankingModel`, built; its weights do not change any more.

    Attributes:
      by_task: names of arrays [V, T, D] that `logits` takes as [T, B, D] or [T, B, N, D].
    """

    by_task: frozenset[str] = frozenset()

    def __init__(self, model: Any) -> None:
        self._model = model

    def state(
        self, owner: str, features: Mapping[str, tf.Tensor], sums: Mapping[str, tf.Tensor]
    ) -> dict[str, tf.Tensor]:
        """The state of nodes, [V, ...] by name, float32 or int32.

        Args:
          owner: `user` or `item`.
          features: encoded, of the owner, those that enter the network as they are.
          sums: of the owner's lookups, as `RankingModel.sums` gives them.
        """
        return {"x": self._model.node_inputs(owner, features, sums)}

    def logits(self, user: State, items: State, context: tf.Tensor | None = None) -> tf.Tensor:
        """What `RankingModel.network` gives without training: float32 [T, B, N].

        Args:
          user: states of users, [B, ...], or as `by_task` says.
          items: of each user's candidates, [B, N, ...], or as `by_task` says.
          context: x_c, [B, D], where the data have any.
        """
        inputs = {"user": user["x"], "item": items["x"]}
        if context is not None:
            inputs["context"] = context
        logits = self._model.network(inputs)
        names = self._model.spec.task_names
        # rows: [T, B N]
        rows = tf.stack([tf.cast(logits[task], tf.float32) for task in names])
        return tf.reshape(rows, tf.concat([[len(names)], tf.shape(items["x"])[:2]], axis=0))
