"""Records of a user with candidates as requests for the signature `rank`.

A record is a tf.train.SequenceExample, whose context holds the features of the user and whose
feature lists have an entry a candidate; or one of a data set in the request layout.

Axes: N candidates.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from export.client import protocol
from export.client.client import Input
from export.client.tensors import DT_FLOAT, TYPES
from input_pipeline.files import filesystem
from input_pipeline.records.packing import Packing, unpack
from input_pipeline.spec import SPEC_FILE, read_spec

Inputs = dict[str, NDArray[Any]]


def packing_beside(path: str) -> Packing | None:
    """How the records of a file are packed that lies in a data set; None: they are not."""
    data_dir = os.path.dirname(os.path.dirname(path))
    if not filesystem.exists(filesystem.join(data_dir, SPEC_FILE)):
        return None
    spec = read_spec(data_dir)
    return Packing.of(spec, data_dir) if spec.record_layout == "request" else None


def request_inputs(
    serialized: bytes, wanted: Mapping[str, Input], packing: Packing | None = None
) -> list[tuple[NDArray[Any], Inputs]]:
    """The requests that a record stands for: one for each context of its candidates.

    What the record leaves out is filled up by what the signature tells. A single number reads as
    NaN, missing, and may be left out altogether. Lists of numbers are filled up with 0, as weights
    of neighbours are. Ids get one that no log has, the smallest int64 or the empty string, which
    says that a list ends, or that a category is not known.

    Returns:
      Pairs of which candidates a request holds, int64 [N], and the inputs of `rank`: user and
      context [1, ...], candidates [1, N, ...].

    Raises:
      ValueError: the record is none, or lacks an input, or has too long a list for it.
    """
    record = _spelt_out(serialized, packing)
    lists = {name: entries.feature for name, entries in record.feature_lists.feature_list.items()}
    count = max((len(entries) for entries in lists.values()), default=0)
    user: Inputs = {}
    context: Inputs = {}
    candidates: Inputs = {}
    for name, spec in wanted.items():
        listed = spec.shape[1:2] == (-1,)
        single = Input(spec.dtype, spec.shape[1:] if listed else spec.shape)
        if name in lists:
            target = candidates if listed else context
            target[name] = _rows(name, lists[name], single)
        elif not listed and name in record.context.feature:
            user[name] = _rows(name, [record.context.feature[name]], single)
        elif single.dtype == DT_FLOAT and len(single.shape) == 1:
            target, size = (candidates, count) if listed else (user, 1)
            target[name] = np.full(size, single.missing, np.float32)
        else:
            found = sorted({*lists, *record.context.feature})
            raise ValueError(f"--examples: a record must have {name}, got {found}")
    return [
        (
            index,
            user
            | {name: values[index[:1]] for name, values in context.items()}
            | {name: values[index][np.newaxis] for name, values in candidates.items()},
        )
        for index in _by_context(context, count)
    ]


def _spelt_out(serialized: bytes, packing: Packing | None) -> Any:
    """A record as a SequenceExample."""
    kind = "SequenceExample" if packing is None else "Example"
    try:
        record = getattr(protocol, kind).FromString(serialized)
    except DecodeError:
        raise ValueError(f"--examples: a record is no tf.train.{kind}") from None
    if packing is None:
        return record
    names = {f.name for pack in packing.packs for f in pack.features if f.owner != "row"}
    try:
        return unpack(record, packing, protocol.SequenceExample(), names)
    except ValueError as error:
        raise ValueError(f"--examples: a record is broken: {error}") from None


def _by_context(context: Inputs, count: int) -> list[NDArray[Any]]:
    """The candidates of each distinct context, in order of first appearance."""
    groups: dict[tuple[Any, ...], list[int]] = {}
    for candidate in range(count):
        rows = (values[candidate] for values in context.values())
        # a NaN does not equal another one, but its text does
        key = tuple(repr(np.asarray(row).tolist()) for row in rows)
        groups.setdefault(key, []).append(candidate)
    return [np.array(group, np.int64) for group in groups.values()]


def _rows(name: str, features: Sequence[Any], spec: Input) -> NDArray[Any]:
    """The values of a feature, [N, ...]; `spec` is of one row."""
    shape = spec.shape[1:]
    size = math.prod(shape)
    filler = 0.0 if spec.dtype == DT_FLOAT and shape else spec.missing
    rows: NDArray[Any] = np.full((len(features), size), filler, TYPES[spec.dtype][0])
    for row, feature in zip(rows, features, strict=True):
        kind = feature.WhichOneof("kind")
        values = list(getattr(feature, kind).value) if kind else []
        if len(values) > size:
            raise ValueError(
                f"--examples: {name} must have at most {size} values, got {len(values)}"
            )
        row[: len(values)] = values
    return rows.reshape(len(features), *shape)
