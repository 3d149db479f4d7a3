"""Blocks of columns from Parquet files, typed values as the cells that a csv file would hold."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from input_pipeline.files import filesystem
from input_pipeline.log.calendar import UNITS
from input_pipeline.sources import headers, packing
from input_pipeline.sources.columns import FLOAT64_INTEGERS, warn_of_imprecise_ids
from input_pipeline.sources.input_files import partition_values
from input_pipeline.sources.layout import RawRows
from input_pipeline.sources.malformed import LineNumbers
from input_pipeline.sources.raw_files import progress, stored_file
from input_pipeline.spec import SourceFile

_BATCH_ROWS = 1 << 19
_MAGIC = b"PAR1"
_INT64_END = 2.0**63
# By width in bits, up to where every integer is a float.
_FLOAT_INTEGERS = {16: 2**11, 32: 2**24, 64: FLOAT64_INTEGERS}


@dataclasses.dataclass(frozen=True)
class CellWriter:
    """Writes typed values as cells of bytes; a null or NaN is an empty cell.

    Attributes:
      timestamp_unit: one of UNITS, in which timestamps are written, rounded down.
      separators: by column that may hold lists, what is written between their values.
      id_columns: whose values are ids, of which it is said where floats cannot tell them apart.
    """

    timestamp_unit: str
    separators: Mapping[str, str]
    id_columns: frozenset[str] = frozenset()
    _warned: set[str] = dataclasses.field(default_factory=set)

    def cells(self, path: str, name: str, values: pa.Array) -> pa.Array:
        """A column of a file as binary, [N].

        Raises:
          ValueError: values of that type have no such form; names file, column and type.
        """
        origin = f"{path}: column {name!r}"
        if name in self.id_columns - self._warned:
            self._warn_of_floats(name, values)
        try:
            is_list = pa.types.is_list(values.type) or pa.types.is_large_list(values.type)
            if is_list and name in self.separators:
                return self._lists(values, self.separators[name], origin)
            return self._scalars(values)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise ValueError(f"{origin} of type {values.type} cannot be read: {error}") from error

    def _warn_of_floats(self, name: str, values: pa.Array) -> None:
        """Warns once of a column that holds floats beyond those that hold every integer."""
        if not pa.types.is_floating(values.type):
            return
        end = _FLOAT_INTEGERS[values.type.bit_width]
        numbers = values.cast(pa.float64()).fill_null(0.0).to_numpy(zero_copy_only=False)
        imprecise = np.abs(numbers) > end
        if imprecise.any():
            self._warned.add(name)
            warn_of_imprecise_ids(name, imprecise, values)

    def _scalars(self, values: pa.Array) -> pa.Array:
        kind = values.type
        if pa.types.is_dictionary(kind):
            return self._scalars(values.cast(kind.value_type))
        if pa.types.is_timestamp(kind):
            values = _in_unit(values, self.timestamp_unit)
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


def _in_unit(values: pa.Array, unit: str) -> pa.Array:
    """Timestamps as int64 in `unit`, rounded down; one beyond int64 is an ArrowInvalid."""
    kind = values.type
    if UNITS[kind.unit] <= UNITS[unit]:
        return values.cast(pa.timestamp(unit, kind.tz)).cast(pa.int64())
    numbers = values.cast(pa.int64())
    shortened = numbers.fill_null(0).to_numpy() // (UNITS[kind.unit] // UNITS[unit])
    return pc.if_else(numbers.is_valid(), pa.array(shortened), pa.scalar(None, pa.int64()))


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
            except (pa.ArrowException, OSError) as error:
                raise _broken(path, error) from error
            names = table.schema_arrow.names
            trimmed = [name.strip() for name in names]
            found = headers.find_columns(path, trimmed, columns, partition_values(path))
            yield _rows(path, table, _named(found, names), cells, source_file)


def _broken(path: str, error: Exception) -> Exception:
    """What is to be raised for an error of pyarrow's, in a line."""
    if isinstance(error, OSError) and error.errno is not None:
        return error  # of the disk or the network
    return ValueError(f"{path}: broken Parquet file: {' '.join(str(error).split())}")


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
            except (pa.ArrowException, OSError) as error:
                raise _broken(path, error) from error

    return RawRows(path, blocks(), LineNumbers(1), [], lambda: source_file)
