"""Records of the request layout put together and taken apart one value after the other."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from input_pipeline.feature import Feature
from input_pipeline.records.packing import Packing, pack
from tests.encoded_rows import make_spec

Values = Mapping[str, Sequence[Any]]


def packing_of(features: Sequence[Feature]) -> Packing:
    """Of a data set with these features."""
    spec = dataclasses.replace(make_spec(), features=tuple(features), record_packing=pack(features))
    return Packing.of(spec, "here")


def packed(
    user: Values, rows: Sequence[Values], features: Sequence[Feature], **changes: Any
) -> bytes:
    """A user and some rows, by name of the feature, as a record.

    Args:
      user: values of each feature of the user; a list may be empty, an optional one left out.
      rows: the same of each row.
      features: of the data set.
      changes: what packs hold instead; None: nothing at all.
    """
    by_name = {feature.name: feature for feature in features}
    record = tf.train.Example()
    for name, held in pack(features).items():
        dtype = "int64" if name.endswith("_lengths") else by_name[held[0]].dtype
        values: list[Any] = []
        for entry in [user] if name.startswith("user_") else rows:
            for feature in held:
                found = list(entry.get(feature, ()))
                if name.endswith("_lengths"):
                    found = [len(found)]
                elif not found and by_name[feature].optional:
                    found = (
                        np.full(by_name[feature].shape, by_name[feature].filler).ravel().tolist()
                    )
                values += found
        values = changes.get(name, values)
        if values is not None:
            of_kind = getattr(record.features.feature[name], f"{dtype}_list")
            of_kind.SetInParent()
            of_kind.value.extend(values)
    return record.SerializeToString()


def spelt_out(record: bytes, features: Sequence[Feature]) -> tuple[dict, list[dict]]:
    """The values of the user, and of each row, by name of the feature."""
    found = tf.train.Example.FromString(record).features.feature
    by_name = {feature.name: feature for feature in features}

    def queue(name: str) -> list:
        kind = found[name].WhichOneof("kind")
        return list(getattr(found[name], kind).value)

    queues = {name: queue(name) for name in found}
    packs = pack(features)

    def entry(side: str) -> dict:
        values, lengths = {}, {}
        of_side = {name: held for name, held in packs.items() if name.startswith(f"{side}_")}
        # lengths are taken before the lists that have them
        for name in sorted(of_side, key=lambda name: name.endswith("_lists")):
            for feature in of_side[name]:
                described = by_name[feature]
                width = 1 if described.length is None else described.length
                if name.endswith("_lengths"):
                    lengths[feature] = queues[name].pop(0)
                    continue
                if name.endswith("_lists"):
                    width = lengths[described.aligned_with or feature]
                values[feature] = [queues[name].pop(0) for _ in range(width)]
        return values

    user, rows = entry("user"), []
    while queues["rows_float"]:
        rows.append(entry("rows"))
    assert not any(queues.values())
    return user, rows
