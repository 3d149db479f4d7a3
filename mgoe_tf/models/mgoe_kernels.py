"""The weights of MGOE as a network of node states takes them.

Axes: T tasks, X experts of the bottom, Y of the fusion, K macro nodes, H units of a head, C units
of the fusion's first layer, D widths of embeddings, R what that layer reads of an item.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from input_pipeline.feature import NODES as OWNERS_OF_STATES
from input_pipeline.spec import INPUT_OWNERS
from mgoe_tf.layers.neighbor_sets import NEIGHBOR_SETS, NODES, OWNERS


class MGOEKernels:
    """What weights alone tell, computed once, and how wide what they read is.

    A server's optimizer does not multiply out what is as large as these kernels.

    Args:
      model: an `MGOE` of stages of its own, built.

    Attributes:
      widths: of x by `user`, `item` and `context`, and of n by `near_user` and `near_item`; 0 of
        what there is not.
      read_widths: of n_i, x_i and the item's totals, the R that the first layer reads of an item.
      first: the rows of the fusion's first layer by what they read, [T, Y, rows, C + 1], of which
        the last column is of the fusion's gates.
      of_items: three kernels [T, Y, R, C + 1] of what is read of an item: as it is, multiplied with
        x_u, and multiplied with n_u.
      later: kernels [Y, T, ...] and biases [Y, T, 1, ...] of its later layers.
      gate: the rows of the bottom's gates by what they read, of a set those of alpha: [T, rows, X].
      values: K z_m W_V by neighbour set: [T, X, K, H].
      head_matrix: from what items bring of heads to heads, [T, X, W, H of all]: from attention, the
        values of macro nodes; from values, these themselves.
    """

    def __init__(self, model: Any) -> None:
        self._bottom, self._fusion = model.bottom, model.fusion
        self._has_match = model.macro_match is not None
        self._num_tasks = len(model.spec.tasks)
        self.widths = {owner: model.input_width(owner) for owner in INPUT_OWNERS}
        self.widths |= {f"near_{owner}": model.near_width(owner) for owner in OWNERS_OF_STATES}
        self.read_widths = (
            self.widths["near_item"], self.widths["item"], 2 * self._has_match
        )  # fmt: skip
        self.first = _as_arrays(self._first_kernels())
        self.of_items = self._kernels_of_items()
        experts = self._fusion.experts
        self.later = [
            tuple(by_expert(experts.by_task(weight).numpy()) for weight in layer)
            for layer in zip(experts.kernels[1:], experts.biases[1:], strict=True)
        ]
        self.gate = {} if self._bottom is None else _as_arrays(self._gate_kernels())
        self.values = _as_arrays({s: self._set_values(s) for s in self.all_sets})
        self.head_matrix = self._make_head_matrix()

    @property
    def num_experts(self) -> int:
        """X; 1 without a bottom."""
        count: int = 1 if self._bottom is None else self._bottom.experts.experts_of_task
        return count

    @property
    def num_gates(self) -> int:
        """How many logits tell the fusion's gates: of two experts one, their difference."""
        count: int = self._fusion.experts.experts_of_task
        return count if count > 2 else count - 1

    @property
    def own_units(self) -> int:
        """How many units heads have that an item brings itself."""
        return 0 if self._bottom is None else self._bottom.units * len(self.sets("item", "item"))

    @property
    def head_width(self) -> int:
        """W, what an item brings to the heads of an expert: its attention, and its values."""
        return sum(self.size(s) for s in self.sets("user", "item")) + self.own_units

    @property
    def fixed(self) -> list[NDArray[Any]]:
        """The rows of the first layer that are the same for all users, [T, Y, rows, C + 1] each.

        They read heads, those of the last sets of each expert of the bottom, and the match.
        """
        found = [self.first[s] for s in (*self.sets("user", "item"), *self.sets("item", "item"))]
        for s in self.sets("item", "user"):
            found.append(np.tile(self.first[s], [1, 1, self.num_experts, 1]))
        return [*found, *([self.first["match"]] if self._has_match else [])]

    def among_item_alphas(self, name: str, values: Any, axis: int) -> Any:
        """Values by macro nodes of a set along an axis, with zeros for those of others.

        The axis is then as long as what an item brings of alphas.
        """
        sizes = [self.size(s) for s in self.item_alphas]
        place = self.item_alphas.index(name)
        padding = [(0, 0)] * len(values.shape)
        padding[axis] = (sum(sizes[:place]), sum(sizes[place + 1 :]))
        return tf.pad(values, padding)

    @property
    def all_sets(self) -> list[str]:
        """The four neighbour sets, or none without a bottom."""
        return [] if self._bottom is None else list(NEIGHBOR_SETS)

    @property
    def item_alphas(self) -> list[str]:
        """The sets whose alpha an item brings."""
        if self._has_match:
            return [s for s in NEIGHBOR_SETS if OWNERS[s] == "item"]
        return self.sets("item", "user")

    def sets(self, owner: str, query: str) -> list[str]:
        """The neighbour sets with the edges of one node and the attention of another."""
        if self._bottom is None:
            return []
        query_of = self._bottom.experts.query_of
        return [s for s in NEIGHBOR_SETS if OWNERS[s] == owner and query_of[s] == query]

    def size(self, name: str) -> int:
        """K of a set."""
        size: int = self._bottom.num_macro_nodes[NODES[name]]
        return size

    def _make_head_matrix(self) -> NDArray[Any]:
        if self._bottom is None:
            return np.zeros(0)
        parts = [self.values[s] for s in self.sets("user", "item")]
        shape = (self._num_tasks, self.num_experts, self.own_units, self.own_units)
        parts.append(np.broadcast_to(np.eye(self.own_units, dtype=np.float32), shape))
        columns = sum(part.shape[-1] for part in parts)
        found = np.zeros([*shape[:2], self.head_width, columns], np.float32)
        row = column = 0
        for part in parts:
            below, after = row + part.shape[2], column + part.shape[3]
            found[:, :, row:below, column:after] = part
            row, column = below, after
        return found

    def _kernels_of_items(self) -> list[NDArray[Any]]:
        """Each a kernel of n_i, of x_i and of what has none, one below the other."""
        shape = (*self.first["bias"].shape[:2], 0, self.first["bias"].shape[-1])

        def rows(of_near: str, of_item: str, of_totals: str = "") -> NDArray[Any]:
            parts = []
            names = (of_near, of_item, of_totals)
            for name, size in zip(names, self.read_widths, strict=True):
                kernel = self.first.get(name, np.zeros(shape, np.float32))
                filled = [(0, 0), (0, 0), (0, size - kernel.shape[2]), (0, 0)]
                parts.append(np.pad(kernel, filled))
            return np.concatenate(parts, axis=2)

        return [
            rows("near_item", "item", "item_totals"),
            rows("user*near_item", "user*item"),
            rows("", "item*near_user"),
        ]

    def _first_kernels(self) -> dict[str, tf.Tensor]:
        """The rows of the fusion's first layer by what they read: [T, Y, rows, C + 1]."""
        fusion, widths = self._fusion, self.widths
        kernel = fusion.experts.by_task(fusion.experts.kernels[0])
        # The logit of an expert's gate is one more unit of its first layer.
        gate = tf.transpose(fusion.gates.kernel, [0, 2, 1])[..., tf.newaxis]
        gate = gate_logits_of(gate / fusion.gate_temperature, axis=1)
        kernel = tf.concat([kernel, gate], axis=-1)
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
        widths = [self.widths[name] for name in ("user", "item", "context")]
        kernel = self._bottom.gates.kernel / self._bottom.gate_temperature
        kernel = gate_logits_of(kernel, axis=2)
        own, *by_set = tf.split(kernel, self._bottom.gate_parts, axis=1)
        tables = self._bottom.tables()
        found = dict(zip(("user", "item", "context"), tf.split(own, widths, axis=1), strict=True))
        for (name, nodes), part in zip(NODES.items(), by_set, strict=True):
            found[name] = tf.matmul(tables[nodes], part)
        return found

    def _set_values(self, name: str) -> tf.Tensor:
        """K z_m W_V of a set: [T, X, K, H]."""
        return self._bottom.experts.project(self._bottom.tables())[name].values


def gate_logits_of(values: tf.Tensor, axis: int) -> tf.Tensor:
    """Logits, or a kernel that gives them; of two their differences, which sigmoids take."""
    return values - tf.reverse(values, [axis]) if values.shape[axis] == 2 else values


def by_expert(values: NDArray[Any]) -> NDArray[Any]:
    """[T, Y, ...] as [Y, T, ...], one expert's after the other's."""
    return np.ascontiguousarray(np.swapaxes(values, 0, 1))


def _as_arrays(tensors: Mapping[str, tf.Tensor]) -> dict[str, NDArray[Any]]:
    return {name: value.numpy() for name, value in tensors.items()}
