"""Vocabularies: the raw ids of a column in order of first appearance, and their files."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from input_pipeline.feature import Vocabulary
from input_pipeline.files import filesystem, stored
from input_pipeline.graph.node_table import Column as TableColumn
from input_pipeline.graph.node_table import DenseColumn, ListColumn
from input_pipeline.graph.ragged import taken
from input_pipeline.graph.stable_order import stable_order
from input_pipeline.log.byte_strings import ByteStrings
from input_pipeline.log.events import Categorical, CategoricalLists, FeatureValues, Numbers
from input_pipeline.log.raw_ids import RawIds, dtype_of, from_lines, to_lines
from input_pipeline.log.windows import Windows
from input_pipeline.spec import DatasetSpec


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of the log recoded to vocabulary rows.

    Attributes:
      rows: int32 [N], the vocabulary row of each event, in the order of `Windows.lines`; -1 where
        it has none.
      codes: int64 [V], of each vocabulary row the code of its raw value; codes compare as raw
        values do.
      values: [V], raw values in vocabulary order.
      known: int64 [n + 1]: how many had appeared by the end of each window.
    """

    rows: NDArray[Any]
    codes: NDArray[Any]
    values: RawIds
    known: NDArray[Any]

    @property
    def dtype(self) -> str:
        return dtype_of(self.values)

    def counts(self, num_events: int, num_known: int) -> NDArray[Any]:
        """int64 [num_known]: how many of the first events have each of the first values."""
        rows = self.rows[:num_events]
        return np.bincount(rows[rows >= 0], minlength=num_known)

    def at(self, events: NDArray[Any]) -> TableColumn:
        """What some events tell, as a column of a table."""
        return DenseColumn(self.rows[events], -1)


@dataclasses.dataclass(frozen=True)
class ListsColumn(Column):
    """A column of lists recoded to vocabulary rows.

    Attributes:
      rows: int32 [M], the vocabulary row of each entry of the C different lists.
      indptr: int64 [C + 1]; list c has the entries indptr[c]:indptr[c + 1].
      cells: int32 [N], the list of each event.
    """

    indptr: NDArray[Any]
    cells: NDArray[Any]

    def counts(self, num_events: int, num_known: int) -> NDArray[Any]:
        of_cell = np.bincount(self.cells[:num_events], minlength=len(self.indptr) - 1)
        of_entry = np.repeat(of_cell, np.diff(self.indptr))
        known = self.rows < num_known
        return np.bincount(self.rows[known], of_entry[known], num_known).astype(np.int64)

    def at(self, events: NDArray[Any]) -> TableColumn:
        indptr, places = taken(self.indptr, self.cells[events])
        return ListColumn(indptr, {"rows": self.rows[places]})


@dataclasses.dataclass(frozen=True)
class NumbersColumn:
    """A column of numbers, in the order of `Windows.lines`.

    Attributes:
      values: float32 [N]; NaN where there is none.
      transform: the kind of `feature.Transform` that a model reads them through.
    """

    values: NDArray[Any]
    transform: str

    def at(self, events: NDArray[Any]) -> TableColumn:
        """What some events tell, as a column of a table."""
        return DenseColumn(self.values[events], math.nan)


FeatureValuesColumn: TypeAlias = Column | NumbersColumn


def order_by_appearance(column: Categorical, windows: Windows) -> Column:
    """Orders a column's values by first appearance; at equal times the smaller comes first."""
    codes = column.codes[windows.lines]
    first = _first_places(codes, len(column.values))
    row_of_code, ordered = _appearance(first, column, windows)
    return Column(np.append(row_of_code, np.int32(-1))[codes], **ordered)


def lists_by_appearance(column: CategoricalLists, windows: Windows) -> ListsColumn:
    """The same of lists, whose values appear with the first list that holds them."""
    cells = column.cells[windows.lines]
    first_of_cell = _first_places(cells, len(column.indptr) - 1)
    # A value appears with the first of the lists that hold it.
    codes = column.entries.codes
    first_of_code = np.full(len(column.entries.values), len(cells))
    np.minimum.at(first_of_code, codes, np.repeat(first_of_cell, np.diff(column.indptr)))
    row_of_code, ordered = _appearance(first_of_code, column.entries, windows)
    return ListsColumn(row_of_code[codes], **ordered, indptr=column.indptr, cells=cells)


def _first_places(codes: NDArray[Any], size: int) -> NDArray[Any]:
    """The first place of each code from 0 to `size`, int64 [size]; len(codes) where it has none."""
    first = np.full(size + 1, len(codes))  # The last one is of code -1.
    # Of equal places the one assigned last stays.
    first[codes[::-1]] = np.arange(len(codes))[::-1]
    return first[:size]


def _appearance(
    first: NDArray[Any], column: Categorical, windows: Windows
) -> tuple[NDArray[Any], dict[str, Any]]:
    """The vocabulary row of each code, int32 [V], and what else a `Column` is made of.

    Args:
      first: of each code, its first event, or the number of events; [V].
      column: whose codes they are.
      windows: of the log.
    """
    # Events of one time in one window, which are neighbours, have one number: [N].
    changes = np.zeros(len(windows.time), bool)
    changes[1:] = windows.time[1:] != windows.time[:-1]
    changes[windows.bounds[1:-1]] = True
    moment = np.cumsum(changes, dtype=np.int32)
    present = np.flatnonzero(first < len(moment))
    appeared = moment[first[present]]
    # The codes ascend, so at equal times the smaller value comes first.
    order = stable_order(appeared)
    known = np.searchsorted(appeared[order], moment[windows.bounds[1:] - 1], "right")
    code_of_row = present[order]
    del present, appeared, order
    row_of_code = np.full(len(column.values), -1, np.int32)
    row_of_code[code_of_row] = np.arange(len(code_of_row), dtype=np.int32)
    values = column.values[code_of_row]
    return row_of_code, {"codes": code_of_row, "values": values, "known": known}


