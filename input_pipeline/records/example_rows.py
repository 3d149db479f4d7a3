"""Rows of a data set as serialized tf.train.Examples, whatever the layout of its records."""

from __future__ import annotations

import itertools
from collections.abc import Collection

import tensorflow as tf

from input_pipeline.records.bad_records import open_records
from input_pipeline.records.checks import has_values
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
        optional = {feature.name for feature in spec.features if feature.optional}
        records = (row for record in records for row in examples_of_request(record, optional))
    serialized = list(itertools.islice(records, count))
    if not serialized:
        raise ValueError(f"{data_dir}: there are no rows in {window}")
    return tf.constant(serialized)


def examples_of_request(serialized: bytes, optional: Collection[str]) -> list[bytes]:
    """The candidates of a tf.train.SequenceExample as rows, each with the features of the user.

    Args:
      serialized: the SequenceExample.
      optional: names of features that a row leaves out where their list has an empty entry.
    """
    request = tf.train.SequenceExample.FromString(serialized)
    lists = request.feature_lists.feature_list
    rows = []
    for candidate in range(max((len(entries.feature) for entries in lists.values()), default=0)):
        example = tf.train.Example(features=request.context)
        for name, entries in lists.items():
            feature = entries.feature[candidate]
            if name not in optional or has_values(feature):
                example.features.feature[name].CopyFrom(feature)
        rows.append(example.SerializeToString())
    return rows
