"""A graph snapshot inside the model, from which `rank_ids` takes what it knows of raw ids.

Axes: V ids of the vocabulary, B nodes asked for, T tasks, D embedding.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from export.client.snapshot import GraphSnapshot
from input_pipeline.feature import NODES, Feature
from input_pipeline.files import filesystem
from input_pipeline.log.byte_strings import ByteStrings
from input_pipeline.log.raw_ids import RawIds, as_array
from input_pipeline.records.example_parsing import DTYPES
from mgoe_tf.layers.id_lookup import IdLookup, id_table
from mgoe_tf.models.base import RankingModel

_CHUNK = 1 << 14  # nodes embedded at once
_SUM = "sum/"  # before the name of a lookup, among names of features


Features = dict[str, tf.Tensor]
Sums = dict[str, tf.Tensor]


def table_bytes(snapshot: GraphSnapshot, model: RankingModel) -> int:
    """How much memory the tables of both owners would take for a model."""
    spec = snapshot.spec
    total = 0
    for owner in NODES:
        width = sum(math.prod(feature.shape) for feature in _kept(model, owner))
        for lookup in model.lookups:
            lists = lookup.lists(len(spec.tasks))
            width += model.tables[lookup.table].dim * lists * (lookup.owner == owner)
        total += 4 * width * (spec.vocabulary(f"{owner}_id").size + 1)
    return total


def _kept(model: RankingModel, owner: str) -> list[Feature]:
    """The features of an owner that enter the network as they are, and not as a sum."""
    features = (model.spec.feature(name) for name in model.feature_names)
    return [f for f in features if f.owner == owner and not f.ragged and f.vocabulary is None]


class GraphTables(tf.Module):  # type: ignore[misc]  # TensorFlow has no types
    """What a model knows of every user, or of every item, of a snapshot before it sees the other.

    The lookups of the ids, of their side features and of their neighbours are made here, once for
    all: a row of the table holds the sums that `RankingModel.sums` gives for a node, and the
    features that enter the network as they are.

    Row 0 is that of ids that the vocabulary does not have: a cold node of the embedding row that
    all unknown ids share. Ids that only the vocabulary knows, and not the graph, are cold too, with
    the embedding that training gave them. Where the model hashes ids, what reads row 0 is cold and
    has the embedding that its id is hashed to.

    Args:
      snapshot: the graph.
      owner: `user` or `item`.
      model: a `RankingModel`.
      lookup: its `IdLookup`.
    """

    def __init__(
        self, *, snapshot: GraphSnapshot, owner: str, model: RankingModel, lookup: IdLookup
    ) -> None:
        super().__init__(name=f"{owner}_graph_tables")
        vocabulary = snapshot.spec.vocabulary(f"{owner}_id")
        self._num_nodes = len(snapshot.known_ids(owner))
        path = filesystem.join(snapshot.data_dir, "vocabulary", f"{owner}_id.txt")
        self._rows = id_table(path, vocabulary.dtype)
        self._nodes = nodes = _Nodes(owner, model, lookup, snapshot)
        self._hashed = bool(model.spec.vocabulary(f"{owner}_id").hash_rows)
        ids = snapshot.all_ids(owner)
        parts = [_unknown_id(ids)]
        parts += [as_array(ids[start : start + _CHUNK]) for start in range(0, len(ids), _CHUNK)]
        chunks = [nodes.known(snapshot.features(owner, part, nodes.names)) for part in parts]
        self._shapes = {key: value.shape[1:] for key, value in chunks[0].items()}
        # One table: a node costs one gather, whatever it holds.
        rows = [np.concatenate([v.reshape(len(v), -1) for v in c.values()], axis=1) for c in chunks]
        self._table = tf.Variable(
            np.concatenate(rows).astype(np.float32), trainable=False, name=f"{owner}_graph"
        )

    def known(self, ids: tf.Tensor) -> tf.Tensor:
        """Whether the graph has each of raw ids [B], or training gave it an embedding: bool [B]."""
        rows = self._rows.lookup(ids)
        return (rows >= 0) & (rows < self._num_nodes) | self._nodes.embedded(ids)

    def __call__(self, ids: tf.Tensor) -> tuple[Features, Sums]:
        """The features [B, ...] and the sums of raw ids [B]."""
        numbers = self._rows.lookup(ids)
        rows = tf.gather(self._table, numbers + 1)
        # A server's optimizer does not know the shape of a gathered variable.
        rows = tf.reshape(rows, [-1, self._table.shape[1]])
        widths = [int(np.prod(shape)) for shape in self._shapes.values()]
        found: dict[str, tf.Tensor] = {}
        parts = tf.split(rows, widths, axis=1)
        for (name, shape), part in zip(self._shapes.items(), parts, strict=True):
            # part: [B, D], or of N lists a node [B, N * D] to [N * B, D], as the model has them
            if len(shape) > 1:
                by_list = tf.transpose(tf.reshape(part, [-1, *shape]), [1, 0, 2])
                part = tf.reshape(by_list, [-1, shape[-1]])
            found[name] = part if shape else tf.squeeze(part, axis=1)
        features = {
            feature.name: tf.cast(found.pop(feature.name), DTYPES[feature.dtype])
            for feature in self._nodes.kept
        }
        sums = {name.removeprefix(_SUM): value for name, value in found.items()}
        if self._hashed:
            cold = self._nodes.cold(ids)
            sums = {
                name: tf.where(_of_lists(numbers < 0, value), cold[name], value)
                for name, value in sums.items()
            }
        return features, sums


def _of_lists(chosen: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """Of nodes [B], for each row of `values` [N * B, D], of N lists a node: [N * B, 1]."""
    lists = tf.shape(values)[0] // tf.maximum(tf.size(chosen), 1)
    return tf.tile(chosen, [lists])[:, tf.newaxis]


class _Nodes:
    """Computes what a table holds of the nodes of one owner."""

    def __init__(
        self, owner: str, model: RankingModel, lookup: IdLookup, snapshot: GraphSnapshot
    ) -> None:
        features = (model.spec.feature(name) for name in model.feature_names)
        self.names = [feature.name for feature in features if feature.owner == owner]
        self.kept = _kept(model, owner)
        self._owner, self._model, self._lookup = owner, model, lookup
        self._snapshot = snapshot

    def embedded(self, ids: tf.Tensor) -> tf.Tensor:
        """Whether each of raw ids [B] has an embedding row of its own: bool [B]."""
        return self._lookup.has_own_row(f"{self._owner}_id", ids)

    def cold(self, ids: tf.Tensor) -> Sums:
        """The sums of cold nodes of raw ids [B], lists as the model has them."""
        missing = self._snapshot.missing(self._owner, self.names)
        size = tf.shape(ids)
        raw = {name: tf.repeat(tf.constant(value), size, axis=0) for name, value in missing.items()}
        raw |= {f"{self._owner}_id": ids}
        return self._model.sums(
            self._model.bags(self._lookup.encode(raw), owners=(self._owner,)), served=True
        )

    def known(self, raw: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """By name, features [V, ...] and sums, [V, D] or [V, N, D], of raw features."""
        encoded = self._lookup.encode({name: tf.constant(value) for name, value in raw.items()})
        found = {feature.name: encoded[feature.name].numpy() for feature in self.kept}
        sums = self._model.sums(self._model.bags(encoded, owners=(self._owner,)), served=True)
        for lookup in self._model.lookups:
            if lookup.name in sums:
                value = sums[lookup.name].numpy()
                # lists: [N, V, D]
                lists = value.reshape(-1, len(raw[self.names[0]]), value.shape[-1])
                found[_SUM + lookup.name] = lists.transpose(1, 0, 2) if len(lists) > 1 else lists[0]
        return found


def _unknown_id(ids: RawIds) -> NDArray[Any]:
    """An id that is not among `ids`, which are distinct: [1]."""
    if isinstance(ids, ByteStrings):
        return np.array([b"\n"], object)  # no id contains a line break
    # Of integers the least one: from the smallest of int64 on, the first gap.
    lowest = np.iinfo(np.int64).min + np.arange(len(ids) + 1)
    taken = np.append(np.sort(ids), np.iinfo(np.int64).max) == lowest
    return lowest[np.argmin(taken) :][:1]
