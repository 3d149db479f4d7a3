"""The bank of macro graph experts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import tensorflow as tf

from mgoe_tf.layers.expert_bank import ExpertBank
from mgoe_tf.layers.neighbor_sets import NODES, OWNERS, QUERIES
from mgoe_tf.layers.task_gates import mix
from mgoe_tf.layers.user_rows import by_row


@tf.custom_gradient
def weighted_softmax(logits: tf.Tensor, weights: tf.Tensor) -> Any:
    """softmax(logits) times weights, over the last axis.

    With r = softmax(l) and p = r w the gradient with respect to l is p d - r sum(p d), d that with
    respect to p: one pass less than those of both one after the other.

    Args:
      logits: float32 [T, X, B, K].
      weights: float32 [B, K].

    Returns:
      float32 [T, X, B, K].
    """
    softmax = tf.nn.softmax(logits)
    weighted = softmax * weights

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        products = weighted * upstream
        of_logits = products - softmax * tf.reduce_sum(products, axis=-1, keepdims=True)
        return of_logits, tf.reduce_sum(softmax * upstream, axis=[0, 1])

    return weighted, gradient


class Projection(NamedTuple):
    """The macro nodes of one neighbour set as the experts see them; does not depend on the row.

    Attributes:
      scores: [T, X, D, K], W_Q (z_m W_K)^T / sqrt(h): a query times this is Eq. 16 before softmax.
      values: [T, X, K, H], K z_m W_V.
    """

    scores: tf.Tensor
    values: tf.Tensor


class MacroGraphExperts(ExpertBank):
    """sum_j g_j MGE_j(x) with MGE(x) = [v_u1 ; v_u2 ; v_i1 ; v_i2], for every task (Eq. 13, 15-17).

    v_s = K sum_m alpha_m r_m (z_m W_V), with r_m = softmax_m((q W_Q) . (z_m W_K) / sqrt(h)). Shared
    experts see each task's macro embeddings through the same W_Q, W_K and W_V. q W_Q (Z W_K)^T is
    multiplied out from the right. Gates weigh the heads, of which there are fewer numbers than of
    weights, and all four sets at once.

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
      user_row: int32 [B], where rows share users: queries and macro weights of users are then of R
        users.

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
        scores = tf.matmul(kernels["query"], keys, transpose_b=True)
        return Projection(scores=scores, values=values)

    def scores(self, name: str, queries: Mapping[str, tf.Tensor], scores: tf.Tensor) -> tf.Tensor:
        """What r of one neighbour set is the softmax of, for each query: float32 [T, X, B, K]."""
        query = tf.cast(queries[self.query_of[name]], scores.dtype)
        return tf.cast(tf.matmul(query, scores), tf.float32)

    def attention(
        self,
        name: str,
        queries: Mapping[str, tf.Tensor],
        scores: tf.Tensor,
        user_row: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """r of one neighbour set (Eq. 16): float32 [T, X, B, K]."""
        attention = tf.nn.softmax(self.scores(name, queries, scores))
        # That of a user does not depend on the row.
        return by_row(attention, user_row if self.query_of[name] == "user" else None, axis=2)

    def call(
        self,
        queries: Mapping[str, tf.Tensor],
        alphas: Mapping[str, tf.Tensor],
        projections: Mapping[str, Projection],
        gates: tf.Tensor,
        user_row: tf.Tensor | None = None,
    ) -> tf.Tensor:
        heads = []
        for name, (scores, values) in projections.items():
            alpha = alphas[name]
            # A set of a user's edges and query is computed once a user.
            is_of_user = (OWNERS[name], self.query_of[name]) == ("user", "user")
            if user_row is not None and self.query_of[name] == "user" and not is_of_user:
                weights = self.attention(name, queries, scores, user_row) * alpha
            else:
                alpha = by_row(alpha, None if is_of_user or OWNERS[name] == "item" else user_row)
                weights = weighted_softmax(self.scores(name, queries, scores), alpha)
            head = tf.matmul(tf.cast(weights, values.dtype), values)
            heads.append(by_row(head, user_row if is_of_user else None, axis=2))
        # outputs: [T, X, B, 4 H]
        outputs = tf.concat(heads, axis=-1)
        return mix(outputs, gates)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "attention_query": self.attention_query,
        }
