"""Rows and graph to serialized tf.train.SequenceExamples: one record a user and up to 32 rows.

The context holds the user's features, each once; each feature list holds one tf.train.Feature a
candidate: the item's features, the context's, the timestamp and the labels. What is missing of a
row is an empty entry.
https://protobuf.dev/programming-guides/encoding describes the bytes:

    SequenceExample = tag 1 + length + Features + tag 2 + length + FeatureLists
    FeatureLists    = entries of the map name -> FeatureList
    entry           = tag 1 + length + (tag 1 + length + name + tag 2 + length + FeatureList)
    FeatureList     = tag 1 + length + Feature, candidate by candidate
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from input_pipeline.log.rows import Rows
from input_pipeline.records.crc import crc32c
from input_pipeline.records.example_encoder import node_chunks
from input_pipeline.records.wire_format import (
    delimited,
    feature_message,
    fixed_strings,
    flat_bytes,
    joined,
    masked,
    prefixes,
    strings,
    varints,
)
from input_pipeline.spec import MAX_CANDIDATES, DatasetSpec

_CONTEXT, _LISTS = 1, 2


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


class RequestEncoder:
    """Encodes the rows of one window, a tf.train.SequenceExample a user and at most 32 rows.

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
        self._users = node_chunks(spec, "user", payloads["user"]).data
        self._names: list[str] = []
        # Of each list, the element of each row, counted from the list's first one.
        self._which: list[NDArray[Any]] = []
        elements: list[pa.LargeBinaryArray] = []

        def add(name: str, kind: str, values: pa.LargeBinaryArray, which: NDArray[Any]) -> None:
            self._names.append(name)
            self._which.append(which)
            elements.append(_element(kind, values))

        for feature in spec.select("item"):
            add(feature.name, feature.dtype, payloads["item"][feature.name], places["item"])
        for feature in spec.select("context"):
            # Values that are alike are encoded once.
            told = payloads["context"][feature.name].dictionary_encode()
            add(
                feature.name,
                feature.dtype,
                told.dictionary,
                told.indices.to_numpy()[places["context"]],
            )
        if rows.timestamp is not None:
            times, which = np.unique(rows.timestamp, return_inverse=True)
            add("timestamp", "int64", varints(times), which)
        labels = [*fixed_strings(np.array([[0], [1]], np.float32)).to_pylist(), b""]
        outcomes = pa.array(labels, pa.large_binary())
        for task, feature in enumerate(spec.label_features):
            positive, absent = (
                (bits >> np.uint32(task) & np.uint32(1)).astype(np.int8)
                for bits in (rows.positive, rows.unlabeled)
            )
            add(feature.name, "float", outcomes, np.where(absent, np.int8(2), positive))
        self._elements = pa.concat_arrays(elements)
        lengths = [len(part) for part in elements]
        self._first_element = np.cumsum(lengths) - lengths

    def __len__(self) -> int:
        return len(self._bounds) - 1

    def encode(self, index: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Some requests as framed TFRecords: uint8 [bytes], and their bounds, int64 [N + 1].

        Args:
          index: int64 [N], request numbers.
        """
        counts = self._bounds[index + 1] - self._bounds[index]
        first = np.cumsum(counts) - counts
        request = np.repeat(np.arange(len(index)), counts)
        place = np.arange(len(request)) - first[request]
        row = self._order[self._bounds[index][request] + place]
        # Elements in the order in which they are written: by request, list, candidate.
        num_lists = len(self._names)
        taken = np.empty(num_lists * len(row), np.int64)
        begin = (num_lists * first)[request] + place
        for number, (which, element) in enumerate(
            zip(self._which, self._first_element, strict=True)
        ):
            # In NumPy 1 the sum of a small number and int8 is int8, and wraps around.
            taken[begin + number * counts[request]] = element + which[row].astype(np.int64)
        flat, offsets = flat_bytes(self._elements.take(pa.array(taken)))
        # [N, C]: where each list begins among the elements.
        bounds = num_lists * first[:, None] + np.arange(num_lists) * counts[:, None]
        lists = strings(flat, offsets[np.append(bounds.ravel(), len(taken))])
        flat, offsets = flat_bytes(joined(self._entry_heads(lists), lists))
        lists = strings(flat, offsets[::num_lists])
        context = self._users.take(pa.array(self._user[row[first]]))
        return frame(joined(_heads(_CONTEXT, context), context, _heads(_LISTS, lists), lists))

    def num_rows(self, index: NDArray[Any]) -> NDArray[Any]:
        """How many rows some requests have: uint8 [N]."""
        return (self._bounds[index + 1] - self._bounds[index]).astype(np.uint8)

    def _entry_heads(self, lists: pa.LargeBinaryArray) -> pa.LargeBinaryArray:
        """What comes before each of N * C lists in the map of lists."""
        num_lists = len(self._names)
        lengths = np.diff(flat_bytes(lists)[1])
        keys = lengths * num_lists + np.arange(len(lists)) % num_lists

        def head(key: int) -> bytes:
            length, number = divmod(key, num_lists)
            name = self._names[number].encode()
            start = delimited(1, len(name)) + name + delimited(2, length)
            return delimited(1, len(start) + length) + start

        return prefixes(keys, head)


def _element(kind: str, values: pa.LargeBinaryArray) -> pa.LargeBinaryArray:
    """Each value as one Feature of a FeatureList."""
    features = feature_message(kind, values)
    return joined(_heads(1, features), features)


def _heads(field: int, data: pa.LargeBinaryArray) -> pa.LargeBinaryArray:
    return prefixes(np.diff(flat_bytes(data)[1]), lambda length: delimited(field, length))


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
