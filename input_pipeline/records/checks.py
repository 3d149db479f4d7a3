"""Says in words what is wrong with a record.

The parsers, which are fast, say little about what they refuse.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

import tensorflow as tf
from google.protobuf.message import DecodeError

from input_pipeline.feature import Feature
from input_pipeline.records.example_parsing import UNLABELED, aligned_pairs

_KINDS = {"int64_list": "int64", "bytes_list": "bytes", "float_list": "float"}


def check_example(
    serialized: bytes, features: Sequence[Feature], labels: Sequence[Feature] = ()
) -> str | None:
    """Says what is wrong with one serialized tf.train.Example; None where nothing is."""
    try:
        example = tf.train.Example.FromString(serialized)
    except DecodeError:
        return f"not a tf.train.Example ({len(serialized)} bytes)"
    return _check_features(example.features.feature, (*features, *labels))


def check_request(
    serialized: bytes, features: Sequence[Feature], labels: Sequence[Feature] = ()
) -> str | None:
    """The same of one serialized tf.train.SequenceExample."""
    try:
        request = tf.train.SequenceExample.FromString(serialized)
    except DecodeError:
        return f"not a tf.train.SequenceExample ({len(serialized)} bytes)"
    of_user = [feature for feature in features if feature.owner == "user"]
    of_row = [feature for feature in features if feature.owner != "user"]
    all_of_row = (*of_row, *labels)
    reason = _check_features(request.context.feature, of_user)
    if reason:
        return reason
    lists = request.feature_lists.feature_list
    names = [feature.name for feature in all_of_row]
    counts = [len(lists[name].feature) if name in lists else 0 for name in names]
    expected = max(1, statistics.mode(counts))
    for name, count in zip(names, counts, strict=True):
        if count != expected:
            return f"feature list {name!r}: expected {expected} entries, found {count}"
    for candidate in range(expected):
        row = {name: lists[name].feature[candidate] for name in names}
        told = [f for f in all_of_row if not f.optional or has_values(row[f.name])]
        reason = _check_features(row, told)
        if reason:
            return f"candidate {candidate} (counting from 0): {reason}"
    return None


def has_values(feature: tf.train.Feature) -> bool:
    """Whether its list, of whatever kind, holds something."""
    kind = feature.WhichOneof("kind")
    return kind is not None and len(getattr(feature, kind).value) > 0


def _check_features(
    found: Mapping[str, tf.train.Feature],
    features: Sequence[Feature],
) -> str | None:
    lengths = {}
    for feature in features:
        kind = found[feature.name].WhichOneof("kind") if feature.name in found else None
        if kind is None and feature.optional:
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
        if feature.role == "label" and values[0] not in (0.0, 1.0, UNLABELED):
            return f"label {feature.name!r}: expected 0 or 1, found {values[0]:g}"
    for name, aligned in aligned_pairs(features):
        if lengths[name] != lengths[aligned]:
            return (
                f"feature {aligned!r}: expected as many values as {name!r} has "
                f"({lengths[name]}), found {lengths[aligned]}"
            )
    return None


def _describe(feature: Feature) -> str:
    if feature.length is None:
        return f"1 {feature.dtype} value"
    return f"{'at most ' if feature.ragged else ''}{feature.length} {feature.dtype} values"
