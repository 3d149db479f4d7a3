"""A graph snapshot inside the model, from which `rank_ids` takes the features of raw ids.

Axes: V ids of the vocabulary, B nodes asked for.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from export.snapshot import GraphSnapshot
from input_pipeline import filesystem
from mgoe_tf.layers.id_lookup import id_table, neighbor_side_features

_CHUNK = 1 << 16  # nodes encoded at once
Encode = Callable[[Mapping[str, tf.Tensor]], Mapping[str, tf.Tensor]]


def table_bytes(snapshot: GraphSnapshot, names: Sequence[str]) -> int:
    """How much memory the tables of both owners would take for a model that reads `names`."""
    spec = snapshot.spec
    total = 0
    for feature in map(spec.feature, names):
        width = (feature.length or 1) * (1 + len(neighbor_side_features(spec, feature.name)))
        total += 4 * width * (spec.vocabulary(f"{feature.owner}_id").size + 1)
    return total


class GraphTables(tf.Module):
    """The encoded features of every user or of every item of a snapshot.

    Row 0 is that of ids that the vocabulary does not have: a cold node of the embedding row that
    all unknown ids share. Ids that only the vocabulary knows, and not the graph, are cold too, with
    the embedding that training gave them.

    Args:
      snapshot: whose features they are.
      owner: `user` or `item`.
      names: the raw features that the model reads of that owner.
      encode: raw features -> encoded ones (`IdLookup`), here of one owner.
    """

    def __init__(
        self, *, snapshot: GraphSnapshot, owner: str, names: Sequence[str], encode: Encode
    ) -> None:
        super().__init__(name=f"{owner}_graph_tables")
        vocabulary = snapshot.spec.vocabulary(f"{owner}_id")
        path = filesystem.join(snapshot.data_dir, "vocabulary", f"{owner}_id.txt")
        self._rows = id_table(path, vocabulary.dtype)
        encoded = _encode_all(snapshot, owner, names, encode)
        self._columns = {name: (v.shape[1:], v.dtype) for name, v in encoded.items()}
        # One table for numbers and one for ids: a node costs two gathers, not one a feature.
        self._tables = {
            kind: tf.Variable(_side_by_side(encoded, kind), trainable=False, name=f"{owner}_{kind}")
            for kind in ("float32", "int32")
            if any(_kind(dtype) == kind for _, dtype in self._columns.values())
        }

    def __call__(self, ids: tf.Tensor) -> dict[str, tf.Tensor]:
        """The encoded features, [B, ...] each, of raw ids [B]."""
        rows = self._rows.lookup(ids) + 1
        features = {}
        for kind, table in self._tables.items():
            columns = {n: s for n, (s, dtype) in self._columns.items() if _kind(dtype) == kind}
            widths = [shape[0] if shape else 1 for shape in columns.values()]
            parts = tf.split(tf.gather(table, rows), widths, axis=1)
            for (name, shape), part in zip(columns.items(), parts, strict=True):
                value = part if shape else tf.squeeze(part, axis=1)
                features[name] = tf.cast(value, self._columns[name][1])
        return features


def _kind(dtype: np.dtype) -> str:
    return "float32" if dtype == np.float32 else "int32"


def _side_by_side(encoded: Mapping[str, np.ndarray], kind: str) -> np.ndarray:
    """The features of one kind as columns: [V + 1, sum of widths]."""
    columns = [v.reshape(len(v), -1) for v in encoded.values() if _kind(v.dtype) == kind]
    return np.concatenate(columns, axis=1).astype(kind)


def _unknown_id(ids: np.ndarray) -> np.ndarray:
    """An id that is not among `ids`: [1]."""
    if ids.dtype == object:
        return np.array([b"\n"], object)  # no id contains a line break
    known = set(ids.tolist())
    smallest = np.iinfo(np.int64).min
    return np.array([next(i for i in itertools.count(smallest) if i not in known)], np.int64)


def _encode_all(
    snapshot: GraphSnapshot, owner: str, names: Sequence[str], encode: Encode
) -> dict[str, np.ndarray]:
    ids = snapshot.all_ids(owner)
    ids = np.concatenate([_unknown_id(ids), ids])
    chunks = []
    for start in range(0, len(ids), _CHUNK):
        raw = snapshot.features(owner, ids[start : start + _CHUNK], names)
        encoded = encode({name: tf.constant(value) for name, value in raw.items()})
        chunks.append({name: value.numpy() for name, value in encoded.items()})
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}
