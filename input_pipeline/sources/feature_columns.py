"""Columns of features: how the flags name them, and what their cells mean, kind by kind.

A kind reads the cells of a block, refusing the rows whose cell is malformed, and joins what it has
read of all blocks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from input_pipeline.feature import check_name
from input_pipeline.log.events import Categorical, FeatureValues, Numbers
from input_pipeline.sources import columns

if TYPE_CHECKING:
    from input_pipeline.sources.block import Block

TRANSFORMS = ("standard", "log", "none")
_SECONDS_OF_HOUR, _SECONDS_OF_DAY = 3600, 86_400


@dataclasses.dataclass(frozen=True)
class FeatureColumn:
    """A column of a raw format that is a feature.

    Attributes:
      name: of the feature.
      owner: `user`, `item` or `context`.
      column: of the raw format; that of the feature's name where none is given.
      kind: one of KINDS.
      transform: of a numeric one.
      separator: between the values of a cell that holds several.
    """

    name: str
    owner: str
    column: str = ""
    kind: str = "categorical"
    transform: str = "standard"
    separator: str = "|"

    @property
    def cells(self) -> str:
        """The column that is read."""
        return self.column or self.name

    def read(self, block: Block) -> pa.Array:
        """The values of a block, [N], arbitrary where the row is malformed."""
        return KINDS[self.kind].read(block, self.cells)

    def join(self, chunks: list[pa.Array]) -> FeatureValues:
        """The column, given what `read` gave of the good rows of all blocks."""
        return KINDS[self.kind].join(chunks, self)


class _Kind:
    """Raw ids, one a cell; the empty cell is an id too."""

    def read(self, block: Block, column: str) -> pa.Array:
        return pc.dictionary_encode(block.cells(column))

    def join(self, chunks: list[pa.Array], settings: FeatureColumn) -> FeatureValues:
        return columns.to_categorical(chunks, settings.cells)


class _Multi(_Kind):
    """Several raw ids a cell, none in an empty one."""

    def join(self, chunks: list[pa.Array], settings: FeatureColumn) -> FeatureValues:
        return columns.to_lists(chunks, settings.separator, settings.cells)


class _Numeric(_Kind):
    def read(self, block: Block, column: str) -> pa.Array:
        return pa.array(block.numbers(column))

    def join(self, chunks: list[pa.Array], settings: FeatureColumn) -> FeatureValues:
        return Numbers(pa.chunked_array(chunks).to_numpy(), settings.transform)


class _PartOfTime(_Kind):
    """A part of a time as a number from 0; -1 where there is no time."""

    def read(self, block: Block, column: str) -> pa.Array:
        seconds, missing = block.times(column)
        return pa.array(np.where(missing, -1, self._part(seconds)).astype(np.int32))

    def join(self, chunks: list[pa.Array], settings: FeatureColumn) -> FeatureValues:
        parts = pa.chunked_array(chunks).to_numpy()
        values = np.unique(parts[parts >= 0]).astype(np.int64)
        codes = np.where(parts < 0, -1, np.searchsorted(values, parts))
        return Categorical(codes.astype(np.int32), values)

    def _part(self, seconds: NDArray[Any]) -> NDArray[Any]:
        raise NotImplementedError


class _Hour(_PartOfTime):
    def _part(self, seconds: NDArray[Any]) -> NDArray[Any]:
        return seconds // _SECONDS_OF_HOUR % 24


class _Weekday(_PartOfTime):
    def _part(self, seconds: NDArray[Any]) -> NDArray[Any]:
        return (seconds // _SECONDS_OF_DAY + 3) % 7  # 1970 began on a Thursday.


KINDS: Mapping[str, _Kind] = {
    "categorical": _Kind(),
    "multi": _Multi(),
    "numeric": _Numeric(),
    "hour": _Hour(),
    "weekday": _Weekday(),
}


def parse_feature_columns(
    flag: str, owner: str, texts: Sequence[str], separator: str
) -> tuple[FeatureColumn, ...]:
    """The columns that a flag lists, each `column[:name][:kind[:transform]]`.

    Raises:
      ValueError: one is written otherwise, or a name cannot be used; names the flag.
    """
    found = tuple(_parse(flag, owner, text, separator) for text in texts)
    names = [feature.name for feature in found]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"--{flag}: {name!r} is named twice; name one column:another_name")
    return found


def _parse(flag: str, owner: str, text: str, separator: str) -> FeatureColumn:
    parts = text.split(":")
    told: dict[str, Any] = {}
    if len(parts) > 2 and parts[-2] == "numeric":
        if parts[-1] not in (*TRANSFORMS, *KINDS):
            raise ValueError(
                f"--{flag}: the transform of a numeric column must be one of {TRANSFORMS}, got "
                f"{parts[-1]!r} in {text!r}"
            )
        if parts[-1] in TRANSFORMS:
            told["transform"] = parts.pop()
    elif len(parts) > 1 and parts[-1] in TRANSFORMS:
        raise ValueError(
            f"--{flag}: a transform must follow the kind, as column:numeric:{parts[-1]}, got "
            f"{text!r}"
        )
    if len(parts) > 1 and parts[-1] in KINDS:
        told["kind"] = parts.pop()
    name = parts.pop()
    column = ":".join(parts) or name
    if not column:
        raise ValueError(
            f"--{flag}: expected column, column:name or column:kind, with kinds {tuple(KINDS)}, "
            f"got {text!r}"
        )
    try:
        check_name("feature", name)
    except ValueError as error:
        raise ValueError(f"--{flag}: {error}; give another as {column}:name") from None
    return FeatureColumn(name, owner, column, separator=separator, **told)
