"""The macro graph bottom: macro graph experts mixed by gates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from mgoe_tf.layers.macro_embeddings import MacroEmbeddings
from mgoe_tf.layers.macro_graph_experts import MacroGraphExperts
from mgoe_tf.layers.macro_weights import MacroWeights
from mgoe_tf.layers.neighbor_sets import NODES, OWNERS
from mgoe_tf.layers.task_gates import TaskGates, mix
from mgoe_tf.layers.user_rows import by_row


class MacroGraphBottom(tf.keras.layers.Layer):
    """h_t = sum_j g_tj MGE_j with g_t = softmax(c_t G_t) (Eq. 12, 13).

    c_t = [x ; for each neighbour set: sum_m alpha_m z_m]. All experts of task t see its macro
    embeddings.

    Args:
      num_tasks: T.
      num_macro_nodes: K_U and K_I, under the keys `user` and `item`.
      dim: d, width of macro embeddings.
      units: h, width of an expert's head.
      num_shared, num_task_experts: n_s and n_t.
      temperature: tau of Eq. 14.
      attention_query: see `MacroGraphExperts`.
      gate_temperature: of the gates' softmax (`TaskGates`).

    Call arguments:
      targets: `{"user": [B, D_u], "item": [B, D_i]}`, x_u and x_i; the gates also see `context`
        [B, D_c], x_c, where there is one.
      edges: edge weights by neighbour set, float32 [B, K].
      user_row: int32 [B], where rows share users: `targets` and `edges` of users are then of R
        users, and what depends on the user alone is computed R times.

    Returns:
      [T, B, 4 H].

    Example:

    >>> bottom = MacroGraphBottom(
    ...     num_tasks=4, num_macro_nodes={"user": 30, "item": 30}, dim=10, units=16,
    ...     num_shared=2, num_task_experts=1,
    ... )
    >>> targets = {"user": tf.zeros([5, 10]), "item": tf.zeros([5, 20])}
    >>> bottom(targets, {name: tf.zeros([5, 30]) for name in NODES}).shape
    TensorShape([4, 5, 64])
    """

    def __init__(
        self,
        *,
        num_tasks: int,
        num_macro_nodes: dict[str, int],
        dim: int,
        units: int,
        num_shared: int,
        num_task_experts: int,
        temperature: float = 1.0,
        attention_query: str = "target",
        gate_temperature: float = 1.0,
        **kwargs: Any,
    ) -> None:
        # Edge weights must arrive uncast: 2-hop weights pass float16's range.
        super().__init__(**{**kwargs, "autocast": False})
        self.num_tasks = num_tasks
        self.num_macro_nodes = dict(num_macro_nodes)
        self.dim = dim
        self.units = units
        self.num_shared = num_shared
        self.num_task_experts = num_task_experts
        self.temperature = temperature
        self.attention_query = attention_query
        self.gate_temperature = gate_temperature
        self.macro_weights = MacroWeights(temperature=temperature)
        self.macro_embeddings = MacroEmbeddings(
            num_tasks=num_tasks, num_macro_nodes=num_macro_nodes, dim=dim
        )
        self.experts = MacroGraphExperts(
            num_tasks=num_tasks,
            num_shared=num_shared,
            num_task_experts=num_task_experts,
            units=units,
            attention_query=attention_query,
        )
        self.gates = TaskGates(
            num_tasks=num_tasks,
            num_experts=num_shared + num_task_experts,
            temperature=gate_temperature,
        )

    def build(self, input_shape: Any) -> None:
        query_dims = {kind: shape[-1] for kind, shape in input_shape.items()}
        with tf.name_scope(self.experts.name):
            self.experts.build_for(query_dims, self.dim)
        # The gates' kernel has the rows of c_t: those of x, then D for each neighbour set.
        self.gate_parts = [sum(query_dims.values()), *[self.dim] * len(NODES)]
        with tf.name_scope(self.gates.name):
            self.gates.build([None, sum(self.gate_parts)])
        super().build(input_shape)

    def alphas(self, edges: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Macro weights by neighbour set, float32 [B, K]; those of users are [R, K]."""
        return {name: self.macro_weights(edges[name]) for name in OWNERS}

    def gate_weights(
        self,
        targets: Mapping[str, tf.Tensor],
        alphas: Mapping[str, tf.Tensor],
        tables: Mapping[str, tf.Tensor],
        user_row: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """g_t: float32 [T, B, X]."""
        # (sum_m alpha_m z_m) G = alpha (Z G), and Z G does not depend on the row: the gates see
        # [x ; alphas] and the tasks' [B, 4 D] summaries are never made.
        of_row = {**targets, "user": by_row(targets["user"], user_row)}
        inputs = tf.concat([*of_row.values(), *_by_row(alphas, user_row).values()], axis=-1)
        own, *by_set = tf.split(
            tf.cast(self.gates.kernel, self.compute_dtype), self.gate_parts, axis=1
        )
        folded = [
            tf.matmul(tables[nodes], part)
            for nodes, part in zip(NODES.values(), by_set, strict=True)
        ]
        # kernel: [T, D_u + D_i + D_c + 4 K, X]
        kernel = tf.concat([own, *folded], axis=1)
        return self.gates(tf.cast(inputs, self.compute_dtype), kernel)

    def call(
        self,
        targets: Mapping[str, tf.Tensor],
        edges: Mapping[str, tf.Tensor],
        user_row: tf.Tensor | None = None,
    ) -> tf.Tensor:
        tables = self.tables()
        alphas = self.alphas(edges)
        gates = self.gate_weights(targets, alphas, tables, user_row)
        return self.experts(targets, alphas, self.experts.project(tables), gates, user_row)

    def tables(self) -> dict[str, tf.Tensor]:
        """Macro embeddings in the compute dtype: `{"user": [T, K_U, D], "item": [T, K_I, D]}`."""
        return {
            kind: tf.cast(table, self.compute_dtype)
            for kind, table in self.macro_embeddings(None).items()
        }

    def explain(
        self,
        targets: Mapping[str, tf.Tensor],
        edges: Mapping[str, tf.Tensor],
        user_row: tf.Tensor | None = None,
    ) -> dict[str, Any]:
        """What the bottom attends to.

        Returns:
          `gates`: float32 [T, B, X]; `alpha` by neighbour set: float32 [B, K]; `attention` by
          neighbour set: float32 [T, B, K], the mean of r over the experts weighted by g_t.
        """
        tables = self.tables()
        alphas = self.alphas(edges)
        gates = self.gate_weights(targets, alphas, tables, user_row)
        attention = {
            name: mix(self.experts.attention(name, targets, projection.scores, user_row), gates)
            for name, projection in self.experts.project(tables).items()
        }
        return {"gates": gates, "alpha": _by_row(alphas, user_row), "attention": attention}

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_tasks": self.num_tasks,
            "num_macro_nodes": self.num_macro_nodes,
            "dim": self.dim,
            "units": self.units,
            "num_shared": self.num_shared,
            "num_task_experts": self.num_task_experts,
            "temperature": self.temperature,
            "attention_query": self.attention_query,
            "gate_temperature": self.gate_temperature,
        }


def _by_row(of_sets: Mapping[str, tf.Tensor], user_row: tf.Tensor | None) -> dict[str, tf.Tensor]:
    """What is known of neighbour sets, those of R users and of B items, all by row: [B, ...]."""
    return {
        name: by_row(values, user_row if OWNERS[name] == "user" else None)
        for name, values in of_sets.items()
    }
