"""Answers of `rank_ids` from what was computed of every node.

Axes: B users, N candidates of a user, T tasks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import tensorflow as tf

from export.graph_tables import GraphTables
from export.rows import same_users
from export.score_weights import SCORE
from mgoe_tf.models.node_network import NodeNetwork


class StateRanking:
    """From raw ids to probabilities, by the states of nodes and the network from there.

    Args:
      tables: of `user` and `item`, with states.
      network: that the states are of.
      task_names: T of them.
      weights: of the tasks in the score, which sum to 1.
    """

    def __init__(
        self,
        tables: Mapping[str, GraphTables],
        network: NodeNetwork,
        task_names: Sequence[str],
        weights: Sequence[float],
    ) -> None:
        self._tables, self._network = tables, network
        self._task_names, self._weights = task_names, weights

    def __call__(
        self, features: Mapping[str, tf.Tensor], context: tf.Tensor | None = None
    ) -> dict[str, tf.Tensor]:
        """Probabilities [B, N] by task and `score` [B, N], float32.

        Args:
          features: raw ids [B] and [B, N], and those of the context [B, ...].
          context: x_c, [B, D], where the data have any.
        """
        with tf.control_dependencies(same_users(features)):
            item_id = tf.identity(features["item_id"])
        user_id = features["user_id"]
        users, of_items = tf.shape(user_id)[0], tf.shape(item_id)[0]
        # One user would be broadcast. Not by `assert_equal`, whose branch costs ten times this.
        text = "user_id must be of as many users as item_id, got"
        tf.raw_ops.Assert(condition=users == of_items, data=[text, users, of_items])
        with tf.name_scope("tables"):
            user = self._tables["user"].states(user_id)
            items = self._tables["item"].states(item_id)
        # logits: [T, B, N]
        logits = self._network.logits(user, items, context)
        with tf.name_scope("outputs"):
            probabilities = tf.unstack(tf.math.sigmoid(logits), len(self._task_names))
            outputs = dict(zip(self._task_names, probabilities, strict=True))
            # log_sigmoid(x) = -softplus(-x)
            weights = tf.constant([[[-weight]] for weight in self._weights])
            logs = tf.reduce_sum(weights * tf.math.softplus(-logits), axis=0)
            outputs[SCORE] = tf.exp(logs)
        return outputs