def recode(column: FeatureValues, windows: Windows) -> FeatureValuesColumn:
    """A column of features in the order of `Windows.lines`, raw ids as vocabulary rows."""
    if isinstance(column, Numbers):
        return NumbersColumn(column.values[windows.lines], column.transform)
    if isinstance(column, CategoricalLists):
        return lists_by_appearance(column, windows)
    assert isinstance(column, Categorical)
    return order_by_appearance(column, windows)


def describe(
    name: str, owner: str, column: Column, counts: NDArray[Any], min_count: int
) -> Vocabulary:
    """The spec's entry for a column; `counts` are events by t_{n-1} of each id known by then."""
    embedded = column.values[: len(counts)][counts >= min_count]
    return Vocabulary(
        name=name,
        dtype=column.dtype,
        owner=owner,
        size=len(column.values),
        known=tuple(column.known[:-1].tolist()),
        embedded=len(embedded),
        checksum=hashlib.sha256(lines_of(name, embedded)).hexdigest(),
    )


def lines_of(name: str, values: RawIds) -> bytes:
    """Ids of a column, one a line; ValueError where one holds a line break."""
    if isinstance(values, ByteStrings):
        broken = values.with_any(b"\n\r")
        if len(broken):
            raise ValueError(
                f"column {name}: an id must not contain a line break, got {values[broken[0]]!r}"
            )
    return to_lines(values)


def write(data_dir: str, name: str, column: Column, counts: NDArray[Any]) -> None:
    """Writes `vocabulary/<name>.txt` and `vocabulary/<name>_counts.npy`."""
    folder = filesystem.join(data_dir, "vocabulary")
    filesystem.write_bytes(filesystem.join(folder, f"{name}.txt"), lines_of(name, column.values))
    filesystem.save_array(filesystem.join(folder, f"{name}_counts.npy"), counts)


def read_ids(data_dir: str, spec: DatasetSpec, name: str) -> RawIds:
    """The raw ids of a column in vocabulary order, [V].

    Raises:
      ValueError: where the file does not hold the number of ids that the spec tells, or none.
    """
    vocabulary = spec.vocabulary(name)
    path = filesystem.join(data_dir, "vocabulary", f"{name}.txt")
    ids = from_lines(b"".join(stored.pieces(path)), vocabulary.dtype, path)
    if len(ids) != vocabulary.size:
        raise ValueError(f"{path}: the spec tells of {vocabulary.size} ids, got {len(ids)}")
    return ids


def embedded_lines(data_dir: str, spec: DatasetSpec, name: str) -> bytes:
    """The ids that an embedding table has rows for, one a line; line i (from 0) has row i + 1.

    Raises:
      ValueError: where they do not have the checksum that the spec tells.
    """
    path = filesystem.join(data_dir, "vocabulary", f"{name}_counts.npy")
    counts = filesystem.load_array(path)
    embedded = counts >= spec.flags["min_count"]
    lines = lines_of(name, read_ids(data_dir, spec, name)[: len(counts)][embedded])
    if hashlib.sha256(lines).hexdigest() != spec.vocabulary(name).checksum:
        raise ValueError(f"{path}: these are not the ids of the data set's spec")
    return lines


def embedded_ids(data_dir: str, spec: DatasetSpec, name: str) -> RawIds:
    """The same as a column, [V']."""
    lines = embedded_lines(data_dir, spec, name)
    return from_lines(lines, spec.vocabulary(name).dtype, name)


def embedding_rows(data_dir: str, spec: DatasetSpec, name: str) -> NDArray[Any]:
    """The embedding row of each id known at t_{n-1}: int32, 0 where it has none of its own."""
    path = filesystem.join(data_dir, "vocabulary", f"{name}_counts.npy")
    return rows_of_counts(filesystem.load_array(path), spec.flags["min_count"])


def rows_of_counts(counts: NDArray[Any], min_count: int) -> NDArray[Any]:
    """The same of how often ids were seen by t_{n-1}, which `<name>_counts.npy` holds."""
    embedded = counts >= min_count
    return np.where(embedded, np.cumsum(embedded), 0).astype(np.int32)


def embedded_side_feature(data_dir: str, spec: DatasetSpec, name: str) -> NDArray[Any]:
    """The embedding row of a side feature for each embedding row of its owner.

    It is the side feature as it was at the first cut that knew the node, so it never tells a row
    of training what came after it.

    Returns:
      int32 [embedded ids of the owner + 1]; entry 0, of unknown nodes, is 0.
    """
    feature = spec.feature(name)
    owner, ids = spec.select(feature.owner, "id")[0].vocabulary, feature.vocabulary
    assert owner is not None
    assert ids is not None
    owner_rows = embedding_rows(data_dir, spec, owner)
    values = np.full(len(owner_rows), -1, np.int32)
    for cut in range(len(spec.cuts) - 1, 0, -1):
        file = f"{feature.column}.npy"
        at_cut = stored.load_array(filesystem.join(data_dir, "graph", str(cut), file))
        values[: len(at_cut)] = at_cut
    # -1, of a node that has none, is the last one
    feature_rows = np.append(embedding_rows(data_dir, spec, ids), np.int32(0))
    rows = np.zeros(spec.vocabulary(owner).embedded + 1, np.int32)
    rows[owner_rows] = feature_rows[values]
    rows[0] = 0
    return rows
