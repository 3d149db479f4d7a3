"""Rows of a data set as serialized tf.train.Examples, whatever the layout of its records."""

from __future__ import annotations

import itertools

import tensorflow as tf

from input_pipeline.records.bad_records import open_records
from input_pipeline.records.packing import Packing, candidates, unpack
from input_pipeline.records.shard_files import example_files
from input_pipeline.spec import read_spec


def first_examples(data_dir: str, window: str, count: int) -> tf.Tensor:
    """The first rows of a window: string [B], where B is at most `count`.

    Raises:
      ValueError: the window has no files, or no rows.
    """
    spec = read_spec(data_dir)
    records = (
        record
        for file in example_files(data_dir, [window])
        for record in open_records(file).as_numpy_iterator()
    )
    if spec.record_layout == "request":
        packing = Packing.of(spec, data_dir)
        records = (row for record in records for row in examples_of_request(record, packing))
    serialized = list(itertools.islice(records, count))
    if not serialized:
        raise ValueError(f"{data_dir}: there are no rows in {window}")
    return tf.constant(serialized)


def examples_of_request(serialized: bytes, packing: Packing) -> list[bytes]:
    """The rows of a record of the request layout, each with the features of the user.

    Args:
      serialized: the record.
      packing: of its data set.
    """
    record = tf.train.Example.FromString(serialized)
    names = {feature.name for pack in packing.packs for feature in pack.features}
    request = unpack(record, packing, tf.train.SequenceExample(), names)
    rows = []
    for row in candidates(request):
        example = tf.train.Example(features=request.context)
        for name, feature in row.items():
            if feature.WhichOneof("kind"):  # nothing, of what is left out
                example.features.feature[name].CopyFrom(feature)
        rows.append(example.SerializeToString())
    return rows
