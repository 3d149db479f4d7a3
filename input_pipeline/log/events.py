"""The table that every source turns its raw files into."""

from __future__ import annotations

import dataclasses

import numpy as np

from input_pipeline.spec import SourceFile


@dataclasses.dataclass(frozen=True)
class Categorical:
    """A column of raw values, stored as codes into its sorted distinct values.

    Codes compare as the raw values do: as numbers where the column is int64, else as bytes.

    Attributes:
      codes: int32 [N].
      values: [V], ascending and distinct: int64, or object (of bytes).
    """

    codes: np.ndarray
    values: np.ndarray

    @property
    def dtype(self) -> str:
        return "int64" if self.values.dtype == np.int64 else "bytes"


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
      timestamp_unit: `s` or `ms`, or None.
      user_features, item_features: side features by name, [N] each.
      source_files: what was read.
      malformed_lines, duplicate_lines: how many lines were refused, and how many repeat an
        earlier one.
      has_exposures: whether lines without any behaviour are part of the log.
    """

    tasks: tuple[str, ...]
    user_id: Categorical
    item_id: Categorical
    behaviors: np.ndarray
    unlabeled: np.ndarray | None
    timestamp: np.ndarray | None
    timestamp_unit: str | None
    user_features: dict[str, Categorical]
    item_features: dict[str, Categorical]
    source_files: tuple[SourceFile, ...]
    malformed_lines: int
    duplicate_lines: int
    has_exposures: bool

    def __len__(self) -> int:
        return len(self.behaviors)
