"""Blocks of columns from Parquet files, typed values as the cells that a csv file would hold."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from input_pipeline.files import filesystem
from input_pipeline.sources.delimited import check_header
from input_pipeline.sources.layout import RawRows
from input_pipeline.sources.malformed import LineNumbers
from input_pipeline.sources.raw_files import open_raw, progress
from input_pipeline.spec import SourceFile

_BATCH_ROWS = 1 << 19
_INT64_END = 2.0**63


@dataclasses.dataclass(frozen=True)
class CellWriter:
    """Writes typed values as cells of bytes; a null or NaN is an empty cell.

    Attributes:
      timestamp_unit: `s` or `ms`, in which timestamps are written.
      separators: by column that may hold lists, what is written between their values.
    """

    timestamp_unit: str
    separators: Mapping[str, str]

    def cells(self, path: str, name: str, values: pa.Array) -> pa.Array:
        """A column of a file as binary, [N].

        Raises:
          ValueError: values of that type have no such form; names file, column and type.
        """
        origin = f"{path}: column {name!r}"
        try:
            is_list = pa.types.is_list(values.type) or pa.types.is_large_list(values.type)
            if is_list and name in self.separators:
                return self._lists(values, self.separators[name], origin)
            return self._scalars(values)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise ValueError(f"{origin} of type {values.type} cannot be read: {error}") from error

    def _scalars(self, values: pa.Array) -> pa.Array:
        kind = values.type
        if pa.types.is_dictionary(kind):
            return self._scalars(values.cast(kind.value_type))
        if pa.types.is_timestamp(kind):
            values = values.cast(pa.timestamp(self.timestamp_unit, kind.tz), safe=False)
            values = values.cast(pa.int64())
        elif pa.types.is_boolean(kind):
            values = values.cast(pa.int8())
        elif pa.types.is_floating(kind):
            values = _floats(values.cast(pa.float64()), values.cast(pa.string()))
        if not (pa.types.is_binary(values.type) or pa.types.is_large_binary(values.type)):
            values = values.cast(pa.string())
        return values.cast(pa.binary()).fill_null(b"")

    def _lists(self, values: pa.Array, separator: str, origin: str) -> pa.Array:
        entries = self._scalars(values.flatten())
        torn = entries.filter(pc.match_substring(entries, separator))
        if len(torn):
            raise ValueError(
                f"{origin}: --multi_separator: no value of a list may hold {separator!r}, got "
                f"{torn[0].as_py().decode('utf-8', 'replace')!r}"
            )
        lengths = pc.list_value_length(values).fill_null(0)
        offsets = np.concatenate([[0], np.cumsum(lengths.to_numpy())]).astype(np.int64)
        lists = pa.LargeListArray.from_arrays(pa.array(offsets), entries)
        return pc.binary_join(lists, pa.scalar(separator.encode(), pa.binary()))


def _floats(values: pa.Array, text: pa.Array) -> pa.Array:
    """Floats as text; whole numbers as integers, which with gaps become floats on many roads."""
    whole = pc.and_(pc.equal(values, pc.trunc(values)), pc.less(pc.abs(values), _INT64_END))
    integers = pc.if_else(whole, values, pa.scalar(None, pa.float64())).cast(pa.int64())
    text = pc.coalesce(integers.cast(pa.string()), text)
    return pc.if_else(pc.is_nan(values), pa.scalar(None, pa.string()), text)


def read_parquet_files(
    paths: Sequence[str], columns: Sequence[str], cells: CellWriter
) -> Iterator[RawRows]:
    """Yields each file; reads `columns` alone, as bytes.

    Raises:
      ValueError: a file is none, lacks a column, or has values that cannot be cells.
    """
    for path in paths:
        with open_raw(path) as raw:
            # Parquet is read from its end, so the checksum is a pass of its own.
            source_file = raw.source_file()
        with filesystem.open_binary(path) as file:
            try:
                table = pyarrow.parquet.ParquetFile(pa.PythonFile(file, mode="r"))
            except pa.ArrowInvalid as error:
                raise ValueError(f"{path}: {error}") from error
            check_header(path, table.schema_arrow.names, columns)
            yield _rows(path, table, columns, cells, source_file)


def _rows(
    path: str,
    table: pyarrow.parquet.ParquetFile,
    columns: Sequence[str],
    cells: CellWriter,
    source_file: SourceFile,
) -> RawRows:
    def blocks() -> Iterator[tuple[dict[str, pa.Array], int]]:
        with progress(path) as bar:
            for batch in table.iter_batches(_BATCH_ROWS, columns=list(columns)):
                bar.update(batch.nbytes)
                found = {name: cells.cells(path, name, batch.column(name)) for name in columns}
                yield found, len(batch)

    return RawRows(path, blocks(), LineNumbers(1), [], lambda: source_file)
