"""One numbering of the nodes of all graphs of a data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from input_pipeline.feature import NODES
from mgoe_tf.models.graph_assets import CutGraph


class CutNodes:
    """Numbers of users, and of items: 0 for none, then the nodes of one graph after the other's.

    Args:
      graphs: of the cuts 1 .. n, then the latest.

    Attributes:
      starts: by owner, int32 [graphs], the number of each graph's first node.
      sizes: by owner, int32 [graphs].
      rows: by owner, int32 [numbers], the embedding row of each node; or its code, int64.
    """

    def __init__(self, graphs: Sequence[CutGraph]) -> None:
        self.sizes = {o: np.array([g.sizes[o] for g in graphs], np.int32) for o in NODES}
        self.starts: dict[str, NDArray[Any]] = {
            owner: np.cumsum([1, *sizes[:-1]], dtype=np.int32)
            for owner, sizes in self.sizes.items()
        }
        self.rows: dict[str, NDArray[Any]] = {
            owner: np.concatenate([np.zeros(1, np.int32), *(graph.rows[owner] for graph in graphs)])
            for owner in NODES
        }

    def __len__(self) -> int:
        """How many graphs there are."""
        return len(self.sizes[NODES[0]])

    def numbers(self, owner: str, cut: tf.Tensor, node: tf.Tensor) -> tf.Tensor:
        """int32 [N]; 0 of graphs that there are not, and of nodes that are not in theirs.

        Args:
          owner: of the nodes.
          cut: [N], the number of the cut, from 1.
          node: [N], the number in its graph, from 1.
        """
        cut, node = tf.cast(cut, tf.int32), tf.cast(node, tf.int32)
        # as if there were a cut 0 without nodes
        place = tf.where((cut > 0) & (cut <= len(self)), cut, 0)
        size, start = (
            tf.gather(tf.constant(np.append(np.int32(0), values[owner])), place)
            for values in (self.sizes, self.starts)
        )
        return tf.where((node > 0) & (node <= size), start + node - 1, 0)

    def local(self, graph: int, owner: str, numbers: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Of numbers [N], rows or columns of one graph, int32, and which are its own, bool."""
        local = numbers - self.starts[owner][graph]
        return local, (local >= 0) & (local < self.sizes[owner][graph])

    def occurs(self, graph: int, numbers: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Whether some numbers are of a graph, bool scalar."""
        found = [tf.reduce_any(self.local(graph, o, numbers[o])[1]) for o in NODES]
        return found[0] | found[1]
