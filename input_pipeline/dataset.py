"""Shards in turn -> shuffle -> batch -> parse -> prefetch.

The order of the rows depends on the seed and the epoch: neither on threads nor on what was read
before, so a resumed run meets the rows that an uninterrupted one would meet, and can begin reading
in the middle of an epoch. A little long, to keep all that reads a data set's rows in one class.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging
from numpy.typing import NDArray

from input_pipeline.feature import Feature
from input_pipeline.records.bad_records import REFUSED, BadRecord, find_bad_records, open_records
from input_pipeline.records.epoch_order import EpochOrder, ShuffledRecords
from input_pipeline.records.example_parsing import Column, padded
from input_pipeline.records.layouts import RecordLayout, layout_of
from input_pipeline.records.shard_files import example_files
from input_pipeline.records.shard_index import ShardIndex, read_index
from input_pipeline.records.sources import (
    Source,
    in_parallel,
    read_in_turn,
    read_one_by_one,
)
from input_pipeline.spec import NEWEST_ROWS, DatasetSpec

# Few shards are read at a time, of four times as many, so that a row comes at another time in every
# epoch: models that met rows in one order, epoch after epoch, learnt them by heart.
_MOST_SLOTS, _SHARDS_PER_SLOT = 4, 4

Encode = Callable[[dict[str, Column]], Mapping[str, Column]]


def open_examples(
    data_dir: str,
    spec: DatasetSpec,
    windows: Sequence[str],
    feature_names: Collection[str],
    *,
    skip_bad_records: int = 0,
    newest: bool = False,
) -> Examples:
    """The rows of some windows, with some of their features and all labels.

    Without `skip_bad_records` only the first record of each file is looked at, which finds what was
    left out of all records; others are checked when they are parsed. With it all files are read
    once, and bad records are left out from then on. A damaged file counts as one bad record, and is
    left out from that record on.

    Args:
      data_dir, spec: the data set.
      windows: some of `spec.WINDOWS`.
      feature_names: input features that are read.
      skip_bad_records: how many may be left out.
      newest: whether of `train` alone the newest window is read, of a refreshed data set.

    Raises:
      ValueError: a file is missing or not indexed, there are no rows or another number than the
        spec tells, or more than `skip_bad_records` bad records; names the first one too many.
    """
    files, index = example_files(data_dir, windows), read_index(data_dir)
    expected = sum(spec.counts["rows"].get(window, 0) for window in windows)
    if newest:
        expected = spec.counts.get(NEWEST_ROWS, -1)
        if expected < 0:
            raise ValueError(
                f"{data_dir}: does not keep the newest training window apart, as data sets of "
                "input_pipeline.refresh do: train on all with --warm_rows=told"
            )
        files = files[-spec.flags["num_shards"] :]
    unknown = [path for path in files if os.path.basename(path) not in index]
    if unknown:
        raise ValueError(f"{unknown[0]}: not in the index of the data set's shards")
    examples = Examples(
        files,
        tuple(feature for feature in spec.input_features if feature.name in feature_names),
        spec.label_features,
        layout_of(spec, data_dir),
        tuple(index[os.path.basename(path)] for path in files),
    )
    if examples.num_rows != expected:
        raise ValueError(
            f"{data_dir}: expected {expected} rows in {' and '.join(windows)} as the spec tells, "
            f"the shards have {examples.num_rows}"
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
    if found:
        examples = dataclasses.replace(examples, bad_records=tuple(found))
        logging.warning(
            "%d of %d rows in %s are left out; the first: %s",
            expected - examples.num_rows,
            expected,
            " and ".join(windows),
            found[0],
        )
    return examples


@dataclasses.dataclass(frozen=True)
class Examples:
    """The rows of some windows of a data set directory.

    Attributes:
      files: TFRecord shards.
      features: what is read of each row.
      labels: labels that are read of each row.
      layout: of the records.
      shards: what the index of the data set tells of each file.
      bad_records: records that are left out.
    """

    files: tuple[str, ...]
    features: tuple[Feature, ...]
    labels: tuple[Feature, ...]
    layout: RecordLayout
    shards: tuple[ShardIndex, ...]
    bad_records: tuple[BadRecord, ...] = ()
    _parsers: dict[Encode, Any] = dataclasses.field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @functools.cached_property
    def kept(self) -> tuple[NDArray[Any], ...]:
        """The numbers of the records that are read of each file, int64 [N] each."""
        left_out = collections.defaultdict(set)
        ends = {}
        for bad in self.bad_records:
            left_out[bad.path].add(bad.index)
            if not bad.is_readable:
                ends[bad.path] = bad.index
        return tuple(
            np.setdiff1d(
                np.arange(min(len(shard.rows), ends.get(path, len(shard.rows)))),
                list(left_out[path]),
            )
            for path, shard in zip(self.files, self.shards, strict=True)
        )

    @functools.cached_property
    def num_rows(self) -> int:
        """How many rows there are, without those that are left out."""
        return sum(
            int(shard.rows[kept].sum(dtype=np.int64))
            for shard, kept in zip(self.shards, self.kept, strict=True)
        )

    def shuffled_batches(
        self,
        batch_size: int,
        *,
        shuffle_rows: int,
        seed: int,
        epoch: int,
        encode: Encode,
        first_batch: int = 0,
        scratch: str | None = None,
    ) -> tf.data.Dataset:
        """One epoch of training batches, every one of `batch_size` rows.

        A remainder smaller than a batch waits for the next epoch, which draws another one.

        Args:
          batch_size: rows of a batch.
          shuffle_rows: rows that are shuffled together; up to three times as many are in memory.
          seed: of the order.
          epoch: another order for every epoch.
          encode: from some rows' columns, as `layout.parse` gives them, to columns of the same
            names, or of names that go on after a slash. An equal one is not traced again.
          first_batch: where to begin.
          scratch: local folder for the rest of the shards in whose middle reading begins, needed as
            long as the dataset is; without it they are decompressed from their beginning.

        Returns:
          Columns by name, ragged lists padded. In the request layout those of a user have a row
          a user, and `user_row`, int32 [B], tells the user of each of the B rows.

        Raises:
          ValueError: the epoch does not have a batch `first_batch`.
        """
        num_batches = self.num_rows // batch_size
        if not 0 <= first_batch < num_batches:
            raise ValueError(f"first_batch: must be in [0, {num_batches}), got {first_batch}")
        random = np.random.default_rng([seed, epoch])
        files = random.permutation(len(self.files))
        # Serialized rows are the cheapest to hold and to move: parsing comes after shuffling.
        # Blocks of another size every epoch, lest the same rows meet again and again.
        most = self.layout.records_per_block
        records_per_block = int(random.integers(most // 2, most + 1))
        rows_per_block = records_per_block * self.layout.rows_per_record
        order = EpochOrder(
            [self.shards[file].rows[self.kept[file]] for file in files],
            slots=min(-(-len(files) // _SHARDS_PER_SLOT), _MOST_SLOTS),
            records_per_block=records_per_block,
            blocks_per_window=max(1, shuffle_rows // rows_per_block),
            seed=1 + int(random.integers(2**31 - 1)),
        )

        def read(slots: list[list[tuple[int, int]]], turns: NDArray[Any]) -> tf.data.Dataset:
            sources = [
                [self._source(files[shard], first, scratch) for shard, first in shards]
                for shards in slots
            ]
            return read_in_turn(sources, turns, records_per_block)

        of_user = {feature.name for feature in self.features if feature.owner == "user"}
        batches = self.layout.batches(
            ShuffledRecords(order, read), self._parser(encode), batch_size, of_user, first_batch
        )
        exact = tf.data.experimental.assert_cardinality(num_batches - first_batch)
        return in_parallel(batches.apply(exact))

    def ordered_batches(self, batch_size: int, *, encode: Encode) -> tf.data.Dataset:
        """Every row once, in the order of the files.

        Args:
          batch_size: rows of a batch; the last one may be smaller, and with requests, which stay
            whole, every one.
          encode: as for `shuffled_batches`.
        """
        sources = [self._source(number) for number in range(len(self.files))]
        records = read_one_by_one(sources)
        batches = records.batch(max(1, batch_size // self.layout.rows_per_record)).map(
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
            self._require_records()
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

    def _require_records(self) -> None:
        """Raises ValueError naming a file that holds another number of records than its index.

        A file cut off between two compressed blocks reads as a shorter one, without an error.
        """
        for path, shard, kept in zip(self.files, self.shards, self.kept, strict=True):
            expected = int(kept[-1]) + 1 if len(kept) else 0
            records = open_records(path)
            if expected < len(shard.rows):
                records = records.take(expected)
            found = int(records.reduce(np.int64(0), lambda count, _: count + 1))
            if found != expected:
                raise ValueError(
                    f"{path}: expected {expected} records as the index tells, found {found}: the "
                    "file is truncated, or is of another data set"
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

    def _source(self, number: int, first: int = 0, scratch: str | None = None) -> Source:
        """A file from its `first` record that is read on."""
        path, shard, kept = self.files[number], self.shards[number], self.kept[number]
        last = int(kept[-1]) + 1 if len(kept) else 0
        record = int(kept[first]) if first < len(kept) else last
        skipped = np.setdiff1d(np.arange(record, last), kept)
        begin = record
        if record and scratch is not None:
            tail = os.path.join(scratch, os.path.basename(path))
            begin, path = shard.copy_tail(path, record, tail), tail
        return Source(path, begin, record, last - record, skipped, last < len(shard.rows))

    def _parser(self, encode: Encode) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
        """One function for all epochs: tracing it takes longer than reading 10,000 rows."""

        def parse(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
            columns = encode(self.layout.parse(serialized, self.features, self.labels))
            return padded(columns, self.features)

        return self._parsers.setdefault(encode, tf.function(parse, autograph=False))
