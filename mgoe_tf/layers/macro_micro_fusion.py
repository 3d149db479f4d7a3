"""Fusion of macro and micro information."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from mgoe_tf.layers.mlp_experts import MlpExperts
from mgoe_tf.layers.task_gates import TaskGates, mix


def _product(left: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
    """Elementwise, over the leading entries that both have."""
    width = min(left.shape[-1], right.shape[-1])
    # a slice of everything would still cost its gradient
    left, right = (x if x.shape[-1] == width else x[..., :width] for x in (left, right))
    return left * right


class MacroMicroFusion(tf.keras.layers.Layer):
    """o_t = sum_j softmax(f_t G'_t)_j MLP_j(f_t) (Eq. 18-20).

    f_t = [x_u ; x_i ; x_c ; h_t ; n^t_u ; n^t_i]. Two additions to the paper: with a `match` (see
    `MacroMatch`) f_t holds that too, and with `interactions` also the elementwise products
    x_u * x_i, x_i * n^t_u and x_u * n^t_i, each over the width that its two vectors share: how well
    user and item match, and how like each is to the neighbours of the other, which an MLP learns
    slowly from the vectors side by side.

    Args:
      num_tasks: T.
      num_shared, num_task_experts: n_s and n_t.
      units: widths of the layers of an expert.
      dropout: rate after each layer of an expert.
      interactions: whether f_t holds the products.
      gate_temperature: of the gates' softmax (`TaskGates`).

    Call arguments:
      targets: `{"user": [B, D_u], "item": [B, D_i]}`, x_u and x_i, and `context` [B, D_c], x_c,
        where there is one.
      bottom: [T, B, 4 H], h_t, or None: f_t is then without it.
      neighbors: `{"user": [T, B, D_n], "item": [T, B, D_m]}`, n^t_u and n^t_i; like x_i and x_u, or
        like their first entries, the embedding of the id. {}: f_t is without them and their
        products.
      match: [B, M], what else f_t holds of the row, or None.

    Returns:
      [T, B, units[-1]].

    Example:

    >>> fusion = MacroMicroFusion(num_tasks=4, num_shared=2, num_task_experts=1, units=[64, 32])
    >>> targets = {"user": tf.zeros([5, 10]), "item": tf.zeros([5, 20])}
    >>> neighbors = {"user": tf.zeros([4, 5, 20]), "item": tf.zeros([4, 5, 10])}
    >>> fusion(targets, tf.zeros([4, 5, 64]), neighbors).shape
    TensorShape([4, 5, 32])
    """

    def __init__(
        self,
        *,
        num_tasks: int,
        num_shared: int,
        num_task_experts: int,
        units: Sequence[int],
        dropout: float = 0.0,
        interactions: bool = True,
        gate_temperature: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_tasks = num_tasks
        self.num_shared = num_shared
        self.num_task_experts = num_task_experts
        self.units = tuple(units)
        self.dropout = dropout
        self.interactions = interactions
        self.gate_temperature = gate_temperature
        self.experts = MlpExperts(
            num_tasks=num_tasks,
            num_shared=num_shared,
            num_task_experts=num_task_experts,
            units=units,
            dropout=dropout,
        )
        self.gates = TaskGates(
            num_tasks=num_tasks,
            num_experts=num_shared + num_task_experts,
            temperature=gate_temperature,
        )

    def inputs(
        self,
        targets: Mapping[str, tf.Tensor],
        bottom: tf.Tensor | None,
        neighbors: Mapping[str, tf.Tensor],
        match: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """f_t: [T, B, F]."""
        # Keras casts the first argument only, and nothing where this is called from outside.
        user, item = (tf.cast(targets[o], self.compute_dtype) for o in ("user", "item"))
        near = [tf.cast(neighbors[o], self.compute_dtype) for o in ("user", "item") if neighbors]
        of_row = [user, item]
        if "context" in targets:
            of_row.append(tf.cast(targets["context"], self.compute_dtype))
        if match is not None:
            of_row.append(tf.cast(match, self.compute_dtype))
        of_task = [*([] if bottom is None else [tf.cast(bottom, self.compute_dtype)]), *near]
        if self.interactions:
            of_row.append(_product(user, item))
            if near:
                of_task += [_product(item, near[0]), _product(user, near[1])]
        x = tf.concat(of_row, axis=-1)
        x = tf.broadcast_to(x, [self.num_tasks, *tf.unstack(tf.shape(x))])
        return tf.concat([x, *of_task], axis=-1)

    def call(
        self,
        targets: Mapping[str, tf.Tensor],
        bottom: tf.Tensor | None,
        neighbors: Mapping[str, tf.Tensor],
        match: tf.Tensor | None = None,
        training: bool | None = None,
    ) -> tf.Tensor:
        inputs = self.inputs(targets, bottom, neighbors, match)
        outputs, gates = self.experts(inputs, training=training), self.gates(inputs)
        # a single expert is not multiplied with its weight of 1
        return tf.squeeze(outputs, axis=1) if gates.shape[-1] == 1 else mix(outputs, gates)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_tasks": self.num_tasks,
            "num_shared": self.num_shared,
            "num_task_experts": self.num_task_experts,
            "units": self.units,
            "dropout": self.dropout,
            "interactions": self.interactions,
            "gate_temperature": self.gate_temperature,
        }
