"""What lies side by side in a record of the request layout.

Such a record is a tf.train.Example of one user and up to 32 rows, the candidates. Many short
features cost a parser more than a few long ones, so what is alike of a user, or of all rows, is one
feature, named by its side, `user` or `rows`, and its type:

    <side>_<type>         the features that have a fixed length: entry by entry (the user; row by
                          row) each feature's values
    <side>_lengths        of each ragged list of an entry, how many values it has, int64
    <side>_<type>_lists   entry by entry the values of each of these lists

What an entry leaves out is written as what it reads as. `dataset_spec.json` tells, under
`record_packing`, the features that each holds, in their order. NumPy alone, for the client reads
records too.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from input_pipeline.feature import Feature
from input_pipeline.spec import DatasetSpec

_OWNERS = {"user": ("user",), "rows": ("item", "context", "row")}
_LENGTHS, _LISTS = "_lengths", "_lists"


def pack(features: Sequence[Feature]) -> dict[str, list[str]]:
    """Names of the features by the feature of a record that holds them."""
    packing: dict[str, list[str]] = {}
    for side, owners in _OWNERS.items():
        for feature in (f for owner in owners for f in features if f.owner == owner):
            if feature.ragged and feature.aligned_with is None:
                packing.setdefault(side + _LENGTHS, []).append(feature.name)
            name = f"{side}_{feature.dtype}{_LISTS if feature.ragged else ''}"
            packing.setdefault(name, []).append(feature.name)
    return packing


@dataclasses.dataclass(frozen=True)
class Pack:
    """One feature of a record.

    Attributes:
      name: its key.
      dtype: of its values.
      features: what it holds, in order; of lengths, the lists that have them.
    """

    name: str
    dtype: str
    features: tuple[Feature, ...]

    @property
    def side(self) -> str:
        """Whose: `user` or `rows`."""
        return self.name.partition("_")[0]

    @property
    def holds_lengths(self) -> bool:
        return self.name.endswith(_LENGTHS)

    @property
    def holds_lists(self) -> bool:
        return self.name.endswith(_LISTS)

    @functools.cached_property
    def widths(self) -> tuple[int, ...]:
        """How many values each feature has in an entry, where that is fixed."""
        return tuple(1 if self.holds_lengths else math.prod(f.shape) for f in self.features)


@dataclasses.dataclass(frozen=True)
class Packing:
    """All features of a record.

    Attributes:
      packs: in the order of the record.
    """

    packs: tuple[Pack, ...]

    @classmethod
    def of(cls, spec: DatasetSpec, origin: str) -> Packing:
        """The packing that a spec describes.

        Raises:
          ValueError: it describes none; names `origin` and the remedy.
        """
        if not spec.record_packing:
            raise ValueError(
                f"{origin}: its records are of the request layout of version 0.4 and before, which "
                "this version does not read: prepare the data set again from its log"
            )
        packs = []
        for name, held in spec.record_packing.items():
            features = tuple(spec.feature(feature) for feature in held)
            packs.append(
                Pack(name, "int64" if name.endswith(_LENGTHS) else features[0].dtype, features)
            )
        return cls(tuple(packs))

    @property
    def anchor(self) -> Pack:
        """A pack that every record has, whose length tells how many rows there are."""
        return next(p for p in self.packs if p.side == "rows" and not p.holds_lists)

    def of_side(self, side: str) -> list[Pack]:
        """The packs of the `user` or of the `rows`."""
        return [pack for pack in self.packs if pack.side == side]

    def needed(self, names: Collection[str]) -> list[Pack]:
        """The packs to read for some features, the anchor among them."""
        needed = [
            pack
            for pack in self.packs
            if pack == self.anchor or any(feature.name in names for feature in pack.features)
        ]
        of_lists = {pack.side for pack in needed if pack.holds_lists}
        return [
            pack
            for pack in self.packs
            if pack in needed or (pack.holds_lengths and pack.side in of_lists)
        ]


def unpack(record: Any, packing: Packing, request: Any, names: Collection[str]) -> Any:
    """Spells a record out, for people and for the client: a tf.train.SequenceExample.

    Its context holds the features of the user, its feature lists have an entry a row; what an
    optional feature leaves out is an empty entry, and of the user nothing.

    Args:
      record: a tf.train.Example of the request layout.
      packing: of its data set.
      request: an empty SequenceExample, of any implementation of protocol buffers; it is filled.
      names: the features that are wanted.

    Returns:
      `request`.

    Raises:
      ValueError: a pack has another number of values than it must, or of another type.
    """
    packs = packing.needed(names)
    count, rest = divmod(len(_values(record, packing.anchor)), sum(packing.anchor.widths))
    if rest or not count:
        raise ValueError(_message(packing.anchor, "those of 1 row or more", record))
    lengths: dict[str, Mapping[str, list[int]]] = {}
    for pack in packs:
        size = 1 if pack.side == "user" else count
        values = _values(record, pack)
        if pack.holds_lists:
            of_list = lengths[pack.side]
            taken = [of_list[f.column][entry] for entry in range(size) for f in pack.features]
        else:
            taken = [*pack.widths] * size
        if len(values) != sum(taken):
            raise ValueError(_message(pack, f"{sum(taken)}", record))
        entries = _entries(pack, values, taken)
        if pack.holds_lengths:
            told = {name: [value for (value,) in of_name] for name, of_name in entries.items()}
            if min(map(min, told.values())) < 0:
                raise ValueError(f"feature {pack.name!r}: expected lengths, found a negative one")
            lengths[pack.side] = told
            continue
        for feature in pack.features:
            if feature.name in names:
                _write(request, pack.side, feature, entries[feature.name])
    return request


def _entries(pack: Pack, values: Sequence[Any], taken: Sequence[int]) -> dict[str, list[list[Any]]]:
    """By feature the values of each entry, where `taken` tells how many come next."""
    entries: dict[str, list[list[Any]]] = {feature.name: [] for feature in pack.features}
    begin = 0
    for place, length in enumerate(taken):
        feature = pack.features[place % len(pack.features)]
        entries[feature.name].append(list(values[begin : begin + length]))
        begin += length
    return entries


def _values(record: Any, pack: Pack) -> Sequence[Any]:
    if pack.name not in record.features.feature:
        return ()
    found: Sequence[Any] = getattr(record.features.feature[pack.name], f"{pack.dtype}_list").value
    return found


def _message(pack: Pack, expected: str, record: Any) -> str:
    found = "none"
    if pack.name in record.features.feature:
        kind = record.features.feature[pack.name].WhichOneof("kind")
        if kind is not None:
            of_kind = getattr(record.features.feature[pack.name], kind).value
            found = f"{len(of_kind)} of {kind.removesuffix('_list')}"
    held = ", ".join(feature.name for feature in pack.features)
    return (
        f"feature {pack.name!r}, which holds {'lengths of ' if pack.holds_lengths else ''}{held}: "
        f"expected {expected} {pack.dtype} values, found {found}"
    )


def _write(request: Any, side: str, feature: Feature, entries: list[list[Any]]) -> None:
    for values in entries:
        is_missing = feature.optional and _is_missing(feature, values)
        if side == "user":
            if is_missing:
                continue
            target = request.context.feature[feature.name]
        else:
            target = request.feature_lists.feature_list[feature.name].feature.add()
            if is_missing:
                continue
        of_kind = getattr(target, f"{feature.dtype}_list")
        of_kind.SetInParent()
        of_kind.value.extend(values)


def _is_missing(feature: Feature, values: list[Any]) -> bool:
    if feature.dtype == "bytes":
        return all(value == feature.filler for value in values)
    kind = np.float32 if feature.dtype == "float" else np.int64
    fillers = np.full(feature.shape, feature.filler, kind).reshape(-1)
    return bool(np.array_equal(np.array(values, kind), fillers, equal_nan=kind is np.float32))


def candidates(request: Any) -> Iterator[dict[str, Any]]:
    """The entries of each row of a spelt out request, by name."""
    lists = {name: entries.feature for name, entries in request.feature_lists.feature_list.items()}
    for number in range(max(map(len, lists.values()), default=0)):
        yield {name: features[number] for name, features in lists.items()}
