"""Trainable embeddings of macro nodes."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from mgoe_tf.layers.initializers import StackedGlorotUniform


class MacroEmbeddings(tf.keras.layers.Layer):
    """Z^t_U [K_U, d] and Z^t_I [K_I, d] of every task t (Eq. 11).

    Args:
      num_tasks: T.
      num_macro_nodes: K_U and K_I, under the keys `user` and `item`.
      dim: d.

    Returns:
      `{"user": [T, K_U, D], "item": [T, K_I, D]}`; there are no inputs.

    Example:

    >>> layer = MacroEmbeddings(num_tasks=4, num_macro_nodes={"user": 20, "item": 30}, dim=10)
    >>> layer(None)["item"].shape
    TensorShape([4, 30, 10])
    """

    def __init__(
        self, *, num_tasks: int, num_macro_nodes: dict[str, int], dim: int, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        sizes = {"num_tasks": num_tasks, "dim": dim, **num_macro_nodes}
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"{name}: must be at least 1, got {size}")
        self.num_tasks = num_tasks
        self.num_macro_nodes = dict(num_macro_nodes)
        self.dim = dim

    def build(self, input_shape: Any) -> None:
        self.tables = {
            kind: self.add_weight(
                name=kind,
                shape=[self.num_tasks, num_macro_nodes, self.dim],
                initializer=StackedGlorotUniform(),
            )
            for kind, num_macro_nodes in self.num_macro_nodes.items()
        }
        super().build(input_shape)

    def call(self, inputs: Any = None) -> dict[str, tf.Tensor]:
        return {kind: tf.convert_to_tensor(table) for kind, table in self.tables.items()}

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_tasks": self.num_tasks,
            "num_macro_nodes": self.num_macro_nodes,
            "dim": self.dim,
        }
