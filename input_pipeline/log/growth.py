"""Columns of later events in vocabularies that earlier ones have begun: these only grow at the end.

Axes: N events, V ids.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from input_pipeline.log.byte_strings import ByteStrings
from input_pipeline.log.events import Categorical, CategoricalLists, FeatureValues
from input_pipeline.log.raw_ids import IdIndex, RawIds, as_array, dtype_of, to_lines
from input_pipeline.log.vocabulary import (
    Column,
    FeatureValuesColumn,
    ListsColumn,
    NumbersColumn,
    recode,
)
from input_pipeline.log.windows import Windows


def grown(
    name: str, values: RawIds, column: FeatureValues, windows: Windows, known: tuple[int, ...]
) -> Column:
    """A column whose vocabulary goes on from what earlier events told.

    Args:
      name: of the column, for messages.
      values: raw ids so far, in vocabulary order.
      column: of the later events alone.
      windows: those events, all in the last window.
      known: how many ids had appeared by the end of each earlier window.

    Raises:
      ValueError: ids so far are int64, and one of the later ones is not.
    """
    found = recode(_like(name, column, dtype_of(values)), windows)
    assert isinstance(found, Column)
    row = IdIndex(values).rows(as_array(found.values))
    new = np.flatnonzero(row < 0)
    # The later events' own order of first appearance is that of the new ones among them.
    row[new] = len(values) + np.arange(len(new))
    rows = np.append(row, -1)[found.rows].astype(np.int32)
    values = _joined(values, found.values[new])
    ordered: dict[str, Any] = {
        "codes": ranks_of(values),
        "values": values,
        "known": np.array([*known, len(values)]),
    }
    if isinstance(found, ListsColumn):
        return ListsColumn(rows, **ordered, indptr=found.indptr, cells=found.cells)
    return Column(rows, **ordered)


def numbers_of(column: FeatureValues, windows: Windows) -> NumbersColumn:
    """A column of numbers of the later events."""
    found: FeatureValuesColumn = recode(column, windows)
    assert isinstance(found, NumbersColumn)
    return found


def ranks_of(values: RawIds) -> NDArray[Any]:
    """The place of each raw id in their order, int64 [V]."""
    if isinstance(values, ByteStrings):
        return values.distinct()[1].astype(np.int64)
    ranks = np.empty(len(values), np.int64)
    ranks[np.argsort(values)] = np.arange(len(values))
    return ranks


def _joined(values: RawIds, more: RawIds) -> RawIds:
    if not isinstance(values, ByteStrings):
        assert not isinstance(more, ByteStrings)
        return np.concatenate([values, more])
    assert isinstance(more, ByteStrings)
    offsets = np.concatenate([values.offsets, values.offsets[-1] + more.offsets[1:]])
    return ByteStrings(np.concatenate([values.flat, more.flat]), offsets)


def _like(name: str, column: FeatureValues, dtype: str) -> FeatureValues:
    """The column with raw ids of the type that the vocabulary has."""
    if isinstance(column, CategoricalLists):
        entries = _like(name, column.entries, dtype)
        assert isinstance(entries, Categorical)
        return dataclasses.replace(column, entries=entries)
    assert isinstance(column, Categorical)
    if column.dtype == dtype:
        return column
    if dtype == "bytes":
        strings = ByteStrings.of_lines(to_lines(column.values))
        order, which = strings.distinct()
        codes = np.append(which, np.int32(-1))[column.codes]
        return Categorical(codes, strings[order])
    if not len(column.values):
        return Categorical(column.codes, np.zeros(0, np.int64))
    raise ValueError(
        f"--input: column {name}: must hold decimal integers within int64, as all lines before, "
        f"got {as_array(column.values[:1])[0]!r} among others; prepare all anew to have them as "
        "strings"
    )
