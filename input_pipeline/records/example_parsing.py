"""Serialized tf.train.Examples -> tensors, derived from the data set spec; shared with serving.

Axes: B batch, L neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

import numpy as np
import tensorflow as tf

from input_pipeline.feature import Feature

UNLABELED = -1.0
DTYPES = {"int64": tf.int64, "bytes": tf.string, "float": tf.float32}

# Ragged where rows hold lists of different lengths.
Column: TypeAlias = "tf.Tensor | tf.RaggedTensor"


def aligned_pairs(features: Sequence[Feature]) -> Iterator[tuple[str, str]]:
    """Names of lists among `features` and of those that belong to them entry by entry."""
    names = {feature.name for feature in features}
    for feature in features:
        if feature.aligned_with in names:
            assert feature.aligned_with is not None
            yield feature.aligned_with, feature.name


def parsing_rule(feature: Feature) -> tf.io.FixedLenFeature | tf.io.RaggedFeature:
    """How TensorFlow's parsers read a feature of a tf.train.Features."""
    dtype = DTYPES[feature.dtype]
    if feature.ragged:
        return tf.io.RaggedFeature(dtype, row_splits_dtype=tf.int32)
    default = np.full(feature.shape, feature.filler).tolist() if feature.optional else None
    return tf.io.FixedLenFeature(list(feature.shape), dtype, default)


def parse_ragged_examples(
    serialized: tf.Tensor, features: Sequence[Feature], labels: Sequence[Feature] = ()
) -> dict[str, Column]:
    """Parses a batch of tf.train.Example.

    Args:
      serialized: string [B].
      features: what every record must have (`DatasetSpec.input_features`, or some of them), unless
        it is optional.
      labels: also read (`DatasetSpec.label_features`).

    Returns:
      By name: scalars [B], lists [B, length], ragged lists as tf.RaggedTensor [B, (L)]. What a
      record leaves out reads as the feature's `missing`: NaN for a number, -1 for a label.

    Raises:
      tf.errors.InvalidArgumentError: when run on a record that does not parse, lacks a feature, has
        one of the wrong length, or has neighbours and weights of different lengths, or a label
        other than 0 and 1. A ragged list that is missing altogether reads as an empty one;
        `dataset.py` looks for those.
    """
    rules = {feature.name: parsing_rule(feature) for feature in (*features, *labels)}
    parsed = tf.io.parse_example(serialized, rules)
    return checked(parsed, wrong_lists(parsed, features) | wrong_labels(parsed, labels))


def parse_examples(
    serialized: tf.Tensor, features: Sequence[Feature], labels: Sequence[Feature] = ()
) -> dict[str, tf.Tensor]:
    """`parse_ragged_examples` with ragged lists padded: [B, length].

    Only what the graph of a SavedModel can hold is used, so that serving reads what training read.
    """
    return padded(parse_ragged_examples(serialized, features, labels), features)


def padded(columns: Mapping[str, Column], features: Sequence[Feature]) -> dict[str, tf.Tensor]:
    """Columns with their ragged lists as dense ones [.., length], filled up with `missing`.

    Args:
      columns: by the name of a feature, or by that, a slash and more; raw, or encoded as
        embedding rows, which are filled up with `encoded_filler`.
      features: of the columns that are ragged.
    """
    by_name = {feature.name: feature for feature in features}

    def dense(name: str, value: tf.RaggedTensor) -> tf.Tensor:
        feature = by_name[name.partition("/")[0]]
        is_raw = feature.name == name and value.dtype == DTYPES[feature.dtype]
        filler = feature.filler if is_raw else feature.encoded_filler
        return value.to_tensor(tf.constant(filler, value.dtype), shape=[None, feature.length])

    return {
        name: dense(name, value) if isinstance(value, tf.RaggedTensor) else value
        for name, value in columns.items()
    }


def checked(columns: Mapping[str, Column], wrong: Mapping[str, tf.Tensor]) -> dict[str, Column]:
    """The columns, behind one assertion; many of them would cost more than parsing.

    Args:
      columns: by name.
      wrong: by the name of a feature, a bool scalar: whether some row's is not as it must be.
    """
    if not wrong:
        return dict(columns)
    flags = tf.stack(list(wrong.values()))
    names = tf.where(flags, tf.constant(list(wrong)), "")
    check = tf.debugging.Assert(
        tf.logical_not(tf.reduce_any(flags)),
        ["lists of a wrong length, or labels other than 0 and 1:", names],
        summarize=len(wrong),
    )
    with tf.control_dependencies([] if check is None else [check]):  # None where it ran already
        return {
            name: value.with_flat_values(tf.identity(value.flat_values))
            if isinstance(value, tf.RaggedTensor)
            else tf.identity(value)
            for name, value in columns.items()
        }


def wrong_lists(columns: Mapping[str, Column], features: Sequence[Feature]) -> dict[str, tf.Tensor]:
    """Which ragged lists a dense tensor of width L would cut, or have too few weights.

    Returns:
      By feature name, a bool scalar.
    """
    ragged = {feature.name: feature for feature in features if feature.ragged}
    if not ragged:
        return {}
    # All lists at once: an operation on a thousand numbers costs less than to call it.
    places = {name: place for place, name in enumerate(ragged)}
    listed = places | {weights: places[name] for name, weights in aligned_pairs(features)}
    longest = tf.constant([[feature.length] for feature in ragged.values()], tf.int32)
    # [lists, B + 1]
    splits = tf.stack([columns[name].row_splits for name in ragged])
    too_long = splits[:, 1:] - splits[:, :-1] > longest
    unlike = splits != tf.gather(splits, [listed[name] for name in ragged])
    wrong = tf.reduce_any(too_long, axis=1) | tf.reduce_any(unlike, axis=1)
    return dict(zip(ragged, tf.unstack(wrong), strict=True))


def wrong_labels(columns: Mapping[str, Column], labels: Sequence[Feature]) -> dict[str, tf.Tensor]:
    """Which labels are neither 0 nor 1 where there is one.

    Returns:
      By label name, a bool scalar.
    """
    if not labels:
        return {}
    # [T, B]
    values = tf.stack([columns[label.name] for label in labels])
    known = (values == 0.0) | (values == 1.0) | (values == UNLABELED)
    wrong = tf.reduce_any(tf.logical_not(known), axis=1)
    return dict(zip((label.name for label in labels), tf.unstack(wrong), strict=True))
