"""The bank of macro graph experts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import tensorflow as tf

from mgoe_tf.layers.expert_bank import ExpertBank
from mgoe_tf.layers.neighbor_sets import NODES, QUERIES
from mgoe_tf.layers.user_rows import by_row


class Projection(NamedTuple):
    """The macro nodes of one neighbour set as the experts see them; does not depend on the row.

    Attributes:
      scores: [T, D, X * K], W_Q (z_m W_K)^T / sqrt(h): a query times this is Eq. 16 before softmax.
      values: [T, X * K, H], K z_m W_V.
    """

    scores: tf.Tensor
    values: tf.Tensor


class MacroGraphExperts(ExpertBank):
    """sum_j g_j MGE_j(x) with MGE(x) = [v_u1 ; v_u2 ; v_i1 ; v_i2], for every task (Eq. 13, 15-17).

    v_s = K sum_m alpha_m r_m (z_m W_V), with r_m = softmax_m((q W_Q) . (z_m W_K) / sqrt(h)). Shared
    experts see each task's macro embeddings through the same W_Q, W_K and W_V. q W_Q (Z W_K)^T is
    multiplied out from the right, and the sum over experts is taken with that over macro nodes: a
    row costs two products a set, whatever the number of experts.

    Both softmaxes are over the macro nodes, in float32 under any policy. Deviation from the prose:
    the query is the target node of the same kind as the macro nodes (`target`), as in MacGNN's
    code; `owner` takes the node whose neighbours they are.

    Args:
      units: h, width of a head.
      attention_query: `target` or `owner`.
      num_tasks, num_shared, num_task_experts: see `ExpertBank`.

    Call arguments:
      queries: `{"user": [B, D_u], "item": [B, D_i]}`, x_u and x_i.
      alphas: macro weights (Eq. 14) by neighbour set, float32 [B, K].
      projections: of each set, from `project`.
      gates: g, float32 [T, B, X].

    Returns:
      [T, B, 4 H], in the order of `NODES`.

    Example:

    >>> experts = MacroGraphExperts(num_tasks=4, num_shared=2, num_task_experts=1, units=16)
    >>> experts.build_for({"user": 10, "item": 20}, dim=10)
    >>> tables = {"user": tf.zeros([4, 30, 10]), "item": tf.zeros([4, 30, 10])}
    >>> queries = {"user": tf.zeros([5, 10]), "item": tf.zeros([5, 20])}
    >>> alphas = {name: tf.fill([5, 30], 1 / 30) for name in NODES}
    >>> gates = tf.fill([4, 5, 3], 1 / 3)
    >>> experts(queries, alphas, experts.project(tables), gates).shape
    TensorShape([4, 5, 64])
    """

    def __init__(self, *, units: int, attention_query: str = "target", **kwargs: Any) -> None:
        # Queries are cast by hand: the macro weights that come with them stay float32.
        super().__init__(**{**kwargs, "autocast": False})
        if units < 1:
            raise ValueError(f"units: must be at least 1, got {units}")
        if attention_query not in QUERIES:
            raise ValueError(
                f"attention_query: must be one of {tuple(QUERIES)}, got {attention_query!r}"
            )
        self.units = units
        self.attention_query = attention_query
        self.query_of = QUERIES[attention_query]

    def build_for(self, query_dims: Mapping[str, int], dim: int) -> None:
        """Makes the weights for queries of these widths and macro embeddings of width `dim`."""
        self.kernels = {
            name: {
                "query": self.add_expert_weight(
                    f"{name}_query", [query_dims[self.query_of[name]], self.units]
                ),
                "key": self.add_expert_weight(f"{name}_key", [dim, self.units]),
                "value": self.add_expert_weight(f"{name}_value", [dim, self.units]),
            }
            for name in NODES
        }
        self.built = True

    @property
    def score_kernels(self) -> tuple[tf.Variable, ...]:
        """W_Q and W_K of every set."""
        return tuple(
            kernels[role] for kernels in self.kernels.values() for role in ("query", "key")
        )

    def project(self, tables: Mapping[str, tf.Tensor]) -> dict[str, Projection]:
        """Projects the macro embeddings Z^t, once for all rows.

        Args:
          tables: `{"user": [T, K_U, D], "item": [T, K_I, D]}`.
        """
        return {name: self._project(name, tables[nodes]) for name, nodes in NODES.items()}

    def _project(self, name: str, table: tf.Tensor) -> Projection:
        kernels = {role: self.by_task(kernel) for role, kernel in self.kernels[name].items()}
        # nodes: [T, 1, K, D]; keys and values: [T, X, K, H]
        nodes = tf.cast(table, self.compute_dtype)[:, tf.newaxis]
        keys = tf.matmul(nodes, kernels["key"]) * self.units**-0.5
        values = tf.matmul(nodes, kernels["value"]) * float(table.shape[1])
        # scores: [T, X, D, K]
        scores = tf.matmul(kernels["query"], keys, transpose_b=True)
        columns = self.experts_of_task * table.shape[1]
        return Projection(
            scores=tf.reshape(
                tf.transpose(scores, [0, 2, 1, 3]), [self.num_tasks, scores.shape[2], columns]
            ),
            values=tf.reshape(values, [self.num_tasks, columns, self.units]),
        )

    def attention(
        self,
        name: str,
        queries: Mapping[str, tf.Tensor],
        scores: tf.Tensor,
        user_row: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """r of one neighbour set (Eq. 16): float32 [T, B, X, K]."""
        query = tf.cast(queries[self.query_of[name]], scores.dtype)
        # logits: [T, B, X * K]
        logits = tf.cast(tf.matmul(query, scores), tf.float32)
        num_macro_nodes = scores.shape[-1] // self.experts_of_task
        shape = [self.num_tasks, -1, self.experts_of_task, num_macro_nodes]
        attention = tf.nn.softmax(tf.reshape(logits, shape))
        # That of a user does not depend on the row.
        return by_row(attention, user_row if self.query_of[name] == "user" else None, axis=1)

    def call(
        self,
        queries: Mapping[str, tf.Tensor],
        alphas: Mapping[str, tf.Tensor],
        projections: Mapping[str, Projection],
        gates: tf.Tensor,
        user_row: tf.Tensor | None = None,
    ) -> tf.Tensor:
        outputs = []
        for name, (scores, values) in projections.items():
            # shares: [T, B, X, K], g_j alpha_m; weights: [T, B, X * K]
            shares = gates[..., tf.newaxis] * alphas[name][:, tf.newaxis]
            weights = tf.reshape(
                shares * self.attention(name, queries, scores, user_row),
                [self.num_tasks, -1, scores.shape[-1]],
            )
            outputs.append(tf.matmul(tf.cast(weights, values.dtype), values))
        return tf.concat(outputs, axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "attention_query": self.attention_query,
        }
