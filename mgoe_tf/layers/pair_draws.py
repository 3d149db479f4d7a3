"""Pairs of a graph to rank: what a user did, and what the user did not."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from scipy import sparse

from input_pipeline.feature import NODES

_TRIES = 4


class Drawn(NamedTuple):
    """Pairs of nodes, by number: [M] each.

    Attributes:
      users, positives, negatives: int32; 0 where there is no pair.
      valid: bool, where there is one.
    """

    users: tf.Tensor
    positives: tf.Tensor
    negatives: tf.Tensor
    valid: tf.Tensor


class PairDraws(tf.keras.layers.Layer):
    """Draws a pair (u, i) and an item j that u did nothing on, from the graph of each given item.

    A pair is drawn with a probability in proportion to its weight among those of its graph, an item
    j evenly among those of the graph that the user did nothing on: the first such of four items
    drawn; there is no pair where it is none of them. The state of the random numbers is where
    checkpoints see it, so that a resumed run draws what an uninterrupted one would have.

    Args:
      graphs: weights of pairs, CSR [U, I], above 0.
      starts: by owner, [graphs], the number of each graph's first node, as `CutNodes` counts.

    Call arguments:
      items: int32 [M], numbers of items, 0 for none.

    Returns:
      `Drawn`; no pair for number 0.

    Example: a graph of one user who did something on the second of two items.

    >>> tf.keras.utils.set_random_seed(0)
    >>> graph, starts = sparse.csr_matrix([[0.0, 3.0]]), {"user": [1], "item": [1]}
    >>> draws = PairDraws(graphs=[graph], starts=starts)
    >>> [part.numpy().tolist() for part in draws(tf.constant([2, 0]))]
    [[1, 0], [2, 0], [1, 0], [True, False]]
    """

    def __init__(
        self,
        *,
        graphs: Sequence[sparse.csr_matrix],
        starts: Mapping[str, NDArray[Any] | Sequence[int]],
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        pairs = [graph.tocoo() for graph in graphs]
        of_user, of_item = (np.asarray(starts[owner], np.int64) for owner in NODES)
        users = np.concatenate([p.row + start for p, start in zip(pairs, of_user, strict=True)])
        items = np.concatenate([p.col + start for p, start in zip(pairs, of_item, strict=True)])
        weights = np.concatenate([pair.data for pair in pairs])
        # ascending by graph, as numbers are, so that the pairs of a graph stay together
        order = np.lexsort((items, users))
        self._num_items = int(of_item[-1]) + graphs[-1].shape[1]
        with tf.init_scope():
            self._users = tf.constant(users[order], tf.int32)
            self._items = tf.constant(items[order], tf.int32)
            self._keys = tf.constant(users[order] * self._num_items + items[order], tf.int64)
            self._sums = tf.constant(np.append(0.0, np.cumsum(weights[order])), tf.float64)
            self._first = tf.constant(np.cumsum([0, *(pair.nnz for pair in pairs)]), tf.int32)
            self._starts = tf.constant(of_item, tf.int32)
            self._sizes = tf.constant([graph.shape[1] for graph in graphs], tf.int32)
            # tf.keras.utils.set_random_seed seeds Python's random numbers too
            self.generator = tf.random.Generator.from_seed(random.randrange(2**31))

    def call(self, items: tf.Tensor) -> Drawn:
        # graph, pair: [M]; of no graph those of the first, which are not valid
        graph = tf.searchsorted(self._starts, items, side="right", out_type=tf.int32) - 1
        known, graph = graph >= 0, tf.maximum(graph, 0)
        first, end = tf.gather(self._first, graph), tf.gather(self._first, graph + 1)
        low, high = tf.gather(self._sums, first), tf.gather(self._sums, end)
        seeds = tf.unstack(self.generator.make_seeds(2), axis=1)
        size = tf.size(items)
        share = tf.random.stateless_uniform([size], seeds[0], dtype=tf.float64)
        pair = tf.searchsorted(self._sums, low + share * (high - low), side="right") - 1
        pair = tf.clip_by_value(pair, 0, tf.maximum(tf.size(self._users) - 1, 0))
        pair = tf.clip_by_value(pair, first, tf.maximum(end - 1, first))
        valid = known & (end > first)
        pair = tf.where(valid, pair, 0)
        users, positives = tf.gather(self._users, pair), tf.gather(self._items, pair)
        # tries, keys: [M, tries]
        shares = tf.random.stateless_uniform([size, _TRIES], seeds[1], dtype=tf.float64)
        sizes = tf.cast(tf.gather(self._sizes, graph), tf.float64)
        tries = tf.cast(shares * sizes[:, tf.newaxis], tf.int32)
        tries += tf.gather(self._starts, graph)[:, tf.newaxis]
        keys = tf.cast(users, tf.int64)[:, tf.newaxis] * self._num_items
        keys += tf.cast(tries, tf.int64)
        places = tf.searchsorted(self._keys, tf.reshape(keys, [-1]))
        places = tf.minimum(places, tf.size(self._keys) - 1)
        done = tf.reshape(tf.gather(self._keys, places), tf.shape(keys)) == keys
        chosen = tf.argmin(tf.cast(done, tf.int32), axis=1, output_type=tf.int32)
        valid &= ~tf.reduce_all(done, axis=1)
        negatives = tf.gather(tries, chosen, batch_dims=1)
        nobody = tf.zeros_like(users)
        users, positives, negatives = (
            tf.where(valid, numbers, nobody) for numbers in (users, positives, negatives)
        )
        return Drawn(users, positives, negatives, valid)
