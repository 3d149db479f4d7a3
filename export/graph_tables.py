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
from export.node_state import NodeTable, bytes_a_row
from input_pipeline.feature import NODES, Feature
from input_pipeline.files import filesystem
from input_pipeline.log.byte_strings import ByteStrings
from input_pipeline.log.raw_ids import RawIds, as_array
from input_pipeline.records.example_parsing import DTYPES
from mgoe_tf.layers.id_lookup import IdLookup, id_table
from mgoe_tf.models.base import RankingModel
from mgoe_tf.models.node_network import NodeNetwork

_CHUNK = 1 << 14  # nodes embedded at once
_SUM = "sum/"  # before the name of a lookup, among names of features


Features = dict[str, tf.Tensor]
Sums = dict[str, tf.Tensor]


def table_bytes(
    snapshot: GraphSnapshot,
    model: RankingModel,
    network: NodeNetwork | None = None,
    table_dtype: str = "float32",
) -> dict[str, int]:
    """How much memory each table of a model takes, by `<owner> features` and `<owner> state`.

    Args:
      snapshot: the graph.
      model: built.
      network, table_dtype: see `GraphTables`.
    """
    spec, found = snapshot.spec, {}
    for owner in NODES:
        rows = spec.vocabulary(f"{owner}_id").size + 1
        if _has_features(model, network):
            found[f"{owner} features"] = rows * _feature_bytes(model, owner, table_dtype)
        if network is not None:
            shapes = {n: (v.shape[1:], v.dtype.name) for n, v in _blank(model, owner, network)}
            found[f"{owner} state"] = rows * bytes_a_row(shapes, table_dtype)
    return found


def _has_features(model: RankingModel, network: NodeNetwork | None) -> bool:
    """Whether there is a table of what enters the network: `explain` looks at its inside."""
    return network is None or model.explains


def _feature_bytes(model: RankingModel, owner: str, table_dtype: str) -> int:
    kept = {f.name: ([math.prod(f.shape)], "float32") for f in _kept(model, owner)}
    tasks = len(model.spec.tasks)
    sums = {
        _SUM + one.name: ([model.tables[one.table].dim * one.lists(tasks)], "float32")
        for one in model.lookups
        if one.owner == owner
    }
    return bytes_a_row(kept | sums, table_dtype, kept)


def _blank(model: RankingModel, owner: str, network: NodeNetwork) -> list[tuple[str, tf.Tensor]]:
    """The state of an unknown node without a graph, [1, ...] by name."""
    features = model.zero_features(1)
    sums = model.sums(model.bags(features, owners=(owner,)))
    return list(network.state(owner, features, sums).items())


def _kept(model: RankingModel, owner: str) -> list[Feature]:
    """The features of an owner that enter the network as they are, and not as a sum."""
    features = (model.spec.feature(name) for name in model.feature_names)
    return [f for f in features if f.owner == owner and not f.ragged and f.vocabulary is None]


