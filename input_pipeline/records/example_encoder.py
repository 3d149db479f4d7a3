"""Rows and graph to serialized tf.train.Examples, without touching rows one by one.

A row's bytes are put together from those of its user, its item, its context and its labels, each of
which is encoded once a node (or once a distinct value) and then only copied.
https://protobuf.dev/programming-guides/encoding describes the bytes:

    Example  = tag 1 + length + Features      Features = entries of the map name -> Feature
    entry    = tag 1 + length + (tag 1 + length + name + tag 2 + length + Feature)
    Feature  = tag of the list's kind + length + list
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from input_pipeline.feature import NODES, Feature
from input_pipeline.graph.node_table import Column, ListColumn
from input_pipeline.log.byte_strings import ByteStrings
from input_pipeline.log.raw_ids import RawIds
from input_pipeline.log.rows import Rows
from input_pipeline.records.crc import crc32c
from input_pipeline.records.wire_format import (
    delimited,
    encode_values,
    feature_entry,
    fixed_strings,
    flat_bytes,
    joined,
    masked,
    strings,
    varints,
)
from input_pipeline.spec import DatasetSpec


@dataclasses.dataclass(frozen=True)
class Chunks:
    """Serialized parts of rows, with what it takes to check-sum their concatenations.

    Attributes:
      data: large_binary [V].
      lengths: int64 [V], in bytes.
      checksums: uint32 [V], CRC-32C.
    """

    data: pa.LargeBinaryArray
    lengths: NDArray[Any]
    checksums: NDArray[Any]

    @classmethod
    def of(cls, data: pa.LargeBinaryArray) -> Chunks:
        flat, offsets = flat_bytes(data)
        return cls(data, np.diff(offsets), crc32c().of_strings(flat, offsets))


def node_payloads(
    spec: DatasetSpec,
    owner: str,
    table: Mapping[str, Column],
    encoded: Mapping[str, pa.LargeBinaryArray],
    nodes: NDArray[Any] | None = None,
) -> dict[str, pa.LargeBinaryArray]:
    """The values of the users, of the items, or of the contexts of a window, by feature.

    By `length_name` there is also how many of them each ragged list has.

    Args:
      spec: says what the features are.
      owner: `user`, `item` or `context`.
      table: the nodes as their window sees them, or `table_of_events`.
      encoded: by vocabulary, the ids in its order through `encode_values`.
      nodes: the vocabulary rows of the nodes of the table; None of contexts, which have no id.
    """
    payloads = {}
    for feature in spec.select(owner):
        if feature.role == "id":
            assert nodes is not None, f"{owner} has an id, {feature.name}"
            payloads[feature.name] = _taken(encoded[feature.name], nodes)
        else:
            payloads[feature.name] = column_payload(feature, table[feature.column], encoded)
        if feature.ragged and feature.aligned_with is None:
            lists = table[feature.column]
            assert isinstance(lists, ListColumn), f"{feature.name} is ragged, its column is not"
            payloads[length_name(feature.name)] = varints(np.diff(lists.indptr))
    return payloads


def length_name(feature: str) -> str:
    """Under which name payloads hold the lengths of a ragged list."""
    return f"{feature}/length"


def column_payload(
    feature: Feature, column: Column, encoded: Mapping[str, pa.LargeBinaryArray]
) -> pa.LargeBinaryArray:
    """The values of a feature, as they stand in its list, of every entry of a column: [V]."""
    ids = None if feature.vocabulary is None else encoded[feature.vocabulary]
    if isinstance(column, ListColumn):
        if ids is None:
            return strings(column.arrays["weights"].view(np.uint8), column.indptr * 4)
        flat, offsets = flat_bytes(_taken(ids, column.arrays["rows"]))
        return strings(flat, offsets[column.indptr])
    if ids is not None:
        return _ids_or_missing(feature, ids, column.values)
    if feature.dtype == "int64":
        return varints(column.values)
    values = column.values.reshape(len(column), math.prod(feature.shape))
    if not feature.optional:
        return fixed_strings(values)
    # A missing number has no bytes.
    there = ~np.isnan(values[:, 0])
    return strings(values[there].view(np.uint8).ravel(), _offsets(4 * there))


def _ids_or_missing(
    feature: Feature, ids: pa.LargeBinaryArray, rows: NDArray[Any]
) -> pa.LargeBinaryArray:
    """The ids of vocabulary rows; of row -1 what the feature says of missing ones."""
    absent = rows < 0
    if not absent.any():
        return ids.take(pa.array(rows))
    filler = feature.filler
    missing: RawIds = (
        ByteStrings.of([filler]) if isinstance(filler, bytes) else np.array([filler], np.int64)
    )
    ids = pa.concat_arrays([ids, encode_values(missing)])
    return ids.take(pa.array(np.where(absent, len(ids) - 1, rows)))


def _offsets(lengths: NDArray[Any]) -> NDArray[Any]:
    return np.concatenate([[0], np.cumsum(lengths)])


def node_chunks(
    spec: DatasetSpec, owner: str, payloads: Mapping[str, pa.LargeBinaryArray]
) -> Chunks:
    """The features of every node or context as they stand in a tf.train.Features."""
    return Chunks.of(
        joined(
            *(
                feature_entry(f.name, f.dtype, payloads[f.name], optional=f.optional)
                for f in spec.select(owner)
            )
        )
    )


def _taken(data: pa.LargeBinaryArray, rows: NDArray[Any]) -> pa.LargeBinaryArray:
    """data[rows]; also where there are none, for which pyarrow leaves out the buffers."""
    return data.take(pa.array(rows)) if len(rows) else strings(np.zeros(0, np.uint8), np.zeros(1))


def contexts(rows: Rows) -> tuple[NDArray[Any], NDArray[Any]]:
    """The events, [E], that tell the context of rows, and which of them tells each row's, [R]."""
    return np.unique(rows.event, return_inverse=True)


