"""The table that every source turns its raw files into."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from input_pipeline.log.raw_ids import RawIds, dtype_of
from input_pipeline.spec import SourceFile


class FeatureValues:
    """The values of one column of features, [N]."""

    def take(self, lines: NDArray[Any]) -> FeatureValues:
        """Those of some lines; a value that no line has any more is dropped too."""
        raise NotImplementedError

    @property
    def key(self) -> NDArray[Any]:
        """A number a line, [N], equal where the values are."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class Categorical(FeatureValues):
    """A column of raw values, stored as codes into its sorted distinct values.

    Codes compare as the raw values do: as numbers where the column is int64, else as bytes.

    Attributes:
      codes: int32 [N]; -1 where there is none.
      values: [V], ascending and distinct.
    """

    codes: NDArray[Any]
    values: RawIds

    @property
    def dtype(self) -> str:
        return dtype_of(self.values)

    def take(self, lines: NDArray[Any]) -> Categorical:
        codes = self.codes[lines]
        used = np.zeros(len(self.values) + 1, bool)  # The last one is of code -1.
        used[codes] = True
        new_code = np.append(np.cumsum(used[:-1]) - 1, -1).astype(np.int32)
        return Categorical(new_code[codes], self.values[used[:-1]])

    @property
    def key(self) -> NDArray[Any]:
        return self.codes


@dataclasses.dataclass(frozen=True)
class CategoricalLists(FeatureValues):
    """A column whose cells hold several raw values, all different, in an order.

    Attributes:
      cells: int32 [N], which of C lists each line has.
      indptr: int64 [C + 1]; list c has the entries indptr[c]:indptr[c + 1].
      entries: [M], of all lists.
    """

    cells: NDArray[Any]
    indptr: NDArray[Any]
    entries: Categorical

    def take(self, lines: NDArray[Any]) -> CategoricalLists:
        used, cells = np.unique(self.cells[lines], return_inverse=True)
        lengths = np.diff(self.indptr)
        kept = np.isin(np.repeat(np.arange(len(lengths)), lengths), used)
        indptr = np.concatenate([[0], np.cumsum(lengths[used])])
        return CategoricalLists(cells.astype(np.int32), indptr, self.entries.take(kept))

    @property
    def key(self) -> NDArray[Any]:
        return self.cells


@dataclasses.dataclass(frozen=True)
class Numbers(FeatureValues):
    """A column of numbers.

    Attributes:
      values: float32 [N]; NaN where there is none.
      transform: the kind of `feature.Transform` that a model reads them through.
    """

    values: NDArray[Any]
    transform: str = "standard"

    def take(self, lines: NDArray[Any]) -> Numbers:
        return dataclasses.replace(self, values=self.values[lines])

    @property
    def key(self) -> NDArray[Any]:
        # NaN is equal to nothing, and 0.0 has another sign than -0.0.
        same = np.where(np.isnan(self.values), np.float32(np.nan), self.values + np.float32(0))
        return same.view(np.int32)


@dataclasses.dataclass(frozen=True)
class EventLog:
    """Events or exposures in the order of the raw files; one entry a line.

    Attributes:
      tasks: task names from the least to the most important.
      user_id, item_id: [N].
      behaviors: uint32 [N]; bit t is set where the line shows task t.
      unlabeled: uint32 [N]; bit t is set where the line does not tell about task t. None: every
        line tells of all.
      timestamp: int64 [N] in `timestamp_unit`, or None where the source has no clock.
      timestamp_unit: one of UNITS, or None.
      user_features, item_features: side features by name, [N] each.
      context_features: of the line itself, known when its request came.
      source_files: what was read.
      malformed_lines, duplicate_lines: how many lines were refused, and how many repeat an
        earlier one.
      has_exposures: whether lines without any behaviour are part of the log.
      other_counts: by name, how many lines were left out for other reasons, and how many cells
        and times were read otherwise than they are written.
    """

    tasks: tuple[str, ...]
    user_id: Categorical
    item_id: Categorical
    behaviors: NDArray[Any]
    unlabeled: NDArray[Any] | None
    timestamp: NDArray[Any] | None
    timestamp_unit: str | None
    user_features: dict[str, FeatureValues]
    item_features: dict[str, FeatureValues]
    source_files: tuple[SourceFile, ...]
    malformed_lines: int
    duplicate_lines: int
    has_exposures: bool
    context_features: dict[str, FeatureValues] = dataclasses.field(default_factory=dict)
    other_counts: dict[str, int] = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.behaviors)

    @property
    def features(self) -> dict[str, dict[str, FeatureValues]]:
        """By owner and name."""
        return {
            "user": self.user_features,
            "item": self.item_features,
            "context": self.context_features,
        }
