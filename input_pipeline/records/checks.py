"""Says in words what is wrong with a record.

The parsers, which are fast, say little about what they refuse.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import tensorflow as tf
from google.protobuf.message import DecodeError

from input_pipeline.feature import Feature
from input_pipeline.records.example_parsing import UNLABELED, aligned_pairs
from input_pipeline.records.packing import Packing, candidates, unpack

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
    serialized: bytes,
    features: Sequence[Feature],
    labels: Sequence[Feature] = (),
    *,
    packing: Packing,
) -> str | None:
    """The same of one serialized record of the request layout."""
    try:
        record = tf.train.Example.FromString(serialized)
    except DecodeError:
        return f"not a tf.train.Example ({len(serialized)} bytes)"
    told = (*features, *labels)
    try:
        request = unpack(record, packing, tf.train.SequenceExample(), {f.name for f in told})
    except ValueError as error:
        return str(error)
    reason = _check_features(
        request.context.feature, [feature for feature in told if feature.owner == "user"]
    )
    if reason:
        return reason
    of_row = [feature for feature in told if feature.owner != "user"]
    for number, row in enumerate(candidates(request)):
        there = [f for f in of_row if not f.optional or has_values(row[f.name])]
        reason = _check_features(row, there)
        if reason:
            return f"candidate {number} (counting from 0): {reason}"
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
