"""What of MGOE's network depends on one node alone.

Axes: V nodes, T tasks, X experts of the bottom, Y of the fusion, K macro nodes, H units of a head,
W numbers that an item brings to the heads of an expert, C units of the fusion's first layer, D
widths of embeddings, R of what that layer reads of an item, F of a pair, G logits that tell the
fusion's gates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from mgoe_tf.layers.macro_match import MATCHES, edge_totals
from mgoe_tf.layers.neighbor_sets import NEIGHBOR_SETS, OWNERS
from mgoe_tf.models.mgoe_kernels import MGOEKernels
from mgoe_tf.models.node_network import State


class MGOEStates:
    """States of users and items, as `MGOENodeNetwork` goes on from them.

    Args:
      model: an `MGOE` of stages of its own.
      kernels: its weights.
    """

    def __init__(self, model: Any, kernels: MGOEKernels) -> None:
        self._model, self._kernels = model, kernels
        self._bottom, self._fusion = model.bottom, model.fusion
        self._adjustment = model.adjustment
        self._has_match = model.macro_match is not None
        self._num_tasks = len(model.spec.tasks)

    def of_nodes(
        self, owner: str, features: Mapping[str, tf.Tensor], sums: Mapping[str, tf.Tensor]
    ) -> dict[str, tf.Tensor]:
        """See `NodeNetwork.state`."""
        model = self._model
        own: dict[str, tf.Tensor] = {"x": model.node_inputs(owner, features, sums)}
        if self._kernels.widths[f"near_{owner}"]:
            own["near"] = tf.transpose(model.near(owner, sums), [1, 0, 2])
        for name in (s for s in self._kernels.all_sets if OWNERS[s] == owner):
            own[f"alpha/{name}"] = self._bottom.macro_weights(features[name])
        if self._has_match:
            own["totals"] = edge_totals(features[f"{owner}_1hop"])
        full = self._of_users(own) if owner == "user" else self._of_items(own)
        if self._adjustment is not None:
            lookup = features[model.adjustment_feature(owner)]
            if owner == "user":
                full["levels"] = self._adjustment.terms_by_macro_node(lookup)
            else:
                cold = self._bottom.num_macro_nodes["item"]
                full["macro"] = tf.where(lookup < 0, cold, tf.cast(lookup, tf.int32))
        return full

    def _of_items(self, own: State) -> dict[str, tf.Tensor]:
        kernels, full = self._kernels, {}
        if self._bottom is not None:
            heads = [self._attention(s, own) for s in kernels.sets("user", "item")]
            heads += [self._value(s, own) for s in kernels.sets("item", "item")]
            full["heads"] = _flat(tf.concat(heads, axis=-1))
        if kernels.num_experts > 1:
            full["gates"] = self._gate_logits("item", own)
        if "near" in own:
            full["near"] = own["near"]
        full["x"] = tf.concat([own[name] for name in ("x", "totals") if name in own], axis=-1)
        if kernels.item_alphas:
            full["alphas"] = tf.concat([own[f"alpha/{s}"] for s in kernels.item_alphas], axis=-1)
        return full

    def _of_users(self, own: State) -> dict[str, tf.Tensor]:
        """`of_task` holds what `user_widths` names, one after the other; the rest is by itself."""
        of_task = {}
        if self._bottom is not None:
            of_task["heads"] = _flat(self._head_scale(own))
        for s in self._kernels.sets("item", "user"):
            # attention: [V, T, K of all, X]
            attention = tf.transpose(self._attention(s, own), [0, 1, 3, 2])
            of_task[s] = _flat(self._kernels.among_item_alphas(s, attention, axis=2))
        if self._kernels.num_experts > 1:
            of_task["gates"] = self._gate_logits("user", own)
        first = self._first(own)
        for expert in range(first.shape[2]):
            of_task[f"first/{expert}"] = _flat(first[:, :, expert, :, :-1])
        if self._fusion.interactions:
            near, item, totals = self._kernels.read_widths
            of_task["scale"] = tf.tile(
                _side_by_side((own["x"], near), (own["x"], item), (own["x"][:, :0], totals))[
                    :, tf.newaxis
                ],
                [1, self._num_tasks, 1],
            )
            if "near" in own:
                nothing = own["near"][..., :0]
                of_task["near_scale"] = _side_by_side(
                    (nothing, near), (own["near"], item), (nothing, totals)
                )
        if self._kernels.num_gates:
            of_task["fusion_gates"] = _flat(self._fusion_gates(first[..., -1], of_task))
        full = {"of_task": tf.concat([*of_task.values()], axis=-1)}
        if self._has_match:
            full["match"] = self._match_columns(own)
        return full

    def _head_scale(self, own: State) -> tf.Tensor:
        """What the heads of items are multiplied with: [V, T, X, W]."""
        kernels = self._kernels
        alphas = [own[f"alpha/{s}"] for s in kernels.sets("user", "item")]
        # What an item brings of itself is left as it is.
        alphas.append(tf.ones([tf.shape(own["x"])[0], kernels.own_units]))
        of_all = tf.concat(alphas, axis=-1)[:, tf.newaxis, tf.newaxis]
        return tf.tile(of_all, [1, self._num_tasks, kernels.num_experts, 1])

    def _first(self, own: State) -> tf.Tensor:
        """What the fusion's first layer has of the user, and of its part of each expert of the
        bottom: [V, T, Y, X, C + 1]."""
        kernels = self._kernels.first
        first = kernels["bias"] + tf.einsum("vd,tydc->vtyc", own["x"], kernels["user"])
        if "near" in own:
            first += tf.einsum("vtd,tydc->vtyc", own["near"], kernels["near_user"])
        if self._has_match:
            first += tf.einsum("vd,tydc->vtyc", own["totals"], kernels["user_totals"])
        by_expert = tf.tile(first[:, :, :, tf.newaxis], [1, 1, 1, self._kernels.num_experts, 1])
        for s in self._kernels.sets("user", "user"):
            by_expert += tf.einsum("vtxh,tyhc->vtyxc", self._value(s, own), kernels[s])
        return by_expert

    def _fusion_gates(self, first: tf.Tensor, of_task: State) -> tf.Tensor:
        """The kernel of the fusion's gates, of every user: [V, T, F, G].

        Args:
          first: the gates' part of `_first`, [V, T, Y, X].
          of_task: `scale` and `near_scale`, [V, T, R], where there are any.
        """
        rows = [kernel[..., -1] for kernel in self._kernels.fixed]
        of_items, *scaled = (kernel[..., -1] for kernel in self._kernels.of_items)
        *rows, of_items = (
            tf.tile(of_all[np.newaxis], [tf.shape(first)[0], 1, 1, 1])
            for of_all in (*rows, of_items)
        )
        for name, kernel in zip(("scale", "near_scale"), scaled, strict=True):
            if name in of_task:
                of_items += of_task[name][:, :, tf.newaxis] * kernel
        # kernel: [V, T, Y, F]
        kernel = tf.concat([*rows, first, of_items], axis=-1)
        return tf.transpose(kernel[:, :, : self._kernels.num_gates], [0, 1, 3, 2])

    @property
    def user_widths(self) -> dict[str, int]:
        """How wide each part of a user's `of_task` is, in order; nothing of what there is not."""
        kernels, reads = self._kernels, sum(self._kernels.read_widths)
        experts, scaled = kernels.num_experts, reads if self._fusion.interactions else 0
        pairs = sum(rows.shape[2] for rows in kernels.fixed) + experts + reads
        alphas = sum(kernels.size(s) for s in kernels.item_alphas)
        widths = {"heads": experts * kernels.head_width}
        widths |= dict.fromkeys(kernels.sets("item", "user"), alphas * experts)
        widths |= {"gates": experts if experts > 1 else 0}
        for expert in range(self._fusion.experts.experts_of_task):
            widths[f"first/{expert}"] = experts * self._fusion.units[0]
        widths |= {
            "scale": scaled,
            "near_scale": scaled if kernels.widths["near_user"] else 0,
            "fusion_gates": pairs * kernels.num_gates,
        }
        return {name: width for name, width in widths.items() if width}

    def _gate_logits(self, owner: str, state: State) -> tf.Tensor:
        """A node's part of the logits of the bottom's gates: [V, T, X]."""
        kernels = self._kernels.gate
        logits = tf.einsum("vd,tdx->vtx", state["x"], kernels[owner])
        for name in (s for s in NEIGHBOR_SETS if OWNERS[s] == owner):
            logits += tf.einsum("vk,tkx->vtx", state[f"alpha/{name}"], kernels[name])
        return logits

    def _attention(self, name: str, state: State) -> tf.Tensor:
        """r of a set, of the node that is its query: [V, T, X, K]."""
        experts = self._bottom.experts
        scores = experts.project(self._bottom.tables())[name].scores
        query = {experts.query_of[name]: state["x"]}
        return tf.transpose(experts.attention(name, query, scores), [2, 0, 1, 3])

    def _value(self, name: str, state: State) -> tf.Tensor:
        """v of a set whose edges and query are of the same node: [V, T, X, H]."""
        weights = self._attention(name, state) * state[f"alpha/{name}"][:, tf.newaxis, tf.newaxis]
        return tf.einsum("vtxk,txkh->vtxh", weights, self._kernels.values[name])

    def _match_columns(self, state: State) -> tf.Tensor:
        """What items' alphas are multiplied with, of every user: [V, K of all, 2]."""
        of_item = {item: user for user, item in MATCHES}
        columns = []
        for user_set, _ in MATCHES:
            parts = []
            for item_set in self._kernels.item_alphas:
                alpha = state[f"alpha/{of_item[item_set]}"]
                scale = float(alpha.shape[-1]) if of_item[item_set] == user_set else 0.0
                parts.append(scale * alpha)
            columns.append(tf.concat(parts, axis=-1))
        return tf.stack(columns, axis=-1)


def _flat(values: tf.Tensor) -> tf.Tensor:
    """[V, T, ...] as [V, T, all of ...]."""
    return tf.reshape(values, [-1, values.shape[1], math.prod(values.shape[2:])])


def _side_by_side(*parts: tuple[tf.Tensor, int]) -> tf.Tensor:
    """The first entries of each [..., D], followed by zeros where there are fewer than its width,
    one part after the other: [..., width of all]."""
    found = []
    for values, width in parts:
        padding = [[0, 0]] * (values.shape.rank - 1) + [[0, max(0, width - values.shape[-1])]]
        found.append(tf.pad(values[..., :width], padding))
    return tf.concat(found, axis=-1)