class ExampleEncoder:
    """Encodes the rows of one window, a tf.train.Example each.

    Args:
      spec: names, kinds and order of the features.
      rows: R rows of the window.
      places: by owner, which entry of the payloads each row has, [R].
      payloads: `node_payloads` of `user`, of `item`, and of `context` where there are such
        features, for the events of `contexts`.
      random: not used, as a row is a record.
    """

    records_per_chunk = 4096

    def __init__(
        self,
        spec: DatasetSpec,
        rows: Rows,
        places: Mapping[str, NDArray[Any]],
        payloads: Mapping[str, Mapping[str, pa.LargeBinaryArray]],
        random: np.random.Generator,
    ):
        self._rows = rows
        chunks = {owner: node_chunks(spec, owner, payloads[owner]) for owner in NODES}
        places = {owner: places[owner] for owner in payloads}
        if spec.select("context"):
            # Contexts that are alike are encoded once.
            told = node_chunks(spec, "context", payloads["context"]).data.dictionary_encode()
            chunks["context"] = Chunks.of(told.dictionary)
            places["context"] = told.indices.to_numpy()[places["context"]]
        self._parts = [(chunks[owner], place) for owner, place in places.items()]
        self._outcomes = label_chunks(spec, rows)

    def __len__(self) -> int:
        return len(self._rows)

    def encode(self, index: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Some rows as framed TFRecords: uint8 [bytes], and their bounds in it, int64 [N + 1].

        Args:
          index: int64 [N], row numbers.
        """
        parts = [(chunks, place[index]) for chunks, place in self._parts]
        if self._rows.timestamp is not None:
            times = varints(self._rows.timestamp[index])
            clock = Chunks.of(feature_entry("timestamp", "int64", times))
            parts.append((clock, np.arange(len(index))))
        labels, label = self._outcomes
        return encode_records([*parts, (labels, label[index])])

    def num_rows(self, index: NDArray[Any]) -> NDArray[Any]:
        """One each: uint8 [N]."""
        return np.ones(len(index), np.uint8)


def label_chunks(spec: DatasetSpec, rows: Rows) -> tuple[Chunks, NDArray[Any]]:
    """The labels' entries of each distinct outcome, and which of them each row has, int64 [R]."""
    outcomes = rows.positive.astype(np.uint64) << np.uint64(32) | rows.unlabeled
    distinct, which = np.unique(outcomes, return_inverse=True)
    parts = []
    for outcome in distinct.tolist():
        entries = [b""]
        for task, feature in enumerate(spec.label_features):
            if not outcome >> task & 1:
                label = np.array([[outcome >> 32 >> task & 1]], np.float32)
                entry = feature_entry(feature.name, feature.dtype, fixed_strings(label))
                entries.append(entry[0].as_py())
        parts.append(b"".join(entries))
    return Chunks.of(pa.array(parts, pa.large_binary())), which


def encode_records(
    parts: Sequence[tuple[Chunks, NDArray[Any]]],
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Rows as framed TFRecords, one after the other.

    A record is: length (8 bytes), masked CRC-32C of the length, the Example, masked CRC-32C of the
      Example.

    Args:
      parts: what the Examples are made of, in order: serialized entries, and which of them each of
        the R rows has, [R].

    Returns:
      uint8 [bytes], and where each record begins and ends in it, int64 [R + 1].
    """
    lengths = sum(chunks.lengths[index] for chunks, index in parts)
    # The distinct lengths of a block are few: each has its Example header and its TFRecord header
    # once.
    distinct, which = np.unique(lengths, return_inverse=True)
    heads = Chunks.of(pa.array([delimited(1, n) for n in distinct.tolist()], pa.large_binary()))
    records = (distinct + heads.lengths).astype("<u8")
    frames = np.empty((len(distinct), 12), np.uint8)
    frames[:, :8] = records.view(np.uint8).reshape(-1, 8)
    crc = crc32c()
    starts = np.arange(len(distinct) + 1, dtype=np.int64) * 8
    frames[:, 8:] = masked(crc.of_strings(records.view(np.uint8), starts))
    columns = [fixed_strings(frames).take(pa.array(which)), heads.data.take(pa.array(which))]
    checksums = heads.checksums[which]
    for chunks, index in parts:
        columns.append(chunks.data.take(pa.array(index)))
        checksums = crc.combine(checksums, chunks.checksums[index], chunks.lengths[index])
    return flat_bytes(joined(*columns, fixed_strings(masked(checksums))))
