"""What of MGOE's network depends on one node alone, and the rest of it.

Axes: V nodes, B users with N candidates each, T tasks, X experts of the bottom, Y of the fusion, K
macro nodes, H units of a head, C units of the fusion's first layer and one more for its gate, D
widths of embeddings, F what that layer reads of a pair.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from mgoe_tf.layers.macro_match import MATCHES, edge_totals
from mgoe_tf.layers.neighbor_sets import NEIGHBOR_SETS, NODES, OWNERS

State = Mapping[str, tf.Tensor]


class MGOEStates:
    """MGOE's network from the states of users and items.

    Every softmax over macro nodes, of edges (Eq. 14) and of scores (Eq. 16), is a function of one
    node. A set whose edges and query are the same node's has its value there; of the others one
    factor is the user's, so that a candidate's value is one product with a matrix of the user.
    Products of user and item in the fusion are linear in the item: the user scales the rows of the
    first layer's kernel that read it. The bottom's gates sum up to 1, so that what they weigh can
    hold whatever else the first layer has of the user.

    A state is `compact`, which no shorter one tells, or by `expand` full: then no softmax is left
    but those of the gates, which are of the pair. Everything is float32.

    Args:
      bottom, fusion, towers, adjustment: of the model; None where it has none.
      has_match: whether there is a `MacroMatch`.
      widths: of x_u, x_i and x_c, and of n_u and n_i, by `user`, `item`, `context`, `near_user` and
        `near_item`; 0 of what there is not.
    """

    def __init__(
        self,
        *,
        bottom: Any,
        fusion: Any,
        towers: Any,
        adjustment: Any,
        has_match: bool,
        widths: Mapping[str, int],
    ) -> None:
        self._bottom, self._fusion, self._towers = bottom, fusion, towers
        self._adjustment, self._has_match = adjustment, has_match
        self._widths = dict(widths)
        self._num_tasks = fusion.num_tasks
        self._width = widths["near_item"] + widths["item"] + 2 * has_match  # of `reads`

    def compact(
        self,
        owner: str,
        x: tf.Tensor,
        near: tf.Tensor | None,
        edges: Mapping[str, tf.Tensor],
        lookup: tf.Tensor | None,
    ) -> dict[str, tf.Tensor]:
        """The short state of nodes.

        Args:
          owner: `user` or `item`.
          x: [V, D].
          near: n^t, [T, V, D], or None.
          edges: [V, K] by neighbour set of the owner; {} without a bottom.
          lookup: of users the macro task lookup table [V, T K], of items the macro node [V]; None
            without an adjustment.
        """
        state = {"x": x}
        if near is not None:
            state["near"] = tf.transpose(near, [1, 0, 2])
        for name, weights in edges.items():
            state[f"alpha/{name}"] = self._bottom.macro_weights(weights)
        if self._has_match:
            state["totals"] = edge_totals(edges[f"{owner}_1hop"])
        if lookup is not None:
            if owner == "user":
                state["levels"] = self._adjustment.terms_by_macro_node(lookup)
            else:
                state["macro"] = tf.cast(lookup, tf.int32)
        return state

    def expand(self, owner: str, state: State) -> dict[str, tf.Tensor]:
        """The full state, of a compact one."""
        return self._full_user(state) if owner == "user" else self._full_item(state)

    def _full_item(self, state: State) -> dict[str, tf.Tensor]:
        full = {}
        if "macro" in state:
            cold = self._bottom.num_macro_nodes["item"]
            full["macro"] = tf.where(state["macro"] < 0, cold, state["macro"])
        by_task = [_flat(self._attention(s, state)) for s in self._sets("user", "item")]
        if self._sets("item", "item"):
            values = tf.concat([self._value(s, state) for s in self._sets("item", "item")], -1)
            by_task.append(_flat(values))
        if self._bottom is not None:
            by_task.append(self._gate_logits("item", state))
        if "near" in state:
            by_task.append(state["near"])
        of_all_tasks = tf.concat([state[n] for n in ("x", "totals") if n in state], -1)
        by_task.append(tf.tile(of_all_tasks[:, tf.newaxis], [1, self._num_tasks, 1]))
        full["by_task"] = tf.concat(by_task, axis=-1)
        if alphas := [state[f"alpha/{s}"] for s in self._item_alphas]:
            full["alphas"] = tf.concat(alphas, axis=-1)
        return full

    def _full_user(self, state: State) -> dict[str, tf.Tensor]:
        kernels, size = self._kernels(), tf.shape(state["x"])[0]
        full = {name: state[name] for name in ("levels",) if name in state}
        # first: [V, T, Y, C], what the fusion's first layer has of the user alone
        first = kernels["bias"] + tf.einsum("vd,tydc->vtyc", state["x"], kernels["user"])
        if "near" in state:
            first += tf.einsum("vtd,tydc->vtyc", state["near"], kernels["near_user"])
        if self._has_match:
            first += tf.einsum("vd,tydc->vtyc", state["totals"], kernels["user_totals"])
            full["match"] = self._match_columns(state)
        full["first"] = first
        if self._bottom is not None:
            full["gate"] = self._gate_logits("user", state)
        for s in self._sets("user", "item"):
            full[f"alpha/{s}"] = state[f"alpha/{s}"]
        for s in self._sets("item", "user"):
            full[f"attention/{s}"] = _flat(self._attention(s, state))
        if own := self._sets("user", "user"):
            full["values"] = tf.concat([self._value(s, state) for s in own], axis=-1)
        if self._fusion.interactions:
            near, item = self._widths["near_item"], self._widths["item"]
            x = state["x"]
            padding = tf.zeros([size, self._width - near - item])
            full["scale"] = tf.concat([_fitted(x, near), _fitted(x, item), padding], axis=-1)
            if "near" in state:
                before, after = (
                    tf.zeros([size, self._num_tasks, width])
                    for width in (near, self._width - near - item)
                )
                full["near_scale"] = tf.concat(
                    [before, _fitted(state["near"], item), after], axis=-1
                )
        return full

    def pair(
        self, user: State, items: State, context: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Logits of all candidates: [T, B, N].

        Args:
          user: full states, [B, ...].
          items: full states, [B, N, ...].
          context: x_c, [B, D].
        """
        kernels = self._kernels()
        by_task = tf.transpose(items["by_task"], [0, 2, 1, 3])
        *parts, item_reads = tf.split(by_task, self._item_widths(), axis=-1)
        first = user["first"]
        if context is not None:
            first += tf.einsum("bd,tydc->btyc", context, kernels["context"])
        # reads: [B, T, N, F] in all, what the first layer reads of a pair; rows: its kernel's rows,
        # [T, Y, F, C] of all users
        reads, rows = [], []
        if self._bottom is None:
            # gates: [B, T, N, 1]
            gates = tf.ones_like(by_task[..., :1])
            of_user = first[:, :, :, tf.newaxis]
        else:
            logits = user["gate"][:, :, tf.newaxis] + parts.pop()
            if context is not None:
                logits += tf.einsum("bd,tdx->btx", context, self._gate_kernels()["context"])[
                    :, :, tf.newaxis
                ]
            # gates: [B, T, N, X]
            gates = tf.nn.softmax(logits)
            heads = self._heads(user, items, parts, gates)
            reads += heads.values()
            rows += [kernels[name] for name in heads]
            # of_user: [B, T, Y, X, C], what each expert of the bottom brings of the user alone
            of_user = first[:, :, :, tf.newaxis]
            if own := self._sets("user", "user"):
                kernel = tf.concat([kernels[name] for name in own], axis=2)
                of_user += tf.matmul(user["values"][:, :, tf.newaxis], kernel)
            else:
                of_user = tf.tile(of_user, [1, 1, 1, gates.shape[-1], 1])
        if self._has_match:
            match = tf.math.log(tf.matmul(items["alphas"], user["match"]))[:, tf.newaxis]
            reads.append(tf.tile(match, [1, self._num_tasks, 1, 1]))
            rows.append(kernels["match"])
        of_item = self._scaled(user, kernels)
        kernel = [of_user, of_item]
        if rows:
            fixed = tf.concat(rows, axis=2)
            shape = tf.concat([tf.shape(first)[:1], fixed.shape], axis=0)
            kernel.insert(0, tf.broadcast_to(fixed, shape))
        fused = self._fused(
            tf.concat([*reads, gates, item_reads], axis=-1), tf.concat(kernel, axis=3)
        )
        # rows: [T, B N, H]
        rows = tf.reshape(
            tf.transpose(fused, [1, 0, 2, 3]), [self._num_tasks, -1, fused.shape[-1]]
        )
        logits = tf.reshape(self._towers(rows), [self._num_tasks, -1, tf.shape(fused)[2]])
        if self._adjustment is not None:
            terms = tf.gather(user["levels"], items["macro"], axis=2, batch_dims=1)
            logits += tf.transpose(terms, [1, 0, 2])
        return logits

    def _heads(
        self, user: State, items: State, parts: Sequence[tf.Tensor], gates: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Heads of h_t that depend on the item, [B, T, N, H] by neighbour set.

        Args:
          user, items: of `pair`.
          parts: attention and values of items, [B, T, N, ...] each.
          gates: g, [B, T, N, X].
        """
        experts = self._bottom.experts
        shape = [experts.experts_of_task, -1]
        parts = list(parts)
        found: dict[str, tf.Tensor] = {}
        rows = tf.shape(gates)[:3]

        def weighed(values: tf.Tensor) -> tf.Tensor:
            """g_j times [B, T, N, X, ...], side by side: [B, T, N, X ...]."""
            product = gates[..., tf.newaxis] * values
            return tf.reshape(
                product, tf.concat([rows, [product.shape[-1] * product.shape[-2]]], axis=0)
            )

        def by_expert(values: tf.Tensor) -> tf.Tensor:
            return tf.reshape(values, tf.concat([rows, [shape[0], values.shape[-1] // shape[0]]], 0))

        for s in self._sets("user", "item"):
            values = self._values(s)
            matrix = user[f"alpha/{s}"][:, tf.newaxis, tf.newaxis, :, tf.newaxis] * values
            flat = tf.reshape(matrix, [-1, values.shape[0], values.shape[1] * values.shape[2],
                                       experts.units])  # fmt: skip
            found[s] = tf.matmul(weighed(by_expert(parts.pop(0))), flat)
        alphas = dict(
            zip(
                self._item_alphas,
                tf.split(items["alphas"], [self._size(s) for s in self._item_alphas], axis=-1)
                if self._item_alphas
                else [],
                strict=True,
            )
        )
        for s in self._sets("item", "user"):
            values = self._values(s)
            flat = tf.reshape(values, [values.shape[0], -1, experts.units])
            matrix = user[f"attention/{s}"][..., tf.newaxis] * flat
            found[s] = tf.matmul(weighed(alphas[s][:, tf.newaxis, :, tf.newaxis]), matrix)
        if own := self._sets("item", "item"):
            width = experts.units * len(own)
            summed = tf.tile(tf.eye(width), [experts.experts_of_task, 1])
            # oneDNN's batched product of [B, 1, N, ...] and one matrix reads beyond its memory.
            flat = tf.reshape(weighed(by_expert(parts.pop(0))), [-1, summed.shape[0]])
            mixed = tf.reshape(tf.matmul(flat, summed), tf.concat([rows, [width]], axis=0))
            by_set = tf.split(mixed, len(own), axis=-1) if len(own) > 1 else [mixed]
            found |= dict(zip(own, by_set, strict=True))
        return found

    def _scaled(self, user: State, kernels: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """The rows of the first layer's kernel that read the item, of every user: [B, T, Y, F, C]."""
        near, item = self._widths["near_item"], self._widths["item"]
        base = [kernels[name] for name in ("near_item", "item", "item_totals") if name in kernels]
        rows = tf.concat(base, axis=2)[tf.newaxis]
        if not self._fusion.interactions:
            return tf.tile(rows, [tf.shape(user["first"])[0], 1, 1, 1, 1])

        def padded(parts: Sequence[tuple[str, int]]) -> tf.Tensor:
            """Kernels one below the other, each followed by zeros up to its number of rows."""
            found = []
            for name, size in parts:
                kernel = kernels.get(name, rows[0, :, :, :0])
                found.append(tf.pad(kernel, [[0, 0], [0, 0], [0, size - kernel.shape[2]], [0, 0]]))
            return tf.concat(found, axis=2)

        totals = ("", self._width - near - item)
        by_x = padded([("user*near_item", near), ("user*item", item), totals])
        rows += user["scale"][:, tf.newaxis, tf.newaxis, :, tf.newaxis] * by_x
        if "near_scale" in user:
            by_near = padded([("", near), ("item*near_user", item), totals])
            rows += user["near_scale"][:, :, tf.newaxis, :, tf.newaxis] * by_near
        return rows

    def _fused(self, reads: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """o_t, [B, T, N, H], of what the first layer reads and its kernel [B, T, Y, F, C]."""
        experts = self._fusion.experts
        reads = reads[:, :, tf.newaxis]
        first, gate = tf.split(kernel, [kernel.shape[-1] - 1, 1], axis=-1)
        # hidden: [B, T, Y, N, C]
        hidden = tf.nn.relu(tf.matmul(reads, first))
        for weight, bias in zip(experts.kernels[1:], experts.biases[1:], strict=True):
            hidden = tf.matmul(hidden, experts.by_task(weight)) + experts.by_task(bias)
            hidden = tf.nn.relu(hidden)
        gates = tf.nn.softmax(tf.matmul(reads, gate), axis=2)
        return tf.reduce_sum(hidden * gates, axis=2)

    # Parts of the weights

    def _kernels(self) -> dict[str, tf.Tensor]:
        """The rows of the fusion's first layer by what they read: [T, Y, rows, C]."""
        fusion, widths = self._fusion, self._widths
        kernel = fusion.experts.by_task(fusion.experts.kernels[0])
        # The logit of an expert's gate is one more unit of its first layer.
        gate = tf.transpose(fusion.gates.kernel, [0, 2, 1])[..., tf.newaxis]
        kernel = tf.concat([kernel, gate / fusion.gate_temperature], axis=-1)
        bias = fusion.experts.by_task(fusion.experts.biases[0])[:, :, 0]
        sizes = {name: widths[name] for name in ("user", "item", "context")}
        if self._has_match:
            sizes |= {"match": 2, "user_totals": 2, "item_totals": 2}
        near = ("near_user", "near_item") if widths["near_item"] else ()
        if fusion.interactions:
            sizes["user*item"] = min(widths["user"], widths["item"])
        if self._bottom is not None:
            sizes |= dict.fromkeys(NEIGHBOR_SETS, self._bottom.units)
        sizes |= {name: widths[name] for name in near}
        if fusion.interactions and near:
            sizes["item*near_user"] = min(widths["item"], widths["near_user"])
            sizes["user*near_item"] = min(widths["user"], widths["near_item"])
        parts = tf.split(kernel, list(sizes.values()), axis=2)
        found = dict(zip(sizes, parts, strict=True))
        return found | {"bias": tf.pad(bias, [[0, 0], [0, 0], [0, 1]])}

    def _gate_kernels(self) -> dict[str, tf.Tensor]:
        """The rows of the bottom's gates, of a set those of alpha: [T, rows, X]."""
        widths = [self._widths[name] for name in ("user", "item", "context")]
        kernel = self._bottom.gates.kernel / self._bottom.gate_temperature
        own, *by_set = tf.split(kernel, self._bottom.gate_parts, axis=1)
        tables = self._bottom.tables()
        found = dict(zip(("user", "item", "context"), tf.split(own, widths, axis=1), strict=True))
        for (name, nodes), part in zip(NODES.items(), by_set, strict=True):
            found[name] = tf.matmul(tables[nodes], part)
        return found

    def _gate_logits(self, owner: str, state: State) -> tf.Tensor:
        """A node's part of the logits of the bottom's gates: [V, T, X]."""
        kernels = self._gate_kernels()
        logits = tf.einsum("vd,tdx->vtx", state["x"], kernels[owner])
        for name in (s for s in NEIGHBOR_SETS if OWNERS[s] == owner):
            logits += tf.einsum("vk,tkx->vtx", state[f"alpha/{name}"], kernels[name])
        return logits

    def _values(self, name: str) -> tf.Tensor:
        """K z_m W_V of a set: [T, X, K, H]."""
        values = self._bottom.experts.project(self._bottom.tables())[name].values
        experts = self._bottom.experts
        shape = [self._num_tasks, experts.experts_of_task, self._size(name), experts.units]
        return tf.reshape(values, shape)

    def _attention(self, name: str, state: State) -> tf.Tensor:
        """r of a set, of the node that is its query: [V, T, X, K]."""
        experts = self._bottom.experts
        scores = experts.project(self._bottom.tables())[name].scores
        query = {experts.query_of[name]: state["x"]}
        return tf.transpose(experts.attention(name, query, scores), [1, 0, 2, 3])

    def _value(self, name: str, state: State) -> tf.Tensor:
        """v of a set whose edges and query are of the same node: [V, T, X, H]."""
        weights = self._attention(name, state) * state[f"alpha/{name}"][:, tf.newaxis, tf.newaxis]
        return tf.einsum("vtxk,txkh->vtxh", weights, self._values(name))

    def _match_columns(self, state: State) -> tf.Tensor:
        """What items' alphas are multiplied with, of every user: [V, K of all, 2]."""
        of_item = {item: user for user, item in MATCHES}
        columns = []
        for user_set, _ in MATCHES:
            parts = []
            for item_set in self._item_alphas:
                alpha = state[f"alpha/{of_item[item_set]}"]
                scale = float(alpha.shape[-1]) if of_item[item_set] == user_set else 0.0
                parts.append(scale * alpha)
            columns.append(tf.concat(parts, axis=-1))
        return tf.stack(columns, axis=-1)

    # Sizes

    @property
    def _item_alphas(self) -> list[str]:
        """The sets whose alpha an item brings."""
        if self._has_match:
            return [s for s in NEIGHBOR_SETS if OWNERS[s] == "item"]
        return self._sets("item", "user")

    def _sets(self, owner: str, query: str) -> list[str]:
        """The neighbour sets with the edges of one node and the attention of another."""
        if self._bottom is None:
            return []
        query_of = self._bottom.experts.query_of
        return [s for s in NEIGHBOR_SETS if OWNERS[s] == owner and query_of[s] == query]

    def _size(self, name: str) -> int:
        """K of a set."""
        size: int = self._bottom.num_macro_nodes[NODES[name]]
        return size

    def _item_widths(self) -> list[int]:
        """Of the parts of an item's `by_task`."""
        if self._bottom is None:
            return [self._width]
        experts = self._bottom.experts
        own = len(self._sets("item", "item"))
        widths = [self._size(s) for s in self._sets("user", "item")]
        widths += [experts.units * own] * bool(own)
        return [*(w * experts.experts_of_task for w in widths), experts.experts_of_task, self._width]


def _flat(values: tf.Tensor) -> tf.Tensor:
    """[V, T, X, W] to [V, T, X W]."""
    _, tasks, experts, width = values.shape
    return tf.reshape(values, [-1, tasks, experts * width])


def _fitted(values: tf.Tensor, width: int) -> tf.Tensor:
    """The first entries of [..., D], followed by zeros where there are fewer: [..., width]."""
    values = values[..., :width]
    padding = [[0, 0]] * (values.shape.rank - 1) + [[0, width - values.shape[-1]]]
    return tf.pad(values, padding)
