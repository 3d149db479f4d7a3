"""Data set + options -> the training batches of an epoch."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from input_pipeline.dataset import Encode, Examples, open_examples
from input_pipeline.records.example_parsing import Column
from input_pipeline.records.request_parsing import expand_users
from input_pipeline.spec import DatasetSpec
from mgoe_tf.layers.id_lookup import IdLookup
from mgoe_tf.models.base import EMBEDDED_ROLES
from mgoe_tf.training.options import TrainOptions

WINDOWS = {"all": ("history", "train"), "windows": ("train",), "newest": ("train",)}


@dataclasses.dataclass(frozen=True)
class _Encoder:
    """Raw columns -> encoded features and labels; equal for all epochs of a run."""

    lookup: IdLookup
    labels: tuple[str, ...]

    def __call__(self, columns: dict[str, Column]) -> dict[str, Column]:
        return {**self.lookup(columns), **{name: columns[name] for name in self.labels}}


def open_training_rows(
    spec: DatasetSpec, options: TrainOptions, feature_names: Collection[str]
) -> Examples:
    """The rows that a run trains on, with some of their features; raises as `open_examples`."""
    rows = options.rows_of_training
    return open_examples(
        options.data_dir,
        spec,
        WINDOWS[rows],
        feature_names,
        skip_bad_records=options.skip_bad_records,
        newest=rows == "newest",
    )


@dataclasses.dataclass(frozen=True)
class TrainingBatches:
    """Batches of (features, labels), with ids replaced at random by the shared row 0.

    Everything random depends on the seed, the epoch and the number of the batch alone.

    Attributes:
      examples: the rows.
      lookup: raw ids -> embedding rows.
      spec: of the data set.
      options: sizes, seeds and rates.
      part: which slice of each batch is given, of how many.
    """

    examples: Examples
    lookup: IdLookup
    spec: DatasetSpec
    options: TrainOptions
    part: tuple[int, int] = (0, 1)

    @property
    def batch_size(self) -> int:
        return min(self.options.batch_size, self.examples.num_rows)

    @property
    def steps_per_epoch(self) -> int:
        return self.examples.num_rows // self.batch_size

    @property
    def encode(self) -> Encode:
        """Raw columns -> encoded features and labels; equal for all epochs of a run."""
        return _Encoder(self.lookup, tuple(self._labels.values()))

    @property
    def replaced(self) -> tuple[str, ...]:
        """The features whose ids are replaced at random."""
        names = self.lookup.names
        return tuple(n for n in names if self.spec.feature(n).role in EMBEDDED_ROLES)

    @property
    def _labels(self) -> dict[str, str]:
        return {task: f"label_{task}" for task in self.spec.task_names}

    @contextlib.contextmanager
    def epoch(self, number: int, first_batch: int = 0) -> Iterator[tf.data.Dataset]:
        """The batches of an epoch from one on, to be read within the context.

        Raises:
          ValueError: within the context, naming file and record that cannot be read.
        """
        with (
            tempfile.TemporaryDirectory(prefix="mgoe_tf-") as scratch,
            self.examples.explained(),
        ):
            yield self.dataset(number, first_batch, scratch if first_batch else None)

    def dataset(
        self, epoch: int, first_batch: int = 0, scratch: str | None = None
    ) -> tf.data.Dataset:
        """The same; for `scratch` see `Examples.shuffled_batches`."""
        options = self.options
        size = len(self.replaced)
        seeds = np.random.default_rng([options.seed, epoch, 1]).integers(2**31, size=size)

        @tf.autograph.experimental.do_not_convert
        def finish(number: tf.Tensor, columns: dict[str, tf.Tensor]) -> tuple[Any, Any]:
            return self.finish(number, columns, list(seeds))

        batches = self.examples.shuffled_batches(
            self.batch_size,
            shuffle_rows=options.shuffle_rows,
            seed=options.seed,
            epoch=epoch,
            encode=self.encode,
            first_batch=first_batch,
            scratch=scratch,
        )
        numbered = batches.enumerate(start=first_batch)
        return numbered.map(finish, num_parallel_calls=tf.data.AUTOTUNE).prefetch(2)

    def finish(
        self, number: tf.Tensor, columns: dict[str, tf.Tensor], seeds: Sequence[Any]
    ) -> tuple[Any, Any]:
        """The features and labels of a batch.

        Args:
          number: of the batch, int64.
          columns: what `encode` made, padded.
          seeds: of the draws, one for each of `replaced`.
        """
        features = dict(columns)
        batch_labels = {task: features.pop(name) for task, name in self._labels.items()}
        for name, seed in zip(self.replaced, seeds, strict=True):
            rows = features[name]
            draws = tf.random.stateless_uniform(tf.shape(rows), tf.stack([seed, number]))
            # what fills up a list stays
            features[name] = tf.where(
                (draws < self.options.oov_rate) & (rows > 0), tf.zeros_like(rows), rows
            )
        if self.options.distribution in ("mirrored", "multi_worker"):
            # Replicas get a share of the rows each, and of every other axis in front.
            of_user = {feature.name for feature in self.spec.select("user")}
            features = expand_users(features, of_user=of_user)
        index, count = self.part
        if count > 1:
            first, last = (self.batch_size * number // count for number in (index, index + 1))
            features, batch_labels = tf.nest.map_structure(
                lambda values: values[first:last], (features, batch_labels)
            )
        return features, batch_labels
