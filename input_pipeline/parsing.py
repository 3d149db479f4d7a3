"""Serialized rows -> dense tensors, derived from the data set spec; shared by training and serving.

Axes: B batch, L neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import tensorflow as tf

from input_pipeline.spec import Feature

UNLABELED = -1.0
DTYPES = {"int64": tf.int64, "bytes": tf.string, "float": tf.float32}


def neighbor_pairs(features: Sequence[Feature]) -> Iterator[tuple[str, str]]:
    """Names of the neighbour lists among `features` and of their weights, where both are there."""
    names = {feature.name for feature in features}
    for name in sorted(names):
        weights = name.replace("_neighbors_", "_neighbor_weights_")
        if weights != name and weights in names:
            yield name, weights


def _parsing_rule(feature: Feature) -> tf.io.FixedLenFeature | tf.io.RaggedFeature:
    dtype = DTYPES[feature.dtype]
    if feature.ragged:
        return tf.io.RaggedFeature(dtype, row_splits_dtype=tf.int32)
    return tf.io.FixedLenFeature([] if feature.length is None else [feature.length], dtype)


def parse_examples(
    serialized: tf.Tensor, features: Sequence[Feature], labels: Sequence[Feature] = ()
) -> dict[str, tf.Tensor]:
    """Parses a batch of tf.train.Example.

    Only what the graph of a SavedModel can hold is used, so that serving reads what training read.

    Args:
      serialized: string [B].
      features: what every record must have (`DatasetSpec.input_features`, or some of them).
      labels: scalars that a record may leave out (`DatasetSpec.label_features`).

    Returns:
      By feature name: scalars [B], lists [B, length], ragged lists [B, length] padded with 0 or the
      empty string; by label name: float32 [B], -1 where the record has none.

    Raises:
      tf.errors.InvalidArgumentError: when run on a record that does not parse, lacks a feature, has
        one of the wrong length, or has neighbours and weights of different lengths. A ragged list
        that is missing altogether reads as an empty one; `dataset.py` looks for those.
    """
    rules = {feature.name: _parsing_rule(feature) for feature in features}
    for label in labels:
        rules[label.name] = tf.io.FixedLenFeature([], tf.float32, default_value=UNLABELED)
    parsed = tf.io.parse_example(serialized, rules)
    with tf.control_dependencies(_length_checks(parsed, features)):
        lists = {feature.name: feature.length for feature in features if feature.ragged}
        return {
            name: value.to_tensor(shape=[None, lists[name]])  # [B, L]
            if name in lists
            else tf.identity(value)
            for name, value in parsed.items()
        }


def _length_checks(
    parsed: dict[str, tf.Tensor | tf.RaggedTensor], features: Sequence[Feature]
) -> list[tf.Operation]:
    """Assertions on ragged lists, which a dense tensor of width L would cut or pad in silence."""
    checks = [
        tf.debugging.assert_equal(
            parsed[name].row_lengths(),
            parsed[weights].row_lengths(),
            message=f"{name} and {weights} must have the same length in every row",
        )
        for name, weights in neighbor_pairs(features)
    ]
    checks += [
        tf.debugging.assert_less_equal(
            parsed[feature.name].row_lengths(),
            feature.length,
            message=f"{feature.name} must hold at most {feature.length} values",
        )
        for feature in features
        if feature.ragged
    ]
    return [check for check in checks if check is not None]  # eager assertions return None
