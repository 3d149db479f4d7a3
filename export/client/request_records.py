"""Records of the request layout, a user with candidates, as requests for the signature `rank`.

Axes: N candidates.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from export.client import protocol
from export.client.client import Input
from export.client.tensors import TYPES


def request_inputs(serialized: bytes, wanted: Mapping[str, Input]) -> dict[str, NDArray[Any]]:
    """The inputs of `rank`, users [1, ...] and candidates [1, N, ...], of a SequenceExample.

    Lists that are shorter than the model's are filled up with zeros, as neighbours of weight 0 are.

    Raises:
      ValueError: the record is none, or lacks an input, or has too long a list for it.
    """
    try:
        record = protocol.SequenceExample.FromString(serialized)
    except DecodeError:
        raise ValueError("--examples: a record is no tf.train.SequenceExample") from None
    inputs = {}
    for name, spec in wanted.items():
        listed = spec.shape[1:2] == (-1,)
        found = record.feature_lists.feature_list if listed else record.context.feature
        if name not in found:
            raise ValueError(f"--examples: a record must have {name}, got {sorted(found)}")
        features = found[name].feature if listed else [found[name]]
        rows = [_row(name, feature, spec, spec.shape[1 + listed :]) for feature in features]
        inputs[name] = np.stack(rows)[np.newaxis] if listed else np.stack(rows)
    return inputs


def _row(name: str, feature: Any, spec: Input, shape: tuple[int, ...]) -> NDArray[Any]:
    kind = feature.WhichOneof("kind")
    values = list(getattr(feature, kind).value) if kind else []
    size = int(np.prod(shape))
    if len(values) > size:
        raise ValueError(f"--examples: {name} must have at most {size} values, got {len(values)}")
    row: NDArray[Any] = np.zeros(size, TYPES[spec.dtype][0])
    if row.dtype == object:
        row[:] = b""
    row[: len(values)] = values
    return row.reshape(shape)
