"""Rows and graph to records of the request layout: a user and up to 32 rows each.

`packing.py` tells what a record holds. The features of a node are encoded once; those of a request
are then copied side by side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from input_pipeline.feature import Feature
from input_pipeline.log.byte_strings import ByteStrings
from input_pipeline.log.rows import Rows
from input_pipeline.records.crc import crc32c
from input_pipeline.records.example_encoder import length_name
from input_pipeline.records.packing import Pack, Packing
from input_pipeline.records.wire_format import (
    delimited,
    encode_values,
    feature_entry,
    fixed_strings,
    flat_bytes,
    joined,
    masked,
    prefixes,
    strings,
    varints,
)
from input_pipeline.spec import MAX_CANDIDATES, DatasetSpec


def group_requests(
    user: NDArray[Any], random: np.random.Generator
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Deals the rows of each user out to requests of at most MAX_CANDIDATES rows, at random.

    Args:
      user: int32 [R], the user of each row.
      random: the source of the order.

    Returns:
      order, int64 [R], and bounds, int64 [N + 1]: request n holds the rows
      order[bounds[n]:bounds[n + 1]].
    """
    order = random.permutation(len(user))
    order = order[np.argsort(user[order], kind="stable")]
    first = np.flatnonzero(np.diff(user[order], prepend=-1))
    place = np.arange(len(user)) - np.repeat(first, np.diff(first, append=len(user)))
    starts = np.flatnonzero(place % MAX_CANDIDATES == 0)
    return order, np.append(starts, len(user))


class _Part(NamedTuple):
    """Some of what a pack holds of each row.

    Attributes:
      values: as they stand in the list, [V].
      which: of these, those of each row, [R].
    """

    values: pa.LargeBinaryArray
    which: NDArray[Any]


