"""The layouts of records, by their name in a data set spec: how each is read."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Collection, Sequence

import tensorflow as tf

from input_pipeline.feature import Feature
from input_pipeline.records.checks import check_example, check_request
from input_pipeline.records.epoch_order import ShuffledRecords
from input_pipeline.records.example_parsing import Column, parse_ragged_examples
from input_pipeline.records.packing import Packing
from input_pipeline.records.request_batches import request_batches
from input_pipeline.records.request_parsing import parse_requests
from input_pipeline.spec import MAX_CANDIDATES, DatasetSpec

Parse = Callable[[tf.Tensor], dict[str, tf.Tensor]]


@dataclasses.dataclass(frozen=True)
class RecordLayout:
    """What differs between layouts in reading.

    Attributes:
      rows_per_record: the most.
      records_per_block: the most that are moved and shuffled as one: one by one costs as much as
        parsing.
      parse: (serialized records [N], features, labels) -> columns by name.
      check: (serialized record, features, labels) -> what is wrong with it, None if nothing is.
      batches: (serialized records in random order, parse, batch size, names of the features of a
        user, number of the first batch) -> parsed batches of exactly so many rows from there on.
    """

    rows_per_record: int
    records_per_block: int
    parse: Callable[[tf.Tensor, Sequence[Feature], Sequence[Feature]], dict[str, Column]]
    check: Callable[[bytes, Sequence[Feature], Sequence[Feature]], str | None]
    batches: Callable[[ShuffledRecords, Parse, int, Collection[str], int], tf.data.Dataset]


def _example_batches(
    records: ShuffledRecords,
    parse: Parse,
    batch_size: int,
    of_user: Collection[str],
    first_batch: int,
) -> tf.data.Dataset:
    del of_user  # a row has all features
    blocks = records.starting_at(first_batch * batch_size)
    batches = blocks.rebatch(batch_size, drop_remainder=True)
    return batches.map(parse, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def _examples(spec: DatasetSpec, origin: str) -> RecordLayout:
    del spec, origin  # a record tells all
    return RecordLayout(1, 32, parse_ragged_examples, check_example, _example_batches)


def _requests(spec: DatasetSpec, origin: str) -> RecordLayout:
    packing = Packing.of(spec, origin)
    return RecordLayout(
        MAX_CANDIDATES,
        4,
        functools.partial(parse_requests, packing=packing),
        functools.partial(check_request, packing=packing),
        request_batches,
    )


LAYOUTS: dict[str, Callable[[DatasetSpec, str], RecordLayout]] = {
    "example": _examples,
    "request": _requests,
}


def layout_of(spec: DatasetSpec, origin: str) -> RecordLayout:
    """How the records of a data set are read.

    Raises:
      ValueError: they are in a layout of an earlier version; names `origin`.
    """
    return LAYOUTS[spec.record_layout](spec, origin)
