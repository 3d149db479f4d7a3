"""Finds the record that a reader stumbled over: which file, which record, which feature.

Batches are parsed by one fast operation, which says little about what it refuses. Only after it has
failed are the files read again, here, at leisure.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import tensorflow as tf

from input_pipeline.feature import Feature
from input_pipeline.records.layouts import RecordLayout

# TensorFlow quotes some bytes of a record that it refuses, which may not decode
REFUSED = (tf.errors.InvalidArgumentError, UnicodeDecodeError)
_BATCH = 1024


@dataclasses.dataclass(frozen=True)
class BadRecord:
    """A record that cannot be used.

    Attributes:
      path: of the TFRecord file.
      index: of the record within the file, from 0.
      reason: what is wrong with it.
      is_readable: False where the file itself is damaged, so that nothing after it can be read.
    """

    path: str
    index: int
    reason: str
    is_readable: bool = True

    def __str__(self) -> str:
        return f"{self.path}: record {self.index} (counting from 0): {self.reason}"


def open_records(path: str | tf.Tensor) -> tf.data.Dataset:
    """The serialized records of one shard, in the order of the file."""
    return tf.data.TFRecordDataset(path, compression_type="GZIP")


def find_bad_records(
    path: str, layout: RecordLayout, features: Sequence[Feature], labels: Sequence[Feature] = ()
) -> Iterator[BadRecord]:
    """Reads a shard in the fast way, and what that refuses record by record."""
    start = 0
    batches = iter(open_records(path).batch(_BATCH))
    while True:
        try:
            serialized = next(batches, None)
        except tf.errors.OpError as error:
            yield _unreadable(path, start, error)
            return
        if serialized is None:
            return
        try:
            layout.parse(serialized, features, labels)
        except REFUSED:
            for index, record in enumerate(serialized.numpy(), start):
                reason = layout.check(record, features, labels)
                if reason:
                    yield BadRecord(path, index, reason)
        start += len(serialized)


def _unreadable(path: str, start: int, error: tf.errors.OpError) -> BadRecord:
    """The record at which reading failed, `start` or one of the batch after it."""
    index = start
    try:
        for _ in open_records(path).skip(start):
            index += 1
    except tf.errors.OpError:
        pass
    text = error.message.split("\n")[0].split("[Op:")[0].strip()
    return BadRecord(path, index, f"the file is truncated or damaged here: {text}", False)