class GraphTables(tf.Module):  # type: ignore[misc]  # TensorFlow has no types
    """What a model knows of every user, or of every item, of a snapshot before it sees the other.

    The lookups of the ids, of their side features and of their neighbours are made here, once for
    all: a row of the table of features holds the sums that `RankingModel.sums` gives for a node,
    and the features that enter the network as they are; a row of the table of states, where there
    is one, what `NodeNetwork.state` makes of them.

    Row 0 is that of ids that the vocabulary does not have: a cold node of the embedding row that
    all unknown ids share. Ids that only the vocabulary knows, and not the graph, are cold too, with
    the embedding that training gave them. Where the model hashes ids, what reads row 0 is cold and
    has the embedding that its id is hashed to.

    Args:
      snapshot: the graph.
      owner: `user` or `item`.
      model: a `RankingModel`.
      lookup: its `IdLookup`.
      network: of the model; None: there are no states. With states there is a table of features
        only for a model that explains itself.
      table_dtype: of sums and states; features are kept as they are.
    """

    def __init__(
        self,
        *,
        snapshot: GraphSnapshot,
        owner: str,
        model: RankingModel,
        lookup: IdLookup,
        network: NodeNetwork | None = None,
        table_dtype: str = "float32",
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
        features, states = [], []
        for part in parts:
            kept, sums = nodes.known(snapshot.features(owner, part, nodes.names))
            if network is not None:
                made = network.state(owner, kept, sums)
                states.append({name: value.numpy() for name, value in made.items()})
            if _has_features(model, network):
                features.append(nodes.by_node(kept, sums))
        self._features = self._states = None
        if features:
            exact = [feature.name for feature in nodes.kept]
            self._features = NodeTable(
                chunks=features, table_dtype=table_dtype, exact=exact, name=f"{owner}_graph"
            )
        if network is not None:
            self._states = NodeTable(
                chunks=states,
                table_dtype=table_dtype,
                by_task=network.by_task,
                name=f"{owner}_states",
            )

    @property
    def size_bytes(self) -> dict[str, int]:
        """Of each table, named as `table_bytes` does."""
        owner = self._nodes.owner
        tables = {f"{owner} features": self._features, f"{owner} state": self._states}
        return {name: table.size_bytes for name, table in tables.items() if table is not None}

    def known(self, ids: tf.Tensor) -> tf.Tensor:
        """Whether the graph has each of raw ids [B], or training gave it an embedding: bool [B]."""
        rows = self._rows.lookup(ids)
        return (rows >= 0) & (rows < self._num_nodes) | self._nodes.embedded(ids)

    def states(self, ids: tf.Tensor) -> dict[str, tf.Tensor]:
        """The states of raw ids [B] or [B, N], as `NodeNetwork.logits` takes them."""
        assert self._states is not None
        return self._states(self._rows.lookup(ids) + 1)

    def __call__(self, ids: tf.Tensor) -> tuple[Features, Sums]:
        """The features [B, ...] and the sums of raw ids [B]."""
        assert self._features is not None
        numbers = self._rows.lookup(ids)
        found = self._features(numbers + 1)
        features = {
            feature.name: tf.cast(
                tf.reshape(found.pop(feature.name), [-1, *feature.shape]), DTYPES[feature.dtype]
            )
            for feature in self._nodes.kept
        }
        sums = {}
        for name, value in found.items():
            # value: [B, D], or of N lists a node [B, N, D] to [N * B, D], as the model has them
            if value.shape.rank > 2:
                value = tf.reshape(tf.transpose(value, [1, 0, 2]), [-1, value.shape[-1]])
            sums[name.removeprefix(_SUM)] = value
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
        self.owner, self._model, self._lookup = owner, model, lookup
        self._snapshot = snapshot

    def embedded(self, ids: tf.Tensor) -> tf.Tensor:
        """Whether each of raw ids [B] has an embedding row of its own: bool [B]."""
        return self._lookup.has_own_row(f"{self.owner}_id", ids)

    def cold(self, ids: tf.Tensor) -> Sums:
        """The sums of cold nodes of raw ids [B], lists as the model has them."""
        missing = self._snapshot.missing(self.owner, self.names)
        size = tf.shape(ids)
        raw = {name: tf.repeat(tf.constant(value), size, axis=0) for name, value in missing.items()}
        raw |= {f"{self.owner}_id": ids}
        return self._model.sums(
            self._model.bags(self._lookup.encode(raw), owners=(self.owner,)), served=True
        )

    def known(self, raw: Mapping[str, NDArray[Any]]) -> tuple[Features, Sums]:
        """The features [V, ...] and the sums, [V, D] or [N V, D], of raw features."""
        encoded = self._lookup.encode({name: tf.constant(value) for name, value in raw.items()})
        sums = self._model.sums(self._model.bags(encoded, owners=(self.owner,)), served=True)
        return {feature.name: encoded[feature.name] for feature in self.kept}, sums

    def by_node(self, kept: Features, sums: Sums) -> dict[str, NDArray[Any]]:
        """Features [V, W] and sums, [V, D] or [V, N, D], of `known`, float32 by name."""
        found: dict[str, NDArray[Any]] = {}
        size = -1
        for lookup in (one for one in self._model.lookups if one.name in sums):
            value = sums[lookup.name].numpy()
            count = lookup.lists(len(self._model.spec.tasks))
            # lists: [N, V, D]
            lists = value.reshape(count, -1, value.shape[-1])
            size = lists.shape[1]
            found[_SUM + lookup.name] = lists.transpose(1, 0, 2) if count > 1 else lists[0]
        features = {
            name: value.numpy().reshape(size, -1).astype(np.float32) for name, value in kept.items()
        }
        return features | found


def _unknown_id(ids: RawIds) -> NDArray[Any]:
    """An id that is not among `ids`, which are distinct: [1]."""
    if isinstance(ids, ByteStrings):
        return np.array([b"\n"], object)  # no id contains a line break
    # Of integers the least one: from the smallest of int64 on, the first gap.
    lowest = np.iinfo(np.int64).min + np.arange(len(ids) + 1)
    taken = np.append(np.sort(ids), np.iinfo(np.int64).max) == lowest
    return lowest[np.argmin(taken) :][:1]
