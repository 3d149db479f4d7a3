"""Arrays in .npy files, or stored in .npz files, of which parts are read and written in place.

Parts of a file are written by many processes on machines that share a file system, each a range of
its own; a file is never read whole.
"""

from __future__ import annotations

import copy
import math
import os
import struct
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from input_pipeline.files.npy_header import npy_header

_BLOCK_BYTES = 1 << 24
# Of wanted rows so near to one another, what lies between is read along.
_GAP_BYTES = 1 << 15
_LOCAL_HEADER = struct.Struct("<26xHH")


class ArrayFile:
    """An array [V, ...] in a file, row by row.

    Args:
      path: of the .npy file, or of an .npz file that is not compressed.
      member: of the .npz file, which array.
    """

    def __init__(self, path: str, member: str | None = None):
        self.path = path
        with open(path, "rb") as file:
            if member is not None:
                with zipfile.ZipFile(file) as archive:
                    start = archive.getinfo(f"{member}.npy").header_offset
                file.seek(start)
                file.seek(sum(_LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))), 1)
            headers: Any = np.lib.format
            headers.read_magic(file)
            self.shape, _, self.dtype = headers.read_array_header_1_0(file)
            self._start = file.tell()
        self.row_bytes = self.dtype.itemsize * math.prod(self.shape[1:])

    @classmethod
    def create(cls, path: str, shape: tuple[int, ...], dtype: Any) -> ArrayFile:
        """A new file of zeros, sparse where the file system can."""
        with open(path, "wb") as file:
            file.write(npy_header(shape, dtype))
            file.truncate(file.tell() + np.dtype(dtype).itemsize * math.prod(shape))
        return cls(path)

    def flat(self) -> ArrayFile:
        """The same values as a single axis."""
        found = copy.copy(self)
        found.shape, found.row_bytes = (math.prod(self.shape),), self.dtype.itemsize
        return found

    def __len__(self) -> int:
        return int(self.shape[0])

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Rows start:stop, [stop - start, ...]; fewer at the end."""
        stop = min(stop, len(self))
        with open(self.path, "rb") as file:
            return self._read(file, start, max(start, stop))

    def _read(self, file: Any, start: int, stop: int) -> NDArray[Any]:
        array = np.empty((stop - start, *self.shape[1:]), self.dtype)
        file.seek(self._start + start * self.row_bytes)
        view = array.reshape(-1).view(np.uint8).data
        while view:
            size = file.readinto(view)
            if not size:
                raise OSError(f"{self.path}: ends before row {stop} of {len(self)}")
            view = view[size:]
        return array

    def write(self, start: int, rows: NDArray[Any]) -> None:
        """Writes rows from `start` on."""
        if start + len(rows) > len(self) or rows.shape[1:] != self.shape[1:]:
            raise ValueError(
                f"{self.path}: rows {rows.shape} from {start} on are not in {self.shape}"
            )
        with open(self.path, "r+b") as file:
            file.seek(self._start + start * self.row_bytes)
            file.write(np.ascontiguousarray(rows, self.dtype).reshape(-1).view(np.uint8).data)

    def take(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Rows by number, ascending, [M, ...]."""
        found = np.empty((len(rows), *self.shape[1:]), self.dtype)
        if not len(rows):
            return found
        gap = max(1, _GAP_BYTES // max(1, self.row_bytes))
        most = max(1, _BLOCK_BYTES // max(1, self.row_bytes))
        runs = np.flatnonzero(np.diff(rows, prepend=-gap - 1) > gap)
        with open(self.path, "rb") as file:
            for first, last in zip(runs, np.append(runs[1:], len(rows)), strict=True):
                place = first
                while place < last:
                    end = int(np.searchsorted(rows[place:last], rows[place] + most)) + place
                    low = int(rows[place])
                    block = self._read(file, low, int(rows[end - 1]) + 1)
                    found[place:end] = block[rows[place:end] - low]
                    place = end
        return found

    def blocks(self, rows: int | None = None) -> Iterator[tuple[int, NDArray[Any]]]:
        """First row and rows of one block after another, each of so many rows, or some MB."""
        size = rows or max(1, _BLOCK_BYTES // max(1, self.row_bytes))
        for start in range(0, len(self), size):
            yield start, self.read(start, start + size)


class ListFile:
    """Lists in an .npz file as `ListColumn` saves them; list v is of node v."""

    def __init__(self, path: str):
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
        self._indptr = ArrayFile(path, "indptr")
        self._arrays = {name: ArrayFile(path, name) for name in names if name != "indptr"}

    def __len__(self) -> int:
        return len(self._indptr) - 1

    def take(self, rows: NDArray[Any]) -> tuple[NDArray[Any], dict[str, NDArray[Any]]]:
        """Some lists, ascending, one after the other: lengths [M], and what their entries hold."""
        # [M, 2]: where each begins and ends
        wanted = np.unique(np.concatenate([rows, rows + 1]))
        bounds = self._indptr.take(wanted)
        begin = bounds[np.searchsorted(wanted, rows)]
        lengths = bounds[np.searchsorted(wanted, rows + 1)] - begin
        first = np.cumsum(lengths) - lengths
        places = np.arange(int(lengths.sum())) + np.repeat(begin - first, lengths)
        return lengths, {name: array.take(places) for name, array in self._arrays.items()}


def write_npz(
    path: str,
    arrays: Mapping[str, tuple[Any, tuple[int, ...], Iterable[NDArray[Any]]]],
    *,
    compressed: bool = False,
) -> None:
    """Writes an .npz file whose arrays come in pieces.

    Args:
      path: of the file.
      arrays: by name, dtype, shape and the pieces, one after the other.
      compressed: whether to pack them.
    """
    kind = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    temporary = f"{path}.part"
    with zipfile.ZipFile(temporary, "w", kind, allowZip64=True) as archive:
        for name, (dtype, shape, pieces) in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                member.write(npy_header(shape, dtype))
                written = 0
                for piece in pieces:
                    data = np.ascontiguousarray(piece, dtype)
                    written += data.size
                    member.write(data.reshape(-1).view(np.uint8).data)
            if written != math.prod(shape):
                raise ValueError(
                    f"{path}: {name} must have {math.prod(shape)} values, got {written}"
                )
    os.replace(temporary, path)


def cumulated(counts: ArrayFile) -> Iterator[NDArray[Any]]:
    """Offsets of lists of some lengths, int64, in pieces: 0, then the running sums."""
    before = 0
    yield np.zeros(1, np.int64)
    for _, block in counts.blocks():
        sums = np.cumsum(block, dtype=np.int64) + before
        before = int(sums[-1])
        yield sums
