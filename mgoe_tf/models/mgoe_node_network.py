"""MGOE from states of nodes to logits.

Axes: B users with N candidates each, T tasks, X experts of the bottom, Y of the fusion, K macro
nodes, H units of a head, W numbers that an item brings to the heads of an expert, C units of the
fusion's first layer, D widths of embeddings, R of what that layer reads of an item, F of a pair, G
logits that tell the fusion's gates.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from mgoe_tf.models.mgoe_kernels import MGOEKernels, by_expert
from mgoe_tf.models.mgoe_states import MGOEStates
from mgoe_tf.models.node_network import NodeNetwork, State


class MGOENodeNetwork(NodeNetwork):
    """MGOE's network from the states of users and items.

    Every softmax over macro nodes, of edges (Eq. 14) and of scores (Eq. 16), is a function of one
    node. A set whose edges and query are the same node's has its value there; of the others one
    factor is the user's, so that a candidate's heads are one product with a matrix of the user.
    Products of user and item in the fusion are linear in the item: the user scales the rows of the
    first layer's kernel that read it. The bottom's gates sum up to 1, so that what they weigh can
    hold whatever else the first layer has of the user. Gates of two experts are sigmoids.

    Of a request's time less than half are products; the rest are operations, copies, and bytes of
    items. So arrays come with experts and tasks first, as products take them.

    Everything is float32.

    Args:
      model: an `MGOE` of stages of its own.
    """

    by_task = frozenset({"heads", "gates", "near", "of_task"})

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self._bottom, self._fusion = model.bottom, model.fusion
        self._towers, self._adjustment = model.towers, model.adjustment
        self._has_match = model.macro_match is not None
        self._num_tasks = len(model.spec.tasks)
        self._kernels = MGOEKernels(model)
        self._states = MGOEStates(model, self._kernels)

    def state(
        self, owner: str, features: Mapping[str, tf.Tensor], sums: Mapping[str, tf.Tensor]
    ) -> dict[str, tf.Tensor]:
        return self._states.of_nodes(owner, features, sums)

    def logits(self, user: State, items: State, context: tf.Tensor | None = None) -> tf.Tensor:
        tasks, shape = self._num_tasks, tf.shape(items["x"])
        size = (shape[0], shape[1])  # B and N
        widths = self._states.user_widths
        # of_user: [T, B, width] each
        split = tf.split(user["of_task"], list(widths.values()), axis=-1)
        of_user = dict(zip(widths, split, strict=True))
        # reads: [T, B, N, F] in all, what the fusion's first layer reads of a pair
        reads = []
        with tf.name_scope("bottom"):
            gates = self._bottom_gates(of_user, items, context)
        with tf.name_scope("heads"):
            if self._kernels.head_width:
                reads.append(self._heads(of_user["heads"], items["heads"], gates))
            for s in self._kernels.sets("item", "user"):
                reads.append(self._attended(s, of_user[s], items["alphas"], gates))
            if self._has_match:
                match = tf.math.log(tf.matmul(items["alphas"], user["match"]))
                reads.append(tf.stack([match] * tasks))
        with tf.name_scope("kernel"):
            kernel = self._kernel(of_user, context, size[0])
        with tf.name_scope("fusion"):
            reads += [gates, *([items["near"]] if "near" in items else [])]
            # x: the same for all tasks
            of_pairs = tf.concat([*reads, tf.stack([items["x"]] * tasks)], axis=-1)
            logits = self._gate_logits_of_pairs(of_user, of_pairs, context)
            fused = self._fused(of_pairs, kernel, logits)
        with tf.name_scope("towers"):
            logits = tf.reshape(self._towers(fused), [tasks, *size])
        if self._adjustment is not None:
            with tf.name_scope("adjustment"):
                terms = tf.gather(user["levels"], items["macro"], axis=2, batch_dims=1)
                logits += tf.transpose(terms, [1, 0, 2])
        return logits

    def _bottom_gates(self, of_user: State, items: State, context: tf.Tensor | None) -> tf.Tensor:
        """g, [T, B, N, X]."""
        if self._kernels.num_experts == 1:
            shape = tf.shape(items["x"])
            return tf.ones([self._num_tasks, shape[0], shape[1], 1])
        of_pairs = items["gates"] + tf.expand_dims(of_user["gates"], 2)
        if context is not None:
            of_context = tf.einsum("bd,tdx->tbx", context, self._kernels.gate["context"])
            of_pairs += of_context[:, :, tf.newaxis]
        return _gates(of_pairs)

    def _kernel(self, of_user: State, context: tf.Tensor | None, users: tf.Tensor) -> tf.Tensor:
        """The kernel of the fusion's first layer, of every user: [Y, T, B, F, C].

        Args:
          of_user: parts of `of_task`, [T, B, ...].
          context: of `logits`.
          users: B.
        """
        shape = [-1, self._num_tasks, users, self._kernels.num_experts, self._fusion.units[0]]
        experts = range(self._fusion.experts.experts_of_task)
        # first: [Y, T, B, X, C]
        first = tf.reshape(tf.stack([of_user[f"first/{expert}"] for expert in experts]), shape)
        if context is not None:
            kernel = self._kernels.first["context"][..., :-1]
            first += tf.einsum("bd,tydc->ytbc", context, kernel)[:, :, :, tf.newaxis]
        # of_items: [Y, T, B, R, C]
        of_items, *scaled = (
            by_expert(kernel[..., :-1])[:, :, np.newaxis] for kernel in self._kernels.of_items
        )
        for name, kernel in zip(("scale", "near_scale"), scaled, strict=True):
            if name in of_user:
                of_items += tf.expand_dims(of_user[name], 3) * kernel
        if not self._fusion.interactions:
            of_items = tf.tile(of_items, [1, 1, users, 1, 1])
        rows = [first, of_items]
        if self._kernels.fixed:
            fixed = np.concatenate(self._kernels.fixed, axis=2)[..., :-1]
            # what is repeated once is not copied
            rows.insert(0, tf.tile(by_expert(fixed)[:, :, np.newaxis], [1, 1, users, 1, 1]))
        return tf.concat(rows, axis=3)

    def _heads(self, scale: tf.Tensor, of_items: tf.Tensor, gates: tf.Tensor) -> tf.Tensor:
        """The heads of h_t of which an item brings attention or values: [T, B, N, H of all].

        Args:
          scale: of users, [T, B, X W].
          of_items: [T, B, N, X W].
          gates: g, [T, B, N, X].
        """
        matrix = self._kernels.head_matrix.reshape(self._num_tasks, 1, scale.shape[-1], -1)
        weighed = self._weighed(of_items, gates)
        return tf.matmul(weighed, tf.expand_dims(scale, 3) * matrix)

    def _attended(
        self, name: str, attention: tf.Tensor, alphas: tf.Tensor, gates: tf.Tensor
    ) -> tf.Tensor:
        """A head of h_t of which an item brings alpha, of each expert: [T, B, N, X H].

        Args:
          name: of the set.
          attention: of users, [T, B, K X], K those of all alphas.
          alphas: of items, [B, N, K].
          gates: g, [T, B, N, X].
        """
        # values: [T, 1, K X, H]
        values = np.swapaxes(self._kernels.values[name], 1, 2)
        values = self._kernels.among_item_alphas(name, values, axis=1)
        values = tf.reshape(values, [self._num_tasks, 1, -1, values.shape[-1]])
        matrix = tf.expand_dims(attention, 3) * values
        shape = [
            self._num_tasks,
            tf.shape(alphas)[0],
            alphas.shape[-1],
            gates.shape[-1] * values.shape[-1],
        ]
        return self._weighed(tf.matmul(alphas, tf.reshape(matrix, shape)), gates)

    def _weighed(self, values: tf.Tensor, gates: tf.Tensor) -> tf.Tensor:
        """Values of each expert side by side, times g, [T, B, N, X]: both [T, B, N, X W]."""
        if gates.shape[-1] == 1:
            return values
        width = values.shape[-1] // gates.shape[-1]
        product = tf.reshape(gates, [-1, 1]) * tf.reshape(values, [-1, width])
        return tf.reshape(product, tf.shape(values))

    def _gate_logits_of_pairs(
        self, of_user: State, of_pairs: tf.Tensor, context: tf.Tensor | None
    ) -> tf.Tensor | None:
        """What tells the fusion's gates, [T, B, N, G]; None of a single expert."""
        count = self._kernels.num_gates
        if not count:
            return None
        shape = [self._num_tasks, -1, of_pairs.shape[-1], count]
        kernel = tf.reshape(of_user["fusion_gates"], shape)
        logits = tf.matmul(of_pairs, kernel)
        if context is not None:
            of_context = self._kernels.first["context"][:, :count, :, -1]
            logits += tf.einsum("bd,tgd->tbg", context, of_context)[:, :, tf.newaxis]
        return logits

    def _fused(self, reads: tf.Tensor, kernel: tf.Tensor, logits: tf.Tensor | None) -> tf.Tensor:
        """o_t, [T, B N, H].

        Args:
          reads: what the first layer reads, [T, B, N, F].
          kernel: of the first layer, [Y, T, B, F, C].
          logits: of the gates, [T, B, N, G].
        """
        hidden = tf.nn.relu(tf.matmul(reads, kernel))
        experts = self._fusion.experts.experts_of_task
        # hidden: [Y, T, B N, C]
        hidden = tf.reshape(hidden, [experts, self._num_tasks, -1, kernel.shape[-1]])
        for weight, bias in self._kernels.later:
            hidden = tf.nn.relu(tf.matmul(hidden, weight) + bias)
        outputs = tf.unstack(hidden, num=experts)
        if logits is None:
            return outputs[0]
        logits = tf.reshape(logits, [self._num_tasks, -1, logits.shape[-1]])
        if len(outputs) == 2:
            one, other = outputs
            return other + tf.sigmoid(logits) * (one - other)
        gates = tf.split(tf.nn.softmax(logits), len(outputs), axis=-1)
        return tf.add_n([gate * output for gate, output in zip(gates, outputs, strict=True)])


def _gates(logits: tf.Tensor) -> tf.Tensor:
    """The softmax of logits, of which two are as `gate_logits_of` gives them."""
    return tf.sigmoid(logits) if logits.shape[-1] == 2 else tf.nn.softmax(logits)
