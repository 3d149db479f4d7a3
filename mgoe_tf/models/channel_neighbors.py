"""Neighbours of all nodes of the graphs of a data set, by channel: who did what, who is similar."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from scipy import sparse

from input_pipeline.feature import NODES
from input_pipeline.graph.merging_matrix import behavior_counts
from mgoe_tf.models.cut_nodes import CutNodes
from mgoe_tf.models.graph_assets import CutGraph
from mgoe_tf.models.graph_neighbors import most_similar, sampled

CHANNELS = ("bipartite", "similarity")


def neighbor_kind(channel: str, owner: str) -> str:
    """What the neighbours of users, or of items, are in a channel."""
    if channel == "similarity":
        return owner
    return {"user": "item", "item": "user"}[owner]


@dataclasses.dataclass(frozen=True)
class Reach:
    """Nodes with their neighbours, each once, and where to find whose; by owner.

    Attributes:
      numbers: int32 [R], distinct.
      own: int32 [N], the place of each node in those of its owner.
      neighbors: int32 [N, L], the place of each neighbour in those of its kind.
      present: bool [N, L], which neighbours there are.
    """

    numbers: dict[str, tf.Tensor]
    own: dict[str, tf.Tensor]
    neighbors: dict[str, tf.Tensor]
    present: dict[str, tf.Tensor]


class ChannelNeighbors:
    """Neighbours of all nodes by channel: apart from the model, as they are no weights.

    Args:
      graphs: of the cuts 1 .. n, then the latest.
      nodes: the numbers of their nodes.
      levels: of the tasks.
      channels: of `CHANNELS`.
      size: L, the most neighbours of a node.
      seed: of those that are drawn.
      similar: by owner, int32 [numbers, L], what `similar` of the same arguments gave; {}: they are
        found, which takes long.

    Attributes:
      rows: by owner, [numbers], the embedding row of each node, or its code.
    """

    def __init__(
        self,
        graphs: Sequence[CutGraph],
        nodes: CutNodes,
        *,
        levels: Sequence[int],
        channels: Sequence[str],
        size: int,
        seed: int,
        similar: Mapping[str, NDArray[Any]],
    ) -> None:
        self._size = size
        found: dict[tuple[str, str], list[NDArray[Any]]] = {
            (channel, owner): [np.zeros((1, self._size), np.int32)]
            for channel in channels
            for owner in NODES
        }
        if "similarity" in channels:
            found |= {("similarity", owner): [array] for owner, array in similar.items()}
        for number, graph in enumerate(graphs):
            random = np.random.default_rng([seed, number])
            ranks = graph.ranks
            counts = sparse.csr_matrix(
                (behavior_counts(ranks.data, levels), ranks.indices, ranks.indptr), ranks.shape
            )
            for owner, matrix in zip(NODES, (counts, counts.T.tocsr()), strict=True):
                for channel in channels:
                    if channel == "similarity" and owner in similar:
                        continue
                    if channel == "bipartite":
                        local = sampled(matrix, self._size, random)
                    else:
                        local = most_similar(matrix, self._size)
                    start = nodes.starts[neighbor_kind(channel, owner)][number]
                    found[channel, owner].append(np.where(local >= 0, local + start, 0))
        with tf.init_scope():
            # tensors that all traced functions share, in none of their graphs
            self._lists = {k: tf.constant(np.concatenate(of), tf.int32) for k, of in found.items()}
            self.rows = {owner: tf.constant(rows) for owner, rows in nodes.rows.items()}

    def similar(self) -> dict[str, NDArray[Any]]:
        """By owner, the similar nodes of all nodes; {} where no channel reads them."""
        return {
            owner: self._lists["similarity", owner].numpy()
            for owner in NODES
            if ("similarity", owner) in self._lists
        }

    def reach(self, channel: str, numbers: Mapping[str, tf.Tensor]) -> Reach:
        """Some nodes with their neighbours in a channel.

        Args:
          channel: which.
          numbers: by owner, int32 [N], distinct or not; 0 for none.
        """
        listed = {o: tf.gather(self._lists[channel, o], numbers[o]) for o in NODES}
        found = Reach({}, {}, {}, {o: listed[o] > 0 for o in NODES})
        for owner in NODES:
            whose = neighbor_kind(channel, owner)  # the relation is symmetric
            both = tf.concat([numbers[owner], tf.reshape(listed[whose], [-1])], axis=0)
            found.numbers[owner], places = tf.unique(both)
            size = tf.size(numbers[owner])
            found.own[owner] = places[:size]
            found.neighbors[whose] = tf.reshape(places[size:], [-1, self._size])
        return found
