"""Finds the record that a reader stumbled over: which file, which record, which feature.

Batches are parsed by one fast operation, which says little about what it refuses. Only after it has
failed are the files read again, here, at leisure.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import tensorflow as tf
from google.protobuf.message import DecodeError

from input_pipeline.parsing import neighbor_pairs, parse_examples
from input_pipeline.spec import Feature

# TensorFlow quotes some bytes of a record that it refuses, which may not decode
REFUSED = (tf.errors.InvalidArgumentError, UnicodeDecodeError)
_BATCH = 1024
_KINDS = {"int64_list": "int64", "bytes_list": "bytes", "float_list": "float"}


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


def check_record(
    serialized: bytes, features: Sequence[Feature], labels: Sequence[Feature] = ()
) -> str | None:
    """Says what is wrong with one serialized tf.train.Example; None where nothing is."""
    try:
        example = tf.train.Example.FromString(serialized)
    except DecodeError:
        return f"not a tf.train.Example ({len(serialized)} bytes)"
    found = dict(example.features.feature)
    lengths = {}
    for feature in (*features, *labels):
        kind = found[feature.name].WhichOneof("kind") if feature.name in found else None
        if kind is None and feature in labels:
            continue
        if kind is None:
            return f"feature {feature.name!r}: expected {_describe(feature)}, found none"
        values = getattr(found[feature.name], kind).value
        lengths[feature.name] = length = len(values)
        expected = 1 if feature.length is None else feature.length
        fits = length <= expected if feature.ragged else length == expected
        if not fits or _KINDS[kind] != feature.dtype:
            got = f"{length} {_KINDS[kind]} value{'' if length == 1 else 's'}"
            return f"feature {feature.name!r}: expected {_describe(feature)}, found {got}"
    for name, weights in neighbor_pairs(features):
        if lengths[name] != lengths[weights]:
            return (
                f"feature {weights!r}: expected as many values as {name!r} has "
                f"({lengths[name]}), found {lengths[weights]}"
            )
    return None


def _describe(feature: Feature) -> str:
    if feature.length is None:
        return f"1 {feature.dtype} value"
    return f"{'at most ' if feature.ragged else ''}{feature.length} {feature.dtype} values"


def find_bad_records(
    path: str, features: Sequence[Feature], labels: Sequence[Feature] = ()
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
            parse_examples(serialized, features, labels)
        except REFUSED:
            for index, record in enumerate(serialized.numpy(), start):
                reason = check_record(record, features, labels)
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
