"""What of MGOE's network depends on one node alone, and the rest of it.

A little long: states and the network that goes on from them have to agree.

Axes: V nodes, B users with N candidates each, T tasks, X experts of the bottom, Y of the fusion, K
macro nodes, H units of a head, C units of the fusion's first layer and one more for its gate, D
widths of embeddings, F what that layer reads of a pair.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from mgoe_tf.layers.macro_match import MATCHES, edge_totals
from mgoe_tf.layers.neighbor_sets import NEIGHBOR_SETS, OWNERS
from mgoe_tf.models.mgoe_kernels import MGOEKernels
from mgoe_tf.models.node_network import NodeNetwork, State


class MGOENodeNetwork(NodeNetwork):
    """MGOE's network from the states of users and items.

    Every softmax over macro nodes, of edges (Eq. 14) and of scores (Eq. 16), is a function of one
    node. A set whose edges and query are the same node's has its value there; of the others one
    factor is the user's, so that a candidate's value is one product with a matrix of the user.
    Products of user and item in the fusion are linear in the item: the user scales the rows of the
    first layer's kernel that read it. The bottom's gates sum up to 1, so that what they weigh can
    hold whatever else the first layer has of the user. Gates of two experts are sigmoids.

    Everything is float32.

    Args:
      model: an `MGOE` of stages of its own.
    """

    by_task = frozenset({"of_task"})

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self._bottom, self._fusion = model.bottom, model.fusion
        self._towers, self._adjustment = model.towers, model.adjustment
        self._has_match = model.macro_match is not None
        self._num_tasks = len(model.spec.tasks)
        self._kernels = MGOEKernels(model)

    def state(
        self, owner: str, features: Mapping[str, tf.Tensor], sums: Mapping[str, tf.Tensor]
    ) -> dict[str, tf.Tensor]:
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
        parts = []
        if self._bottom is not None:
            heads = [self._attention(s, own) for s in self._kernels.sets("user", "item")]
            heads += [self._value(s, own) for s in self._kernels.sets("item", "item")]
            parts += [_flat(tf.concat(heads, axis=-1)), self._gate_logits("item", own)]
        if "near" in own:
            parts.append(own["near"])
        of_all_tasks = tf.concat([own[name] for name in ("x", "totals") if name in own], axis=-1)
        parts.append(tf.tile(of_all_tasks[:, tf.newaxis], [1, self._num_tasks, 1]))
        full = {"of_task": tf.concat(parts, axis=-1)}
        if alphas := [own[f"alpha/{s}"] for s in self._kernels.item_alphas]:
            full["alphas"] = tf.concat(alphas, axis=-1)
        return full

    def _of_users(self, own: State) -> dict[str, tf.Tensor]:
        kernels, full = self._kernels.first, {}
        # first: [V, T, Y, C], what the fusion's first layer has of the user alone
        first = kernels["bias"] + tf.einsum("vd,tydc->vtyc", own["x"], kernels["user"])
        if "near" in own:
            first += tf.einsum("vtd,tydc->vtyc", own["near"], kernels["near_user"])
        if self._has_match:
            first += tf.einsum("vd,tydc->vtyc", own["totals"], kernels["user_totals"])
            full["match"] = self._match_columns(own)
        # by_expert: [V, T, Y, X, C], the same and what each expert of the bottom brings
        by_expert = tf.tile(first[:, :, :, tf.newaxis], [1, 1, 1, self._kernels.num_experts, 1])
        for s in self._kernels.sets("user", "user"):
            by_expert += tf.einsum("vtxh,tyhc->vtyxc", self._value(s, own), kernels[s])
        full["first"] = by_expert
        if self._bottom is not None:
            full["gate"] = self._gate_logits("user", own)
        if alphas := [own[f"alpha/{s}"] for s in self._kernels.sets("user", "item")]:
            # What a candidate's attention is multiplied with; its values are left as they are.
            ones = tf.ones([tf.shape(own["x"])[0], self._kernels.own_units])
            full["alphas"] = tf.concat([*alphas, ones], axis=-1)
        for s in self._kernels.sets("item", "user"):
            full[f"attention/{s}"] = _flat(self._attention(s, own))
        if self._fusion.interactions:
            near, item, totals = self._kernels.read_widths
            x = own["x"]
            scale = [_fitted(x, near), _fitted(x, item), _fitted(x[:, :0], totals)]
            full["scale"] = tf.concat(scale, axis=-1)
            if "near" in own:
                nothing = own["near"][..., :0]
                parts = (_fitted(nothing, near), _fitted(own["near"], item))
                full["near_scale"] = tf.concat([*parts, _fitted(nothing, totals)], axis=-1)
        return full

    def logits(self, user: State, items: State, context: tf.Tensor | None = None) -> tf.Tensor:
        shape = tf.shape(items["of_task"])
        size = (shape[0], shape[2])  # B and N
        with tf.name_scope("bottom"):
            of_heads, gates, item_reads = self._gated(user, items, context)
        # reads: [B, T, N, F] in all, what the fusion's first layer reads of a pair; fixed: the rows
        # of its kernel, [T, Y, F, C], that are the same for all users
        reads, fixed = [], []
        if self._bottom is not None:
            with tf.name_scope("heads"):
                reads += self._heads(user, items, of_heads, gates, size)
            fixed += [self._kernels.first[s] for s in self._kernels.head_sets]
        if self._has_match:
            with tf.name_scope("bottom"):
                match = tf.math.log(tf.matmul(items["alphas"], user["match"]))[:, tf.newaxis]
                reads.append(tf.tile(match, [1, self._num_tasks, 1, 1]))
            fixed.append(self._kernels.first["match"])
        with tf.name_scope("kernel"):
            kernel = self._kernel(user, fixed, context, size[0])
        with tf.name_scope("fusion"):
            fused = self._fused(tf.concat([*reads, gates, item_reads], axis=-1), kernel)
            # by_task: [T, B N, H]
            by_task = tf.reshape(
                tf.transpose(fused, [1, 0, 2, 3]), [self._num_tasks, -1, fused.shape[-1]]
            )
        with tf.name_scope("towers"):
            logits = tf.reshape(self._towers(by_task), [self._num_tasks, *size])
        if self._adjustment is not None:
            with tf.name_scope("adjustment"):
                terms = tf.gather(user["levels"], items["macro"], axis=2, batch_dims=1)
                logits += tf.transpose(terms, [1, 0, 2])
        return logits

    def _gated(
        self, user: State, items: State, context: tf.Tensor | None
    ) -> tuple[tf.Tensor | None, tf.Tensor, tf.Tensor]:
        """What items bring of heads, the gates g [B, T, N, X], and what is read of items."""
        *parts, item_reads = tf.split(items["of_task"], self._kernels.item_widths, axis=-1)
        if self._bottom is None:
            return None, tf.ones_like(item_reads[..., :1]), item_reads
        of_heads, of_gate = parts
        logits = user["gate"][:, :, tf.newaxis] + of_gate
        if context is not None:
            of_context = tf.einsum("bd,tdx->btx", context, self._kernels.gate["context"])
            logits += of_context[:, :, tf.newaxis]
        return of_heads, _gates(logits, axis=-1), item_reads

    def _kernel(
        self,
        user: State,
        fixed: list[NDArray[Any]],
        context: tf.Tensor | None,
        users: tf.Tensor,
    ) -> tf.Tensor:
        """The kernel of the fusion's first layer, of every user: [B, T, Y, F, C].

        Args:
          user, context: of `logits`.
          fixed: the rows that are the same for all users.
          users: B.
        """
        # of_user: [B, T, Y, X, C]
        of_user = user["first"]
        if context is not None:
            of_context = tf.einsum("bd,tydc->btyc", context, self._kernels.first["context"])
            of_user += of_context[:, :, :, tf.newaxis]
        rows = [of_user, self._scaled(user)]
        if fixed:
            same = np.concatenate(fixed, axis=2)
            rows.insert(0, tf.broadcast_to(same, [users, *same.shape]))
        return tf.concat(rows, axis=3)

    def _heads(
        self,
        user: State,
        items: State,
        of_heads: tf.Tensor | None,
        gates: tf.Tensor,
        size: tuple[tf.Tensor, tf.Tensor],
    ) -> list[tf.Tensor]:
        """The heads of h_t that depend on the item, [B, T, N, ...], in the order of `head_sets`.

        Args:
          user, items: of `logits`.
          of_heads: attention and values of items, [B, T, N, X ...].
          gates: g, [B, T, N, X].
          size: B and N.
        """
        tasks, experts = self._num_tasks, self._kernels.num_experts
        found = []

        def weighed(values: tf.Tensor, width: int) -> tf.Tensor:
            """g_j times values [B, T, N, X, W] of each expert, side by side: [B, T, N, X W]."""
            product = gates[..., tf.newaxis] * values
            return tf.reshape(product, [size[0], tasks, size[1], experts * width])

        if len(self._kernels.head_matrix):
            same = self._kernels.head_matrix
            width, columns = same.shape[2:]
            values = tf.reshape(of_heads, [size[0], tasks, size[1], experts, width])
            matrix = tf.broadcast_to(same, [size[0], *same.shape])
            if "alphas" in user:
                alphas = user["alphas"][:, tf.newaxis, tf.newaxis, :, tf.newaxis]
                matrix = alphas * same
            flat = tf.reshape(matrix, [-1, tasks, experts * width, columns])
            found.append(tf.matmul(weighed(values, width), flat))
        sizes = [self._kernels.size(s) for s in self._kernels.item_alphas]
        split = tf.split(items["alphas"], sizes, axis=-1) if sizes else []
        of_items = dict(zip(self._kernels.item_alphas, split, strict=True))
        for s in self._kernels.sets("item", "user"):
            width = self._kernels.size(s)
            flat = self._kernels.values[s].reshape(tasks, experts * width, -1)
            matrix = user[f"attention/{s}"][..., tf.newaxis] * flat
            alphas = of_items[s][:, tf.newaxis, :, tf.newaxis]
            found.append(tf.matmul(weighed(alphas, width), matrix))
        return found

    def _scaled(self, user: State) -> tf.Tensor:
        """The kernel's rows that read the item, of every user: [B, T, Y, F, C]."""
        kernels, (near, item, totals) = self._kernels.first, self._kernels.read_widths
        names = ("near_item", "item", "item_totals")
        rows = np.concatenate([kernels[name] for name in names if name in kernels], axis=2)
        if not self._fusion.interactions:
            return tf.broadcast_to(rows, [tf.shape(user["first"])[0], *rows.shape])

        def padded(*parts: tuple[str, int]) -> NDArray[Any]:
            """Kernels one below the other, each followed by zeros up to its number of rows."""
            found = []
            for name, size in parts:
                kernel = kernels.get(name, rows[:, :, :0])
                found.append(np.pad(kernel, [(0, 0), (0, 0), (0, size - kernel.shape[2]), (0, 0)]))
            return np.concatenate(found, axis=2)

        by_x = padded(("user*near_item", near), ("user*item", item), ("", totals))
        scaled = rows + user["scale"][:, tf.newaxis, tf.newaxis, :, tf.newaxis] * by_x
        if "near_scale" in user:
            by_near = padded(("", near), ("item*near_user", item), ("", totals))
            scaled += user["near_scale"][:, :, tf.newaxis, :, tf.newaxis] * by_near
        return scaled

    def _fused(self, reads: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """o_t, [B, T, N, H], of what the first layer reads and its kernel [B, T, Y, F, C]."""
        first, gate = tf.split(kernel, [kernel.shape[-1] - 1, 1], axis=-1)
        # gates: [B, T, Y, N]
        gates = _gates(tf.matmul(gate[..., 0], reads, transpose_b=True), axis=2)
        # hidden: [B, T, Y, N, C]
        hidden = tf.nn.relu(tf.matmul(reads[:, :, tf.newaxis], first))
        for weight, bias in self._kernels.later:
            hidden = tf.nn.relu(tf.matmul(hidden, weight) + bias)
        return tf.reduce_sum(hidden * gates[..., tf.newaxis], axis=2)

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
        return tf.transpose(experts.attention(name, query, scores), [1, 0, 2, 3])

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
    """[V, T, X, W] to [V, T, X W]."""
    _, tasks, experts, width = values.shape
    return tf.reshape(values, [-1, tasks, experts * width])


def _fitted(values: tf.Tensor, width: int) -> tf.Tensor:
    """The first entries of [..., D], followed by zeros where there are fewer: [..., width]."""
    values = values[..., :width]
    padding = [[0, 0]] * (values.shape.rank - 1) + [[0, width - values.shape[-1]]]
    return tf.pad(values, padding)


def _gates(logits: tf.Tensor, axis: int) -> tf.Tensor:
    """The softmax of logits, of which two are as `gate_logits_of` gives them."""
    if logits.shape[axis] == 2:
        return tf.sigmoid(logits)
    return tf.nn.softmax(logits, axis=axis)
