"""Columns and vocabularies that lie in one file, or in parts in place of a file that is too large.

    <name>.npy   [V, ...]           or  <name>.parquet/part-00000.parquet ...: node, value
    <name>.npz   lists of V nodes   or  <name>.parquet/part-00000.parquet ...: node, a list a name
    <name>.txt   lines              or  <name>.parts/part-00000.txt ...

Parts hold ranges of nodes (int64, from 0) or lines, in the order of their numbers. A value of
several numbers is a list of fixed size, in C order; the schema's metadata have its `shape` and
`dtype`. Readers name the file, and need not know which of both there is.

Axes: V nodes, E entries of lists.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from input_pipeline.files import filesystem
from input_pipeline.files.npy_header import npy_header

_PART = re.compile(r"part-\d+\.(parquet|txt)")
_BLOCK_BYTES = 1 << 24
_NODE, _VALUE = "node", "value"


def parts_folder(path: str) -> str:
    """What there may be in place of a file."""
    name, _, kind = path.rpartition(".")
    return f"{name}.parts" if kind == "txt" else f"{name}.parquet"


def part_path(path: str, number: int) -> str:
    """Of a part in place of a file."""
    kind = "txt" if path.endswith(".txt") else "parquet"
    return filesystem.join(parts_folder(path), f"part-{number:05d}.{kind}")


def exists(path: str) -> bool:
    """Whether there is a file, or parts in place of it."""
    return filesystem.exists(path) or filesystem.is_directory(parts_folder(path))


def write_array_part(path: str, number: int, first: int, values: NDArray[Any]) -> None:
    """Writes a part in place of `<path>`, a .npy file.

    Args:
      path: of the file that there is none of; its folder of parts is there.
      number: of the part, from 0.
      first: node of the part.
      values: [V', ...] of the nodes from there on.
    """
    import pyarrow as pa

    shape = values.shape[1:]
    column = pa.array(np.ascontiguousarray(values).reshape(-1))
    if shape:
        column = pa.FixedSizeListArray.from_arrays(column, int(np.prod(shape)))
    told = {"shape": json.dumps(shape), "dtype": values.dtype.str}
    _write(path, number, first, {_VALUE: column}, told)


def write_lists_part(
    path: str,
    number: int,
    first: int,
    lengths: NDArray[Any],
    arrays: Mapping[str, NDArray[Any]],
) -> None:
    """Writes a part in place of `<path>`, an .npz file.

    Args:
      path, number, first: as `write_array_part` has them.
      lengths: of the lists, [V'].
      arrays: by name, what their entries hold, [E].
    """
    import pyarrow as pa

    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int64())
    lists = {
        name: pa.LargeListArray.from_arrays(offsets, pa.array(values))
        for name, values in arrays.items()
    }
    _write(path, number, first, lists, {})


def _write(
    path: str, number: int, first: int, columns: Mapping[str, Any], told: dict[str, str]
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    size = len(next(iter(columns.values())))
    nodes = pa.array(np.arange(first, first + size), pa.int64())
    table = pa.table({_NODE: nodes, **columns})
    table = table.replace_schema_metadata(told)
    buffer = io.BytesIO()
    pq.write_table(
        table,
        buffer,
        compression="zstd",
        use_dictionary=False,
        column_encoding={_NODE: "DELTA_BINARY_PACKED"},
    )
    filesystem.write_bytes(part_path(path, number), buffer.getvalue())


def load_array(path: str) -> NDArray[Any]:
    """The array of a .npy file.

    Raises:
      ValueError: a part is missing.
    """
    if filesystem.exists(path):
        return filesystem.load_array(path)
    parts = _parts(path)
    size, shape, dtype = _described(parts)
    found, place = np.empty((size, *shape), dtype), 0
    for part in parts:
        values = _values(part, place)
        found[place : place + len(values)] = values
        place += len(values)
    return found


def load_arrays(path: str) -> dict[str, NDArray[Any]]:
    """The lists of an .npz file: `indptr`, int64 [V + 1], and what their entries hold, [E]."""
    if filesystem.exists(path):
        return filesystem.load_arrays(path)
    lengths, place = [np.zeros(1, np.int64)], 0
    arrays: dict[str, list[NDArray[Any]]] = {}
    for part in _parts(path):
        table = _read(part, place)
        place += len(table)
        for name in table.column_names[1:]:
            lists = table[name].combine_chunks()
            offsets = lists.offsets.to_numpy()
            arrays.setdefault(name, []).append(lists.flatten().to_numpy())
        lengths.append(np.diff(offsets))
    indptr = np.cumsum(np.concatenate(lengths))
    return {"indptr": indptr, **{name: np.concatenate(found) for name, found in arrays.items()}}


def blocks(path: str, rows: int) -> Iterator[NDArray[Any]]:
    """The array of a .npy file, so many rows at a time; of a local one no more are in memory."""
    if filesystem.exists(path):
        # Not held in memory, where it is local.
        is_remote = filesystem.is_remote(path)
        whole = filesystem.load_array(path) if is_remote else np.load(path, mmap_mode="r")
        for start in range(0, len(whole), rows):
            yield whole[start : start + rows]
        return
    left, place = None, 0
    for part in _parts(path):
        values = _values(part, place)
        place += len(values)
        left = values if left is None else np.concatenate([left, values])
        while len(left) >= rows:
            yield left[:rows]
            left = left[rows:]
    if left is not None and len(left):
        yield left


def pieces(path: str) -> Iterator[bytes]:
    """What a file holds, of parts what it would hold: of a .txt, or of a .npy file."""
    if filesystem.exists(path):
        yield from _of_file(path)
        return
    parts, place = _parts(path), 0
    if path.endswith(".txt"):
        for part in parts:
            yield from _of_file(part)
        return
    size, shape, dtype = _described(parts)
    yield npy_header((size, *shape), dtype)
    for part in parts:
        values = _values(part, place)
        place += len(values)
        yield values.tobytes()


def copy(path: str, target: str) -> None:
    """Writes what `pieces` gives to a file."""
    with filesystem.open_binary(target, "wb") as file:
        for piece in pieces(path):
            file.write(piece)


def _of_file(path: str) -> Iterator[bytes]:
    with filesystem.open_binary(path) as file:
        while block := file.read(_BLOCK_BYTES):
            yield block


def _parts(path: str) -> list[str]:
    """Paths of the parts in place of a file, in their order."""
    folder = parts_folder(path)
    if not filesystem.is_directory(folder):
        raise FileNotFoundError(f"{path}: there is no such file, and no {folder} in place of it")
    names = [name for name in filesystem.listdir(folder) if _PART.fullmatch(name)]
    found = [filesystem.join(folder, name) for name in names]
    expected = [part_path(path, number) for number in range(len(names))]
    if not names or found != expected:
        raise ValueError(f"{folder}: must have the parts 0 to {len(names) - 1}, got {names}")
    return found


def _described(parts: list[str]) -> tuple[int, tuple[int, ...], np.dtype[Any]]:
    """Nodes of all parts, and shape and type of a value."""
    import pyarrow.parquet as pq

    size = 0
    for part in parts:
        with filesystem.open_binary(part) as file:
            size += pq.read_metadata(file).num_rows
    with filesystem.open_binary(parts[0]) as file:
        told = pq.read_schema(file).metadata
    return size, tuple(json.loads(told[b"shape"])), np.dtype(told[b"dtype"].decode())


def _read(part: str, first: int) -> Any:
    """The table of a part, whose first node is told."""
    import pyarrow.parquet as pq

    with filesystem.open_binary(part) as file:
        table = pq.ParquetFile(file).read()
    if len(table) and table[_NODE][0].as_py() != first:
        raise ValueError(f"{part}: must begin with node {first}, got {table[_NODE][0]}")
    return table


def _values(part: str, first: int) -> NDArray[Any]:
    """[V', ...] of a part."""
    table = _read(part, first)
    column = table[_VALUE].combine_chunks()
    shape = json.loads(table.schema.metadata[b"shape"])
    if shape:
        column = column.flatten()
    values: NDArray[Any] = column.to_numpy().reshape(len(table), *shape)
    return values
