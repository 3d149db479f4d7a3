"""The weights of MGOE as a network of node states takes them.

Axes: T tasks, X experts of the bottom, Y of the fusion, K macro nodes, H units of a head, C units
of the fusion's first layer and one more for its gate, D widths of embeddings.
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
      read_widths: of n_i, x_i and the item's totals, which the first layer reads of an item.
      first: the rows of the fusion's first layer by what they read, [T, Y, rows, C].
      later: kernels and biases of its later layers, [T, Y, ...].
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
        experts = self._fusion.experts
        self.later = [
            (experts.by_task(kernel).numpy(), experts.by_task(bias).numpy())
            for kernel, bias in zip(experts.kernels[1:], experts.biases[1:], strict=True)
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
    def head_sets(self) -> list[str]:
        """The sets whose heads depend on the item, in the order that the first layer reads."""
        return [*self.sets("user", "item"), *self.sets("item", "item"),
                *self.sets("item", "user")]  # fmt: skip

    @property
    def own_units(self) -> int:
        """How many units heads have that an item brings itself."""
        return 0 if self._bottom is None else self._bottom.units * len(self.sets("item", "item"))

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

    @property
    def item_widths(self) -> list[int]:
        """Of what an item brings to a task: to heads, to the bottom's gates, and what is read."""
        reads = sum(self.read_widths)
        if self._bottom is None:
            return [reads]
        heads = sum(self.size(s) for s in self.sets("user", "item")) + self.own_units
        return [heads * self.num_experts, self.num_experts, reads]

    def _make_head_matrix(self) -> NDArray[Any]:
        """From what items bring of heads to heads: [T, X, W, H of all].

        From attention, the values of macro nodes; from values, these themselves.
        """
        if self._bottom is None:
            return np.zeros(0)
        units, row = self._bottom.units, 0
        mixed = self.sets("user", "item")
        rows = sum(self.size(s) for s in mixed) + self.own_units
        columns = units * len(mixed) + self.own_units
        found = np.zeros([self._num_tasks, self.num_experts, rows, columns], np.float32)
        for number, s in enumerate(mixed):
            end = row + self.size(s)
            found[:, :, row:end, number * units : (number + 1) * units] = self.values[s]
            row = end
        found[:, :, row:, units * len(mixed) :] = np.eye(self.own_units)
        return found

    def _first_kernels(self) -> dict[str, tf.Tensor]:
        """The rows of the fusion's first layer by what they read: [T, Y, rows, C]."""
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
        values = self._bottom.experts.project(self._bottom.tables())[name].values
        experts = self._bottom.experts
        shape = [self._num_tasks, experts.experts_of_task, self.size(name), experts.units]
        return tf.reshape(values, shape)


def gate_logits_of(values: tf.Tensor, axis: int) -> tf.Tensor:
    """Logits, or a kernel that gives them; of two their differences, which sigmoids take."""
    return values - tf.reverse(values, [axis]) if values.shape[axis] == 2 else values


def _as_arrays(tensors: Mapping[str, tf.Tensor]) -> dict[str, NDArray[Any]]:
    return {name: value.numpy() for name, value in tensors.items()}