class RequestEncoder:
    """Encodes the rows of one window, a record a user and at most 32 rows.

    Args:
      spec: names, kinds and order of the features.
      rows: R rows of the window.
      places: by owner, which entry of the payloads each row has, [R].
      payloads: `node_payloads` of `user`, of `item`, and of `context` where there are such
        features, for the events of `contexts`.
      random: deals the rows of a user out to requests.
    """

    records_per_chunk = 512

    def __init__(
        self,
        spec: DatasetSpec,
        rows: Rows,
        places: Mapping[str, NDArray[Any]],
        payloads: Mapping[str, Mapping[str, pa.LargeBinaryArray]],
        random: np.random.Generator,
    ):
        self._order, self._bounds = group_requests(rows.user, random)
        self._user = places["user"]
        packing = Packing.of(spec, "the spec")
        self._users = joined(
            *(
                feature_entry(pack.name, pack.dtype, _side_by_side(pack, "user", payloads["user"]))
                for pack in packing.of_side("user")
            )
        )
        self._packs = packing.of_side("rows")
        # Of each pack the values of its parts, and where among them those of each row are.
        self._values: list[pa.LargeBinaryArray] = []
        self._which: list[list[NDArray[Any]]] = []
        for pack in self._packs:
            parts = [
                _Part(_side_by_side(pack, "item", payloads["item"]), places["item"]),
                *_told_by_context(pack, places, payloads),
                *_told_by_row(pack, rows, spec.task_names),
            ]
            first = np.cumsum([0, *(len(part.values) for part in parts)])
            self._values.append(pa.concat_arrays([part.values for part in parts]))
            self._which.append(
                [part.which + begin for part, begin in zip(parts, first, strict=False)]
            )

    def __len__(self) -> int:
        return len(self._bounds) - 1

    def encode(self, index: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Some requests as framed TFRecords: uint8 [bytes], and their bounds, int64 [N + 1].

        Args:
          index: int64 [N], request numbers.
        """
        counts = self._bounds[index + 1] - self._bounds[index]
        bounds = np.append(0, np.cumsum(counts))
        # The rows of one request after the other.
        place = np.arange(bounds[-1]) - np.repeat(bounds[:-1], counts)
        row = self._order[np.repeat(self._bounds[index], counts) + place]
        entries = [self._users.take(pa.array(self._user[row[bounds[:-1]]]))]
        for pack, values, parts in zip(self._packs, self._values, self._which, strict=True):
            # Row by row each part.
            taken = np.stack([which[row] for which in parts], axis=1)
            flat, offsets = flat_bytes(values.take(pa.array(taken.reshape(-1))))
            of_request = strings(flat, offsets[bounds * len(parts)])
            entries.append(feature_entry(pack.name, pack.dtype, of_request))
        features = joined(*entries)
        heads = prefixes(np.diff(flat_bytes(features)[1]), lambda length: delimited(1, length))
        return frame(joined(heads, features))

    def num_rows(self, index: NDArray[Any]) -> NDArray[Any]:
        """How many rows some requests have: uint8 [N]."""
        return (self._bounds[index + 1] - self._bounds[index]).astype(np.uint8)


def _side_by_side(
    pack: Pack, owner: str, payloads: Mapping[str, pa.LargeBinaryArray]
) -> pa.LargeBinaryArray:
    """What a pack holds of each node or context, [V]; nothing where it holds nothing of them."""
    found = [
        payloads[length_name(feature.name)]
        if pack.holds_lengths
        else _filled(feature, payloads[feature.name])
        for feature in pack.features
        if feature.owner == owner
    ]
    if found:
        return joined(*found)
    return strings(np.zeros(0, np.uint8), np.zeros(len(next(iter(payloads.values()))) + 1))


def _filled(feature: Feature, payload: pa.LargeBinaryArray) -> pa.LargeBinaryArray:
    """The payload with what it leaves out as what that reads as."""
    if not feature.optional:
        return payload
    missing = pa.scalar(_missing(feature), pa.large_binary())
    return pc.if_else(pc.equal(pc.binary_length(payload), 0), missing, payload)


def _missing(feature: Feature) -> bytes:
    """What a missing one reads as, as its values stand in a list."""
    filler = feature.filler
    if isinstance(filler, bytes):
        return b"".join(encode_values(ByteStrings.of([filler])).to_pylist())
    kind = np.float32 if feature.dtype == "float" else np.int64
    values = np.full(feature.shape, filler, kind).reshape(-1)
    if feature.dtype == "float":
        return values.astype("<f4").tobytes()
    return b"".join(varints(values).to_pylist())


def _told_by_context(
    pack: Pack,
    places: Mapping[str, NDArray[Any]],
    payloads: Mapping[str, Mapping[str, pa.LargeBinaryArray]],
) -> list[_Part]:
    if not any(feature.owner == "context" for feature in pack.features):
        return []
    # Values that are alike are kept once.
    told = _side_by_side(pack, "context", payloads["context"]).dictionary_encode()
    return [_Part(told.dictionary, told.indices.to_numpy()[places["context"]])]


def _told_by_row(pack: Pack, rows: Rows, tasks: Sequence[str]) -> list[_Part]:
    """The timestamps and labels that a pack holds."""
    parts = []
    for feature in (feature for feature in pack.features if feature.owner == "row"):
        if feature.role == "timestamp":
            assert rows.timestamp is not None
            times, which = np.unique(rows.timestamp, return_inverse=True)
            parts.append(_Part(varints(times), which))
            continue
        assert feature.task is not None, f"{feature.name} is no label"
        task = np.uint32(tasks.index(feature.task))
        positive, absent = (
            (bits >> task & np.uint32(1)).astype(np.int64)
            for bits in (rows.positive, rows.unlabeled)
        )
        outcomes = np.array([[0.0], [1.0], [feature.filler]], np.float32)
        parts.append(_Part(fixed_strings(outcomes), np.where(absent, 2, positive)))
    return parts


def frame(records: pa.LargeBinaryArray) -> tuple[NDArray[Any], NDArray[Any]]:
    """N serialized messages as TFRecords: uint8 [bytes], and their bounds in it, int64 [N + 1]."""
    crc = crc32c()
    flat, offsets = flat_bytes(records)
    lengths = np.diff(offsets).astype("<u8")
    starts = np.arange(len(records) + 1, dtype=np.int64) * 8
    heads = np.empty((len(records), 12), np.uint8)
    heads[:, :8] = lengths.view(np.uint8).reshape(-1, 8)
    heads[:, 8:] = masked(crc.of_strings(lengths.view(np.uint8), starts))
    tails = fixed_strings(masked(crc.of_strings(flat, offsets)))
    return flat_bytes(joined(fixed_strings(heads), records, tails))
