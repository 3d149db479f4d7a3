"""A graph snapshot inside the model, from which `rank_ids` takes what it knows of raw ids.

Axes: V ids of the vocabulary, B nodes asked for, T tasks, D embedding.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from export.client.snapshot import GraphSnapshot
from input_pipeline.files import filesystem
from input_pipeline.spec import DatasetSpec
from mgoe_tf.layers.id_lookup import id_table

_CHUNK = 1 << 14  # nodes embedded at once


class Sum(NamedTuple):
    """One of the sums that `RankingModel.embeddings` gives: its table, its place in the list."""

    column: str
    position: int


Features = dict[str, tf.Tensor]
Sums = dict[Sum, tf.Tensor]


def table_bytes(snapshot: GraphSnapshot, model: Any) -> int:
    """How much memory the tables of both owners would take for a model."""
    spec, dim = snapshot.spec, model.options.embedding_dim
    features = [spec.feature(name) for name in model.feature_names]
    columns = {name.name for name in spec.vocabularies}
    total = 0
    for owner in ("user", "item"):
        mine = [feature for feature in features if feature.owner == owner]
        width = sum(dim if f.name in columns else f.length or 1 for f in mine if not f.ragged)
        if any(feature.ragged for feature in mine):
            width += dim * len(spec.tasks) * sum(v.owner != owner for v in spec.vocabularies)
        total += 4 * width * (spec.vocabulary(f"{owner}_id").size + 1)
    return total


class GraphTables(tf.Module):  # type: ignore[misc]  # TensorFlow has no types
    """What a model knows of every user, or of every item, of a snapshot before it sees the other.

    The lookups of the ids, of their side features and of their neighbours are made here, once for
    all: a row of the table holds the sums that `RankingModel.embeddings` gives for a node, and the
    features that enter the network as they are.

    Row 0 is that of ids that the vocabulary does not have: a cold node of the embedding row that
    all unknown ids share. Ids that only the vocabulary knows, and not the graph, are cold too, with
    the embedding that training gave them.

    Args:
      snapshot: the graph.
      owner: `user` or `item`.
      model: a `RankingModel`.
      lookup: its `IdLookup`.
    """

    def __init__(self, *, snapshot: GraphSnapshot, owner: str, model: Any, lookup: Any) -> None:
        super().__init__(name=f"{owner}_graph_tables")
        vocabulary = snapshot.spec.vocabulary(f"{owner}_id")
        path = filesystem.join(snapshot.data_dir, "vocabulary", f"{owner}_id.txt")
        self._rows = id_table(path, vocabulary.dtype)
        nodes = _Nodes(snapshot.spec, owner, model, lookup)
        ids = snapshot.all_ids(owner)
        ids = np.concatenate([_unknown_id(ids), ids])
        chunks = [
            nodes.known(snapshot.features(owner, ids[start : start + _CHUNK], nodes.names))
            for start in range(0, len(ids), _CHUNK)
        ]
        self._shapes = {key: value.shape[1:] for key, value in chunks[0].items()}
        # One table: a node costs one gather, whatever it holds.
        rows = [np.concatenate([v.reshape(len(v), -1) for v in c.values()], axis=1) for c in chunks]
        self._table = tf.Variable(
            np.concatenate(rows).astype(np.float32), trainable=False, name=f"{owner}_graph"
        )

    def __call__(self, ids: tf.Tensor) -> tuple[Features, Sums]:
        """The features [B, ...] and the sums of raw ids [B]."""
        rows = tf.gather(self._table, self._rows.lookup(ids) + 1)
        # A server's optimizer does not know the shape of a gathered variable.
        rows = tf.reshape(rows, [-1, self._table.shape[1]])
        widths = [int(np.prod(shape)) for shape in self._shapes.values()]
        features, sums = {}, {}
        parts = tf.split(rows, widths, axis=1)
        for (key, shape), part in zip(self._shapes.items(), parts, strict=True):
            if isinstance(key, Sum):
                # part: [B, D], or [B, T * D] to [T * B, D] as the model has lists by task
                if len(shape) > 1:
                    by_task = tf.transpose(tf.reshape(part, [-1, *shape]), [1, 0, 2])
                    part = tf.reshape(by_task, [-1, shape[-1]])
                sums[key] = part
            else:
                features[key] = part if shape else tf.cast(tf.squeeze(part, axis=1), tf.int64)
        return features, sums


class _Nodes:
    """Computes what a table holds of the nodes of one owner."""

    def __init__(self, spec: DatasetSpec, owner: str, model: Any, lookup: Any) -> None:
        features = [spec.feature(name) for name in model.feature_names]
        self.names = [feature.name for feature in features if feature.owner == owner]
        self._spec, self._owner, self._model, self._lookup = spec, owner, model, lookup
        # Ids and neighbours end in sums; what is left enters the network as it is.
        self._kept = [
            feature.name
            for feature in features
            if feature.owner == owner
            and not feature.ragged
            and feature.name not in lookup.vocabulary_of
        ]

    def known(self, raw: Mapping[str, NDArray[Any]]) -> dict[Any, NDArray[Any]]:
        """Features [V, ...] by name and sums [V, D] or [V, T, D] by `Sum`, of raw features."""
        encoded = self._lookup.encode({name: tf.constant(value) for name, value in raw.items()})
        # The other owner's features do not matter; a single unknown node stands for them.
        bags = self._model.bags({**self._model.zero_features(), **encoded})
        found: dict[Any, NDArray[Any]] = {name: encoded[name].numpy() for name in self._kept}
        for column, sums in self._model.embeddings(bags).items():
            for position, value in enumerate(sums):
                if self._owner_of(column, position) == self._owner:
                    lists = value.numpy().reshape(-1, len(raw[self.names[0]]), value.shape[-1])
                    by_node = lists.transpose(1, 0, 2)
                    found[Sum(column, position)] = by_node if position else by_node[:, 0]
        return found

    def _owner_of(self, column: str, position: int) -> str:
        """The first lookup in a column is the node's own, the second that of its neighbours."""
        owner = self._spec.vocabulary(column).owner
        return owner if position == 0 else {"user": "item", "item": "user"}[owner]


def _unknown_id(ids: NDArray[Any]) -> NDArray[Any]:
    """An id that is not among `ids`: [1]."""
    if ids.dtype == object:
        return np.array([b"\n"], object)  # no id contains a line break
    known = set(ids.tolist())
    smallest = np.iinfo(np.int64).min
    return np.array([next(i for i in itertools.count(smallest) if i not in known)], np.int64)
