"""Raw ids to embedding rows."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from input_pipeline.feature import USER_ROW, Feature
from input_pipeline.files import filesystem
from input_pipeline.records.example_parsing import Column
from input_pipeline.spec import DatasetSpec
from mgoe_tf.layers.hashed_rows import hash_codes


def neighbor_side_features(spec: DatasetSpec, feature: Feature) -> tuple[str, ...]:
    """The side features of the neighbours that a feature lists; () where it lists none."""
    if feature.role != "neighbors" or feature.vocabulary is None:
        return ()
    return spec.side_columns(spec.vocabulary(feature.vocabulary).owner)


def side_feature_of(neighbors: str, column: str) -> str:
    """Name of the encoded feature that holds a side feature of listed neighbours."""
    return f"{neighbors}/{column}"


def id_table(path: str, dtype: str) -> tf.lookup.StaticHashTable:
    """From the id in each line of a file to the line's number; -1 for other ids."""
    if dtype == "int64":
        key_dtype, key_index = tf.int64, 0  # the first of the tab-separated columns
    else:
        key_dtype, key_index = tf.string, tf.lookup.TextFileIndex.WHOLE_LINE
    ids = _ids_of_refused_file(path, dtype)
    if ids is None:
        initializer = tf.lookup.TextFileInitializer(
            path,
            key_dtype=key_dtype,
            key_index=key_index,
            value_dtype=tf.int64,
            value_index=tf.lookup.TextFileIndex.LINE_NUMBER,
        )
    else:
        # A table must have an entry: without ids, it maps one to what unknown ids get.
        keys = tf.constant(ids) if ids else tf.zeros([1], key_dtype)
        lines = tf.range(len(ids), dtype=tf.int64) if ids else tf.constant([-1], tf.int64)
        initializer = tf.lookup.KeyValueTensorInitializer(keys, lines)
    return tf.lookup.StaticHashTable(initializer, default_value=-1)


def _ids_of_refused_file(path: str, dtype: str) -> list[bytes] | None:
    """The ids, where TensorFlow would refuse the file: no lines, or the empty id among them."""
    if tf.io.gfile.stat(path).length == 0:
        return []
    if dtype == "int64":
        return None
    with tf.io.gfile.GFile(path, "rb") as file:
        text = file.read()
    empty_line = text.startswith(b"\n") or b"\n\n" in text
    return text.removesuffix(b"\n").split(b"\n") if empty_line else None


def _flat(function: Callable[[tf.Tensor], tf.Tensor], values: Column) -> Column:
    """Applies an elementwise function to the values that there are, and to no padding."""
    if isinstance(values, tf.RaggedTensor):
        return values.with_flat_values(function(values.flat_values))
    return function(values)


class IdLookup(tf.keras.layers.Layer):
    """Replaces raw ids by embedding rows: the i-th line of a vocabulary (from 0) is row i + 1.

    Unknown ids, and padding, are row 0. The hash tables live on the CPU: this runs in the input
    pipeline and in front of the network when serving, never in the compiled training step. The
    vocabulary files become assets of a SavedModel.

    Ids that the spec says are hashed have no vocabulary: their codes (`hashed_rows.py`) take the
    place of rows here and wherever rows go, int64. What such a neighbour's side features are, which
    vocabularies tell, is not known: they are row 0.

    Args:
      spec: of the data set, `with_hashed_ids` where the model hashes them.
      vocabulary_dir: holds `<name>.txt` for each column, one embedded id a line.
      names: input features to give; the others are left out.

    Call arguments:
      features: raw features by name, at least `names`, dense or ragged.

    Returns:
      The features in `names`: ids, side features and neighbours as int32 rows, the rest unchanged;
      for every list of neighbours their side features, named by `side_feature_of`; and `user_row`
      where there is one. What came in ragged stays ragged.
    """

    def __init__(
        self, *, spec: DatasetSpec, vocabulary_dir: str, names: Sequence[str], **kwargs: Any
    ) -> None:
        super().__init__(**{**kwargs, "autocast": False})
        self.spec = spec
        self.vocabulary_dir = vocabulary_dir
        self.names = tuple(names)
        self._features = {name: spec.feature(name) for name in self.names}
        self.vocabulary_of = {
            name: feature.vocabulary
            for name, feature in self._features.items()
            if feature.vocabulary is not None
        }
        self._hash_rows = {v.name: v.hash_rows for v in spec.vocabularies if v.hash_rows}
        columns = {
            column
            for feature in self._features.values()
            if feature.vocabulary not in self._hash_rows
            for column in neighbor_side_features(spec, feature)
        }
        self.side_features = {
            column: tf.Variable(
                filesystem.load_array(os.path.join(vocabulary_dir, f"{column}.npy")),
                trainable=False,
                name=column,
            )
            for column in sorted(columns)
        }
        self.tables = {
            name: id_table(os.path.join(vocabulary_dir, f"{name}.txt"), spec.vocabulary(name).dtype)
            for name in sorted(set(self.vocabulary_of.values()) - self._hash_rows.keys())
        }

    def call(self, features: Mapping[str, Column]) -> dict[str, Column]:
        missing = [name for name in self.names if name not in features]
        if missing:
            raise ValueError(f"features: must have {missing}, got {sorted(features)}")
        wanted = {*self.names, USER_ROW}
        return self.encode({n: value for n, value in features.items() if n in wanted})

    def encode(self, features: Mapping[str, Column]) -> dict[str, Column]:
        """Encodes what is given of the input features in `names`; what holds no ids is kept."""
        encoded = dict(features)
        for name, value in features.items():
            if name not in self.vocabulary_of:
                continue
            feature = self._features[name]
            encoded[name] = _flat(functools.partial(self._encoded, feature), value)
            for column in neighbor_side_features(self.spec, feature):
                encoded[side_feature_of(name, column)] = _flat(
                    functools.partial(self.side_feature, column), encoded[name]
                )
        return encoded

    def _encoded(self, feature: Feature, ids: tf.Tensor) -> tf.Tensor:
        """Embedding rows of a feature's raw ids; what fills up a list gets `encoded_filler`."""
        rows = self.rows(self.vocabulary_of[feature.name], ids)
        if not feature.encoded_filler:
            return rows
        return tf.where(ids == tf.constant(feature.filler, ids.dtype), feature.encoded_filler, rows)

    def rows(self, column: str, ids: tf.Tensor) -> tf.Tensor:
        """Embedding rows of the raw ids of a column, int32, or codes; of the same shape."""
        if column in self._hash_rows:
            return hash_codes(ids, self._hash_rows[column])
        return tf.cast(self.tables[column].lookup(ids) + 1, tf.int32)

    def has_own_row(self, column: str, ids: tf.Tensor) -> tf.Tensor:
        """Whether training gave each raw id of a column an embedding of its own: bool."""
        if column not in self.tables:
            return tf.zeros_like(ids, tf.bool)
        return self.rows(column, ids) > 0

    def side_feature(self, column: str, rows: tf.Tensor) -> tf.Tensor:
        """A side feature of the users or items with these embedding rows, itself as a row."""
        if column not in self.side_features:
            return tf.zeros_like(rows, tf.int32)
        return tf.nn.embedding_lookup(self.side_features[column], rows)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "spec": self.spec.to_json(),
            "vocabulary_dir": self.vocabulary_dir,
            "names": self.names,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> IdLookup:
        return cls(**{**config, "spec": DatasetSpec.from_json(config["spec"])})
