"""Files -> interleave -> shuffle -> batch -> parse -> prefetch.

The order of the rows depends on the seed, the epoch and TensorFlow's global seed: neither on
threads nor on what was read before, so a resumed run meets the rows that an uninterrupted one would
meet.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging

from input_pipeline.feature import Feature
from input_pipeline.files import filesystem
from input_pipeline.records.bad_records import REFUSED, BadRecord, find_bad_records, open_records
from input_pipeline.records.example_parsing import Column, padded
from input_pipeline.records.layouts import LAYOUTS, RecordLayout
from input_pipeline.spec import DatasetSpec

_SHARD = re.compile(r"-(\d+)-of-(\d+)\.tfrecord\.gz$")
_OPEN_FILES = 16
# Rows that are moved and shuffled as one: row by row costs as much as parsing.
_ROWS_PER_BLOCK = 32
_COUNTED_AT_ONCE = 256

Encode = Callable[[dict[str, Column]], Mapping[str, Column]]


def example_files(data_dir: str, windows: Sequence[str]) -> tuple[str, ...]:
    """The TFRecord shards of some windows, in a fixed order.

    Raises:
      ValueError: a window has no shards, or one is missing.
    """
    filesystem.prepare_remote(data_dir)
    paths: list[str] = []
    for window in windows:
        pattern = filesystem.join(data_dir, "examples", f"{window}-*.tfrecord.gz")
        found = sorted(filesystem.glob(pattern))
        if not found:
            raise ValueError(f"no TFRecord files match {pattern}")
        shards = [match for match in map(_SHARD.search, found) if match]
        expected = max((int(match[2]) for match in shards), default=0)
        missing = set(range(expected)) - {int(match[1]) for match in shards}
        if missing:
            raise ValueError(
                f"{pattern}: expected {expected} shards, but number {min(missing)} is missing"
            )
        paths += found
    return tuple(paths)


def open_examples(
    data_dir: str,
    spec: DatasetSpec,
    windows: Sequence[str],
    feature_names: Collection[str],
    *,
    skip_bad_records: int = 0,
) -> Examples:
    """The rows of some windows, with some of their features and all labels.

    Without `skip_bad_records` only the first record of each file is looked at, which finds what was
    left out of all records; others are checked when they are parsed. With it all files are read
    once, and bad records are left out from then on. A damaged file counts as one bad record, and is
    left out from that record on.

    Raises:
      ValueError: a file is missing, there are no rows, or more than `skip_bad_records` bad records;
        names the first one too many.
    """
    examples = Examples(
        example_files(data_dir, windows),
        tuple(feature for feature in spec.input_features if feature.name in feature_names),
        spec.label_features,
        LAYOUTS[spec.record_layout],
        sum(spec.counts["rows"].get(window, 0) for window in windows),
    )
    if not examples.num_rows:
        raise ValueError(f"{data_dir}: there are no rows in {' and '.join(windows)}")
    if not skip_bad_records:
        examples.check_first_records()
        return examples
    found: list[BadRecord] = []
    for bad in examples.find_bad_records():
        if len(found) == skip_bad_records:
            raise ValueError(f"more than --skip_bad_records={skip_bad_records} bad records: {bad}")
        found.append(bad)
    if not found:
        return examples
    examples = dataclasses.replace(examples, bad_records=tuple(found))
    num_rows = examples.count_rows()
    logging.warning(
        "%d of %d rows in %s are left out; the first: %s",
        examples.num_rows - num_rows,
        examples.num_rows,
        " and ".join(windows),
        found[0],
    )
    return dataclasses.replace(examples, num_rows=num_rows)


@dataclasses.dataclass(frozen=True)
class Examples:
    """The rows of some windows of a data set directory.

    Attributes:
      files: TFRecord shards.
      features: what is read of each row.
      labels: labels that are read of each row.
      layout: of the records.
      num_rows: how many there are.
      bad_records: records that are left out.
    """

    files: tuple[str, ...]
    features: tuple[Feature, ...]
    labels: tuple[Feature, ...]
    layout: RecordLayout
    num_rows: int
    bad_records: tuple[BadRecord, ...] = ()
    _parsers: dict[Encode, Any] = dataclasses.field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def shuffled_batches(
        self,
        batch_size: int,
        *,
        shuffle_rows: int,
        seed: int,
        epoch: int,
        encode: Encode,
    ) -> tf.data.Dataset:
        """One epoch of training batches, every one of `batch_size` rows.

        A remainder smaller than a batch waits for the next epoch, which draws another one.

        Args:
          batch_size: rows of a batch.
          shuffle_rows: rows of the shuffle buffer.
          seed: of the order.
          epoch: another order for every epoch.
          encode: from some rows' columns, as `layout.parse` gives them, to columns of the same
            names, or of names that go on after a slash. An equal one is not traced again.

        Returns:
          Columns by name, ragged lists padded. In the request layout those of a user have a row
          a user, and `user_row`, int32 [B], tells the user of each of the B rows.
        """
        random = np.random.default_rng([seed, epoch])
        files = [self.files[i] for i in random.permutation(len(self.files))]
        # Serialized rows are the cheapest to hold and to move: parsing comes after shuffling.
        # Blocks of another size every epoch, lest the same rows meet again and again.
        rows_per_block = int(random.integers(_ROWS_PER_BLOCK // 2, _ROWS_PER_BLOCK + 1))
        records_per_block = max(1, rows_per_block // self.layout.rows_per_record)
        blocks = self._interleave(files, records_per_block).shuffle(
            max(1, shuffle_rows // (records_per_block * self.layout.rows_per_record)),
            seed=int(random.integers(2**31)),
            reshuffle_each_iteration=False,
        )
        of_user = {feature.name for feature in self.features if feature.owner == "user"}
        batches = self.layout.batches(blocks, self._parser(encode), batch_size, of_user)
        exact = tf.data.experimental.assert_cardinality(self.num_rows // batch_size)
        return in_parallel(batches.apply(exact))

    def ordered_batches(self, batch_size: int, *, encode: Encode) -> tf.data.Dataset:
        """Every row once, in the order of the files.

        Args:
          batch_size: rows of a batch; the last one may be smaller, and with requests, which stay
            whole, every one.
          encode: as for `shuffled_batches`.
        """
        records = self._in_order().batch(max(1, batch_size // self.layout.rows_per_record))
        batches = records.map(
            self._parser(encode), num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
        )
        return in_parallel(batches)

    @contextlib.contextmanager
    def explained(self) -> Iterator[None]:
        """Turns a failure to read these rows into a ValueError naming file, record and feature."""
        try:
            yield
        except tf.errors.FailedPreconditionError as error:
            if "Input dataset was expected to contain" not in error.message:
                raise
            self.require_rows(self.count_rows())
            raise
        except (*REFUSED, tf.errors.DataLossError):
            for bad in self.find_bad_records():
                raise ValueError(str(bad)) from None
            raise

    def find_bad_records(self) -> Iterator[BadRecord]:
        """Reads every file from its beginning and yields the records that cannot be used."""
        skipped = set(self.bad_records)
        for path in self.files:
            for bad in find_bad_records(path, self.layout, self.features, self.labels):
                if bad not in skipped:
                    yield bad

    def count_rows(self) -> int:
        """Reads all files to count the rows that are not left out."""

        def add(count: tf.Tensor, serialized: tf.Tensor) -> tf.Tensor:
            labels = self.layout.parse(serialized, (), self.labels)
            return count + tf.size(labels[self.labels[0].name], tf.int64)

        return int(self._in_order().batch(_COUNTED_AT_ONCE).reduce(np.int64(0), add))

    def require_rows(self, found: int) -> None:
        """Raises ValueError where the files do not hold the rows that the spec tells.

        A file cut off between two compressed blocks reads as a shorter one, without an error.
        """
        if found != self.num_rows:
            raise ValueError(
                f"{self.files[0]} ... {self.files[-1]}: expected {self.num_rows} rows as the spec "
                f"tells, found {found}: a file is truncated, or is of another data set"
            )

    def check_first_records(self) -> None:
        """Raises ValueError where the first record of a file is not as `features` and `labels` say.

        This finds in particular a neighbour list that was left out of all records, which the fast
        parser takes for an empty one.
        """
        for path in self.files:
            with self.explained():
                for serialized in open_records(path).take(1).as_numpy_iterator():
                    reason = self.layout.check(serialized, self.features, self.labels)
                    if reason:
                        raise ValueError(str(BadRecord(path, 0, reason)))

    def _in_order(self) -> tf.data.Dataset:
        return tf.data.Dataset.from_tensor_slices(self._sources(self.files)).flat_map(self._open)

    def _interleave(self, files: Sequence[str], records_per_block: int) -> tf.data.Dataset:
        return tf.data.Dataset.from_tensor_slices(self._sources(files)).interleave(
            lambda *source: self._open(*source).batch(records_per_block),
            cycle_length=min(len(files), _OPEN_FILES),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )

    def _sources(self, files: Sequence[str]) -> tuple[list[str], np.ndarray, np.ndarray]:
        """Each file with how many of its records are readable (-1: all) and which to leave out."""
        skipped = collections.defaultdict(list)
        readable = dict.fromkeys(files, -1)
        for bad in self.bad_records:
            if bad.is_readable:
                skipped[bad.path].append(bad.index)
            else:
                readable[bad.path] = bad.index
        width = max((len(indices) for indices in skipped.values()), default=0)
        table = np.full((len(files), width), -1, np.int64)
        for row, path in zip(table, files, strict=True):
            row[: len(skipped[path])] = skipped[path]
        return list(files), np.array([readable[path] for path in files], np.int64), table

    def _open(self, path: tf.Tensor, readable: tf.Tensor, skipped: tf.Tensor) -> tf.data.Dataset:
        records = open_records(path)
        if not self.bad_records:
            return records
        records = records.take(readable).enumerate()
        records = records.filter(lambda index, _: tf.reduce_all(index != skipped))
        return records.map(lambda _, serialized: serialized)

    def _parser(self, encode: Encode) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
        """One function for all epochs: tracing it takes longer than reading 10,000 rows."""

        def parse(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
            columns = encode(self.layout.parse(serialized, self.features, self.labels))
            return padded(columns, self.features)

        return self._parsers.setdefault(encode, tf.function(parse, autograph=False))


def in_parallel(batches: tf.data.Dataset) -> tf.data.Dataset:
    """Fetches ahead, with all cores from the first batch on."""
    # Tuning the number of calls takes longer than an epoch of some seconds, and ends at one of two
    # speeds, a quarter apart.
    options = tf.data.Options()
    options.autotune.enabled = False
    return batches.prefetch(tf.data.AUTOTUNE).with_options(options)
