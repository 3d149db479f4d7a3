"""Serialized tf.train.SequenceExamples, a user with some rows each, -> tensors.

Axes: R requests, B rows of all of them, L neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

import tensorflow as tf

from input_pipeline.feature import USER_ROW, Feature
from input_pipeline.records.example_parsing import (
    DTYPES,
    Column,
    checked,
    parsing_rule,
    wrong_labels,
    wrong_lists,
)


def parse_requests(
    serialized: tf.Tensor, features: Sequence[Feature], labels: Sequence[Feature] = ()
) -> dict[str, Column]:
    """Parses a batch of tf.train.SequenceExample.

    Args:
      serialized: string [R].
      features: what every record must have (`DatasetSpec.input_features`, or some of them), unless
        it is optional: a row may leave that empty.
      labels: also read (`DatasetSpec.label_features`).

    Returns:
      By name: those of a user with R rows, all others with B; scalars, lists and ragged lists as
      `parse_ragged_examples` gives them, `missing` where the row has none. `user_row`: int32 [B],
      the request of each row.

    Raises:
      tf.errors.InvalidArgumentError: when run on a record that does not parse, lacks a feature, has
        one of the wrong length or lists for different numbers of candidates, or none, or has a
        label other than 0 and 1. A ragged list missing in the context reads as an empty one;
        `dataset.py` looks for those.
    """
    of_user = [feature for feature in features if feature.owner == "user"]
    of_row = [feature for feature in (*features, *labels) if feature.owner != "user"]
    context, lists, _ = tf.io.parse_sequence_example(
        serialized,
        {feature.name: parsing_rule(feature) for feature in of_user} or None,
        {
            feature.name: tf.io.RaggedFeature(DTYPES[feature.dtype], row_splits_dtype=tf.int32)
            for feature in of_row
        },
    )
    # Each list is [R, (C), (L)]; its values are the rows' own lists, [B, (L)].
    first = next(iter(lists.values()))
    rows = {name: values.values for name, values in lists.items()}
    wrong = wrong_lists(context, of_user)
    columns = dict(context)
    for feature in of_row:
        values = rows[feature.name]
        if feature.ragged:
            columns[feature.name] = values
            continue
        if feature.optional:
            wrong[feature.name], columns[feature.name] = _optional(values, feature)
            continue
        wrong[feature.name] = tf.reduce_any(values.row_lengths() != math.prod(feature.shape))
        columns[feature.name] = tf.reshape(values.values, [-1, *feature.shape])
    wrong |= wrong_lists(columns, [feature for feature in of_row if feature.ragged])
    for name, is_wrong in wrong_labels(columns, labels).items():
        wrong[name] |= is_wrong
    # [lists, R + 1]
    splits = tf.stack([values.row_splits for values in lists.values()])
    unlike = tf.reduce_any(splits != splits[0], axis=1)
    unlike |= tf.reduce_any(splits[0, 1:] == splits[0, :-1])  # no candidates
    for name, is_unlike in zip(lists, tf.unstack(unlike), strict=True):
        wrong[name] |= is_unlike
    columns[USER_ROW] = first.value_rowids()
    return checked(columns, wrong)


def _optional(values: tf.RaggedTensor, feature: Feature) -> tuple[tf.Tensor, tf.Tensor]:
    """Whether some row has neither all values nor none, and each row's, [B, ...], or `missing`."""
    size = math.prod(feature.shape)
    missing = tf.constant(feature.filler, values.dtype, [size])
    lengths = values.row_lengths()[:, tf.newaxis]
    # As many values more, for rows behind the last one that there is.
    known = tf.concat([values.values, missing], axis=0)
    # places: [B, W]
    places = values.row_splits[:-1, tf.newaxis] + tf.range(size)
    value = tf.where(lengths > 0, tf.gather(known, places), missing)
    wrong = tf.reduce_any((lengths > 0) & (lengths != size))
    return wrong, tf.reshape(value, [-1, *feature.shape])


def expand_users(
    columns: Mapping[str, tf.Tensor], *, of_user: Collection[str]
) -> dict[str, tf.Tensor]:
    """Gives every row its user's features, R rows to B, instead of `user_row`.

    Columns without `user_row` are by row already.

    Args:
      columns: dense, by name.
      of_user: names of the features of a user; columns go by the part before a slash.
    """
    if USER_ROW not in columns:
        return dict(columns)
    return {
        name: tf.gather(value, columns[USER_ROW]) if name.partition("/")[0] in of_user else value
        for name, value in columns.items()
        if name != USER_ROW
    }
