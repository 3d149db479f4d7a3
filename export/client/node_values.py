"""What is known of a node as one string of bytes: a value of the feature store. NumPy alone.

A value holds the features of a node one after the other, in the order of the store's list of them,
little-endian, without names and without padding. By its type a feature is

    numbers           float, one or a fixed number n of them: ceil(n / 8) bytes, of which bit k,
                      from the lowest of the first byte on, says whether entry k differs from what
                      the feature reads as where it is missing; then those that do, float32
    integer           one int64: a byte w, 0, 1, 2, 4 or 8, then the number in w bytes, signed;
                      without any it is missing
    string            uint16, how long it is; its bytes
    list of numbers   uint16, how many; float32 each
    list of integers  uint16, how many; a byte w, 1, 2, 4 or 8; w bytes each, signed
    list of strings   uint16, how many; uint16 each, how long it is; the bytes of all

Most edges of most nodes are 0, and most ids small, so a value has a fraction of the bytes that the
same tensors have in a request.

Axes: N nodes, M entries of lists, L entries of a padded list.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from input_pipeline.feature import Feature
from input_pipeline.graph.ragged import offsets_of, taken
from input_pipeline.log.byte_strings import ByteStrings

_WIDTHS = (1, 2, 4, 8)  # bytes of an integer
_MOST = 2**16 - 1  # entries of a list, or bytes of a string


class NodeLists(NamedTuple):
    """A list of each of N nodes.

    Attributes:
      lengths: int64 [N].
      entries: [M], of all lists, one after the other: float32, int64 or object of bytes.
    """

    lengths: NDArray[Any]
    entries: NDArray[Any]


# By name: [N, ...] of a feature of fixed shape, else its lists.
NodeColumns = Mapping[str, "NDArray[Any] | NodeLists"]


def is_list(feature: Feature) -> bool:
    """Whether a value holds the feature as a list, with its length."""
    return feature.ragged or (feature.dtype != "float" and feature.length is not None)


def encode(features: Sequence[Feature], columns: NodeColumns) -> ByteStrings:
    """The values of N nodes.

    Args:
      features: what they hold, in this order.
      columns: by the names of the features.

    Raises:
      ValueError: a list or a string is longer than a value can tell.
    """
    pieces: list[ByteStrings] = []
    for feature in features:
        column = columns[feature.name]
        if isinstance(column, NodeLists):
            _require_short(f"{feature.name}: the length of a list", column.lengths)
            pieces.append(_fixed(column.lengths, "<u2"))
            pieces += {"float": _floats, "int64": _integers, "bytes": _strings}[feature.dtype](
                feature.name, column
            )
        elif feature.dtype == "float":
            pieces += _numbers(feature, column)
        elif feature.dtype == "int64":
            pieces += _integer(feature, column)
        else:
            pieces += _strings(feature.name, NodeLists(np.ones(len(column), np.int64), column))
    return _joined(pieces)


def _require_short(what: str, lengths: NDArray[Any]) -> None:
    if (longest := int(lengths.max(initial=0))) > _MOST:
        raise ValueError(f"{what}: must be at most {_MOST}, got {longest}")


def _fixed(values: NDArray[Any], kind: str) -> ByteStrings:
    """N strings of one width: a row of `values` [N, ...] each."""
    flat = np.frombuffer(np.ascontiguousarray(values, kind).tobytes(), np.uint8)
    width = len(flat) // max(len(values), 1)
    return ByteStrings(flat, np.arange(len(values) + 1) * width)


def _numbers(feature: Feature, values: NDArray[Any]) -> list[ByteStrings]:
    # [N, n]; compared as bits, where NaN is equal to itself
    entries = np.ascontiguousarray(values, "<f4").reshape(len(values), -1)
    missing = np.broadcast_to(np.array(feature.filler, "<f4"), entries.shape[1:])
    held = entries.view(np.uint32) != np.ascontiguousarray(missing).view(np.uint32)
    told = np.frombuffer(entries[held].tobytes(), np.uint8)
    return [
        _fixed(np.packbits(held, axis=1, bitorder="little"), "u1"),
        ByteStrings(told, offsets_of(4 * held.sum(axis=1))),
    ]


def _widths(values: NDArray[Any]) -> NDArray[Any]:
    """How many bytes hold each integer: uint8 [...]."""
    return np.select(
        [(values >= -(1 << 8 * w - 1)) & (values < (1 << 8 * w - 1)) for w in _WIDTHS[:-1]],
        _WIDTHS[:-1],
        _WIDTHS[-1],
    ).astype(np.uint8)


def _integer(feature: Feature, values: NDArray[Any]) -> list[ByteStrings]:
    widths = np.where(values == feature.filler, np.uint8(0), _widths(values))
    return [_fixed(widths, "u1"), _lowest_bytes(values, widths, widths)]


def _lowest_bytes(values: NDArray[Any], widths: NDArray[Any], lengths: NDArray[Any]) -> ByteStrings:
    """The lowest bytes of integers [M], `widths` of each, as strings of some lengths [N]."""
    # [M, 8]
    parts = np.ascontiguousarray(values, "<i8").view(np.uint8).reshape(-1, 8)
    return ByteStrings(parts[np.arange(8) < widths[:, np.newaxis]], offsets_of(lengths))


def _floats(_: str, lists: NodeLists) -> list[ByteStrings]:
    flat = np.frombuffer(np.ascontiguousarray(lists.entries, "<f4").tobytes(), np.uint8)
    return [ByteStrings(flat, offsets_of(4 * lists.lengths))]


def _integers(_: str, lists: NodeLists) -> list[ByteStrings]:
    # [N]: the widest of each list
    widths = np.ones(len(lists.lengths), np.uint8)
    of_entry = np.repeat(np.arange(len(widths)), lists.lengths)
    np.maximum.at(widths, of_entry, _widths(lists.entries))
    return [
        _fixed(widths, "u1"),
        _lowest_bytes(lists.entries, widths[of_entry], widths * lists.lengths),
    ]


def _strings(name: str, lists: NodeLists) -> list[ByteStrings]:
    strings = ByteStrings.of(lists.entries.tolist())
    _require_short(f"{name}: the bytes of an id", strings.lengths)
    sizes = np.frombuffer(strings.lengths.astype("<u2").tobytes(), np.uint8)
    ends = offsets_of(lists.lengths)
    return [
        ByteStrings(sizes, 2 * ends),
        ByteStrings(strings.flat, strings.offsets[ends]),
    ]


def _joined(pieces: Sequence[ByteStrings]) -> ByteStrings:
    """The n-th strings of all pieces one after the other, for each n."""
    lengths = np.stack([piece.lengths for piece in pieces], axis=1)
    # starts: [N, pieces]
    bounds = offsets_of(lengths.ravel())
    starts = bounds[:-1].reshape(lengths.shape)
    flat = np.empty(bounds[-1], np.uint8)
    for number, piece in enumerate(pieces):
        moved = np.repeat(starts[:, number] - piece.offsets[:-1], lengths[:, number])
        flat[np.arange(len(piece.flat)) + moved] = piece.flat
    return ByteStrings(flat, bounds[:: len(pieces)])


def decode(features: Sequence[Feature], values: Sequence[bytes | None]) -> dict[str, NDArray[Any]]:
    """What `encode` was given of N nodes, lists padded: [N, ...] by the names of the features.

    Args:
      features: what the values hold.
      values: of each node; None of one that the store does not have, which reads as missing.

    Raises:
      ValueError: a value is of other features.
    """
    there = np.array([place for place, value in enumerate(values) if value is not None], np.int64)
    strings = ByteStrings.of(value for value in values if value is not None)
    reader = _Reader(strings)
    found = {}
    for feature in features:
        kind: Any = {"float": np.float32, "int64": np.int64, "bytes": np.object_}[feature.dtype]
        column = np.full((len(values), *feature.shape), feature.filler, kind)
        if len(there):
            column[there] = _read(reader, feature, column[there])
        found[feature.name] = column
    reader.finish()
    return found


def _read(reader: _Reader, feature: Feature, column: NDArray[Any]) -> NDArray[Any]:
    """A feature of the nodes that are there; `column` is what it reads as where it is missing."""
    if is_list(feature):
        return _read_list(reader, feature, column)
    if feature.dtype == "bytes":
        return reader.strings(reader.numbers(np.ones(len(column), np.int64), "<u2"))
    if feature.dtype == "int64":
        widths = reader.numbers(np.ones(len(column), np.int64), "u1")
        return np.where(widths > 0, reader.integers(widths, widths), column)
    # held: [N, n]
    entries = column.reshape(len(column), -1)
    count = entries.shape[1]
    size = -(-count // 8)
    bits = reader.numbers(np.full(len(column), size), "u1").reshape(-1, size)
    held = np.unpackbits(bits, axis=1, count=count, bitorder="little").astype(bool)
    entries[held] = reader.numbers(held.sum(axis=1), "<f4")
    return entries.reshape(column.shape)


def _read_list(reader: _Reader, feature: Feature, column: NDArray[Any]) -> NDArray[Any]:
    lengths = reader.numbers(np.ones(len(column), np.int64), "<u2").astype(np.int64)
    if (longest := int(lengths.max())) > column.shape[1]:
        raise ValueError(
            f"value: {feature.name} must be of at most {column.shape[1]} entries, got {longest}"
        )
    if feature.dtype == "float":
        entries = reader.numbers(lengths, "<f4")
    elif feature.dtype == "int64":
        widths = reader.numbers(np.ones(len(column), np.int64), "u1")
        entries = reader.integers(np.repeat(widths, lengths), widths * lengths)
    else:
        entries = reader.strings(reader.numbers(lengths, "<u2"), lengths)
    column[np.arange(column.shape[1]) < lengths[:, np.newaxis]] = entries
    return column


class _Reader:
    """Reads N values side by side, from their beginnings on."""

    def __init__(self, values: ByteStrings) -> None:
        self._flat = values.flat
        self._at = values.offsets[:-1].copy()
        self._ends = values.offsets[1:]

    def _bytes(self, lengths: NDArray[Any]) -> NDArray[Any]:
        """The next bytes of each value, `lengths` [N] of them, one value's after the other's."""
        lengths = lengths.astype(np.int64)
        if (self._at + lengths > self._ends).any():
            raise ValueError("value: ends within a feature: it is of another list of features")
        bounds = np.stack([self._at, self._at + lengths], axis=1).ravel()
        _, places = taken(bounds, np.arange(0, len(bounds), 2))
        self._at += lengths
        found: NDArray[Any] = self._flat[places]
        return found

    def numbers(self, counts: NDArray[Any], kind: str) -> NDArray[Any]:
        """The next numbers of each value, `counts` [N] of them."""
        return self._bytes(np.dtype(kind).itemsize * counts).view(kind)

    def integers(self, widths: NDArray[Any], lengths: NDArray[Any]) -> NDArray[Any]:
        """Integers of `widths` [M] bytes, in the next `lengths` [N] bytes of the values."""
        parts = np.zeros((len(widths), 8), np.uint8)
        # the number in the highest bytes, from where it is shifted down with its sign
        parts[np.arange(8) >= 8 - widths[:, np.newaxis].astype(np.int64)] = self._bytes(lengths)
        shifts = np.where(widths, 64 - 8 * widths.astype(np.int64), 0)
        found: NDArray[Any] = parts.view("<i8").ravel() >> shifts
        return found

    def strings(self, sizes: NDArray[Any], lengths: NDArray[Any] | None = None) -> NDArray[Any]:
        """Strings of `sizes` [M] bytes, as many of each value as `lengths` [N] tells, else one."""
        offsets = offsets_of(sizes.astype(np.int64))
        ends = np.arange(len(sizes) + 1) if lengths is None else offsets_of(lengths)
        found: NDArray[Any] = np.empty(len(sizes), object)
        found[:] = ByteStrings(self._bytes(np.diff(offsets[ends])), offsets).tolist()
        return found

    def finish(self) -> None:
        """Raises ValueError where something is left of a value."""
        if (self._at != self._ends).any():
            raise ValueError("value: goes on after its features: it is of another list of them")
