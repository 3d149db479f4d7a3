"""Exact metrics of a model over the validation or test rows of a data set."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from scipy import sparse

from input_pipeline.dataset import open_examples
from input_pipeline.feature import USER_ROW
from input_pipeline.files import filesystem
from input_pipeline.log import vocabulary
from input_pipeline.log.byte_strings import ByteStrings
from input_pipeline.log.raw_ids import to_lines
from input_pipeline.records.example_parsing import Column
from input_pipeline.records.request_parsing import expand_users
from input_pipeline.spec import DatasetSpec
from mgoe_tf.evaluation.scored import Rows, Scored
from mgoe_tf.evaluation.unknown_ids import unknown_ids
from mgoe_tf.layers.id_lookup import IdLookup
from mgoe_tf.models.base import RankingModel

BATCH_SIZE = 8192
SPLITS = ("validation", "test")


class Evaluator:
    """Scores one window of a data set, again and again while a model is trained.

    Args:
      data_dir: the data set directory.
      spec: its spec.
      split: `validation` or `test`.
      model: whose predictions are scored.
      lookup: raw ids -> the model's embedding rows.
      skip_bad_records: how many unreadable records may be left out.
      averaged: the tasks that enter averages; None: all.
    """

    def __init__(
        self,
        data_dir: str,
        spec: DatasetSpec,
        split: str,
        *,
        model: RankingModel,
        lookup: IdLookup,
        skip_bad_records: int = 0,
        averaged: Collection[str] | None = None,
    ) -> None:
        if split not in SPLITS:
            raise ValueError(f"--split: must be one of {list(SPLITS)}, got {split!r}")
        self.data_dir = data_dir
        self.spec = spec
        self.split = split
        self.model = model
        self.lookup = lookup
        self.averaged = averaged
        self._ids = {feature.owner: feature.name for feature in spec.select(role="id")}
        self._macro = {feature.owner: feature.name for feature in spec.select(role="macro_id")}
        names = {*model.feature_names, *self._ids.values(), *self._macro.values()}
        self.examples = open_examples(
            data_dir, spec, [split], names, skip_bad_records=skip_bad_records
        )
        self._rows: Rows | None = None
        self._predict = tf.function(self._logits, reduce_retracing=True, autograph=False)
        self._vocabulary_rows = {
            name: _vocabulary_table(data_dir, spec, name) for name in self._ids.values()
        }
        self._batches = self._make_batches()

    def evaluate(self) -> dict[str, Any]:
        """The contents of metrics.json; see `score`."""
        return self.score().metrics()

    def score(self) -> Scored:
        """One pass over the window.

        Raises:
          ValueError: a row cannot be read, or rows are missing.
        """
        logits: dict[str, list[NDArray[Any]]] = {task: [] for task in self.spec.task_names}
        labels: dict[str, list[NDArray[Any]]] = {task: [] for task in self.spec.task_names}
        facts: dict[str, list[NDArray[Any]]] = {}
        with self.examples.explained():
            for features, batch_labels, batch_facts in self._batches:
                for task, value in self._predict(features).items():
                    logits[task].append(value.numpy())
                if self._rows is None:
                    for task, value in batch_labels.items():
                        labels[task].append(value.numpy())
                    for name, value in batch_facts.items():
                        facts.setdefault(name, []).append(value.numpy())
        if self._rows is None:
            self._rows = self._collect(labels, {k: np.concatenate(v) for k, v in facts.items()})
        predictions = {task: np.concatenate(parts) for task, parts in logits.items()}
        return Scored(self.split, self._rows, predictions, self.averaged)

    def first_features(self) -> dict[str, tf.Tensor]:
        """The encoded features of the first batch."""
        with self.examples.explained():
            return next(iter(self._batches))[0]

    def graph(self) -> tf.Graph:
        """The computation from encoded features to logits, for whoever wants to look at it."""
        spec = self._batches.element_spec[0]
        return self._predict.get_concrete_function(spec).graph

    def _logits(self, features: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        logits = self.model(features, training=False)
        return {task: tf.cast(value, tf.float32) for task, value in logits.items()}

    def _make_batches(self) -> tf.data.Dataset:
        """Encoded features, labels and facts of every row, in the order of the files."""
        names = (feature.name for feature in self.spec.label_features)
        labels = dict(zip(self.spec.task_names, names, strict=True))
        facts = {name: f"fact/{name}" for name in (*self._ids.values(), *self._macro.values())}

        def encode(columns: dict[str, Column]) -> dict[str, Column]:
            known = {name: columns[name] for name in (*facts, USER_ROW) if name in columns}
            for name in self._macro.values():
                known[name] = tf.cast(known[name], tf.int32)
            for name, table in self._vocabulary_rows.items():
                known[name] = table.lookup(known[name])
            known = expand_users(known, of_user=(self._ids["user"], self._macro["user"]))
            return {
                **self.lookup(columns),
                **{facts[name]: value for name, value in known.items()},
                **{name: columns[name] for name in labels.values()},
            }

        @tf.autograph.experimental.do_not_convert
        def finish(columns: dict[str, tf.Tensor]) -> tuple[Any, Any, Any]:
            features = dict(columns)
            batch_labels = {task: features.pop(name) for task, name in labels.items()}
            batch_facts = {name: features.pop(column) for name, column in facts.items()}
            return features, batch_labels, batch_facts

        return self.examples.ordered_batches(BATCH_SIZE, encode=encode).map(finish)

    def _collect(
        self, labels: dict[str, list[NDArray[Any]]], facts: dict[str, NDArray[Any]]
    ) -> Rows:
        users, items = facts[self._ids["user"]], facts[self._ids["item"]]
        cut = len(self.spec.cuts) - (self.split == "validation")
        repeated = _in_matrix(self.data_dir, cut, users, items)
        user_macro, item_macro = facts[self._macro["user"]], facts[self._macro["item"]]
        slices = {
            "new_pairs": ~repeated,
            "repeated_pairs": repeated,
            "cold_item": item_macro < 0,
            "cold_user": user_macro < 0,
            "warm": (item_macro >= 0) & (user_macro >= 0),
        }
        unknown = {
            name: unknown_ids(
                self.data_dir, self.spec, name, facts[name], facts[self._macro[owner]]
            )
            for owner, name in self._ids.items()
        }
        return Rows(
            labels={task: np.concatenate(v) for task, v in labels.items()},
            nodes={"user": users, "item": items},
            macro={"user": user_macro, "item": item_macro},
            slices=slices,
            unknown=unknown,
        )


def _vocabulary_table(data_dir: str, spec: DatasetSpec, name: str) -> tf.lookup.StaticHashTable:
    """Raw id -> row in the whole vocabulary, -1 where it is not there."""
    ids = vocabulary.read_ids(data_dir, spec, name)
    if isinstance(ids, ByteStrings):
        # TensorFlow takes the lines apart without an object of Python's for each.
        keys = tf.strings.split(to_lines(ids), "\n")[:-1]
    else:
        keys = tf.constant(ids)
    rows = tf.lookup.KeyValueTensorInitializer(keys, tf.range(tf.size(keys)))
    return tf.lookup.StaticHashTable(rows, default_value=-1)


def _in_matrix(data_dir: str, cut: int, users: NDArray[Any], items: NDArray[Any]) -> NDArray[Any]:
    """Whether each (user, item) has a score in the merging matrix of a cut, bool [N]."""
    path = filesystem.join(data_dir, "graph", str(cut), "merging_matrix.npz")
    with filesystem.open_binary(path, "rb") as file:
        matrix = sparse.load_npz(file).tocsr()
    num_users, num_items = matrix.shape
    owners = np.repeat(np.arange(num_users, dtype=np.int64), np.diff(matrix.indptr))
    scored = owners * num_items + matrix.indices
    scored.sort()
    # later users and items lie outside the matrix, as do ids of no vocabulary (-1)
    inside = (users >= 0) & (users < num_users) & (items >= 0) & (items < num_items)
    pairs = np.where(inside, users.astype(np.int64) * num_items + items, -1)
    if not len(scored):
        return np.zeros(len(pairs), bool)
    places = np.minimum(np.searchsorted(scored, pairs), len(scored) - 1)
    return scored[places] == pairs
