"""Blocks of columns from Parquet files, typed values as the cells that a csv file would hold."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from input_pipeline.files import filesystem
from input_pipeline.sources import headers, packing
from input_pipeline.sources.input_files import partition_values
from input_pipeline.sources.layout import RawRows
from input_pipeline.sources.malformed import LineNumbers
from input_pipeline.sources.raw_files import progress, stored_file
from input_pipeline.spec import SourceFile

_BATCH_ROWS = 1 << 19
_MAGIC = b"PAR1"
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

    A column that a file does not have may be in the names of its folders, as `day=2026-01-01`.

    Raises:
      ValueError: a file is none, lacks a column, or has values that cannot be cells.
    """
    for path in paths:
        # Parquet is read from its end, so the checksum is a pass of its own.
        source_file = stored_file(path)
        with filesystem.open_binary(path) as file:
            head = file.read(packing.LONGEST_MAGIC)
            if not head.startswith(_MAGIC):
                packed = packing.packing(head)
                what = f"is packed as {packed}" if packed else f"begins with {head!r}"
                raise ValueError(
                    f"{path}: must be a Parquet file, but {what}; --source=csv reads delimited "
                    f"text: {packing.READ}"
                )
            file.seek(0)
            try:
                table = pyarrow.parquet.ParquetFile(pa.PythonFile(file, mode="r"))
            except (pa.ArrowInvalid, OSError) as error:
                if isinstance(error, OSError) and error.errno is not None:
                    raise
                raise ValueError(f"{path}: broken Parquet file: {error}") from error
            names = table.schema_arrow.names
            trimmed = [name.strip() for name in names]
            found = headers.find_columns(path, trimmed, columns, partition_values(path))
            yield _rows(path, table, _named(found, names), cells, source_file)


def _named(found: Mapping[str, int | bytes], names: Sequence[str]) -> dict[str, str | bytes]:
    return {
        column: names[place] if isinstance(place, int) else place for column, place in found.items()
    }


def _rows(
    path: str,
    table: pyarrow.parquet.ParquetFile,
    found: Mapping[str, str | bytes],
    cells: CellWriter,
    source_file: SourceFile,
) -> RawRows:
    """The rows of a file.

    Args:
      found: by column that is wanted, its name in the file, or the cell of all rows.
    """

    def column(batch: pa.RecordBatch, name: str, place: str | bytes) -> pa.Array:
        if isinstance(place, bytes):
            return pa.repeat(pa.scalar(place, pa.binary()), len(batch))
        return cells.cells(path, name, batch.column(place))

    def blocks() -> Iterator[tuple[dict[str, pa.Array], int]]:
        read = sorted({place for place in found.values() if isinstance(place, str)})
        with progress(path) as bar:
            try:
                for batch in table.iter_batches(_BATCH_ROWS, columns=read):
                    bar.update(batch.nbytes)
                    columns = {name: column(batch, name, place) for name, place in found.items()}
                    yield columns, len(batch)
            except OSError as error:
                if error.errno is not None:
                    raise
                raise ValueError(f"{path}: broken Parquet file: {error}") from error

    return RawRows(path, blocks(), LineNumbers(1), [], lambda: source_file)
