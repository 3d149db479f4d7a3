"""Fixed numbers of neighbours of every node of a graph: similar ones, and some of the adjacent.

Axes: V nodes, L neighbours.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

# Products that are made at once: their memory is some twenty bytes each.
_PRODUCTS = 1 << 22
_MOST_ROWS = 1 << 16  # of a block, so that row, similarity and column are one number
_COLUMN_BITS, _SIMILARITY_BITS = 28, 20


def most_similar(matrix: sparse.csr_matrix, count: int) -> NDArray[Any]:
    """The rows most similar to each row by cosine, int32 [V, count]; -1 where there are no more.

    A row is not similar to itself, nor are rows that share no column. Of equally similar rows (to
    six digits) the first come first. Rows are compared in blocks of bounded memory.

    Args:
      matrix: CSR [V, ...], above 0.
      count: L.
    """
    matrix = sparse.csr_matrix(matrix, dtype=np.float64)
    if matrix.shape[0] >= 1 << _COLUMN_BITS:
        raise ValueError(f"matrix: must have fewer than 2^28 rows, got {matrix.shape[0]}")
    lengths = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    inverse = np.divide(1.0, lengths, where=lengths > 0, out=np.zeros_like(lengths))
    unit = sparse.csr_matrix(sparse.diags(inverse) @ matrix, dtype=np.float32)
    transposed = unit.T.tocsr()
    degrees = np.diff(transposed.indptr)
    products = np.add.reduceat(
        np.append(degrees[unit.indices], 0), np.minimum(unit.indptr[:-1], unit.nnz)
    ) * (np.diff(unit.indptr) > 0)
    ends = np.cumsum(products)
    found = np.full((matrix.shape[0], count), -1, np.int32)
    start = 0
    while start < len(found):
        limit = (ends[start - 1] if start else 0) + _PRODUCTS
        stop = int(np.searchsorted(ends, limit, "right"))
        stop = min(max(stop, start + 1), start + _MOST_ROWS)
        found[start:stop] = _most_similar_of(unit[start:stop] @ transposed, start, count)
        start = stop
    return found


def _most_similar_of(similarity: sparse.csr_matrix, start: int, count: int) -> NDArray[Any]:
    """Of a block of rows, the first of which is row `start` of all: int32 [rows, count]."""
    rows = np.repeat(np.arange(similarity.shape[0]), np.diff(similarity.indptr))
    others = similarity.indices != rows + start
    rows, columns = rows[others], similarity.indices[others]
    # One number by which entries sort: row, then falling similarity, then column.
    steps = (1 << _SIMILARITY_BITS) - 1
    falling = np.rint((1.0 - np.clip(similarity.data[others], 0.0, 1.0)) * steps)
    keys = rows.astype(np.uint64) << np.uint64(_SIMILARITY_BITS)
    keys = (keys | falling.astype(np.uint64)) << np.uint64(_COLUMN_BITS)
    keys = np.sort(keys | columns.astype(np.uint64))
    columns = (keys & np.uint64((1 << _COLUMN_BITS) - 1)).astype(np.int32)
    rows = (keys >> np.uint64(_COLUMN_BITS + _SIMILARITY_BITS)).astype(np.int64)
    return _first_of_each(rows, columns, similarity.shape[0], count)


def sampled(matrix: sparse.csr_matrix, count: int, random: np.random.Generator) -> NDArray[Any]:
    """Columns of each row drawn at random without repetition, int32 [V, count]; -1 for no more.

    Args:
      matrix: CSR [V, ...]; what its entries are is no matter.
      count: L.
      random: of the draws.
    """
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    order = np.lexsort((random.random(len(rows)), rows))
    return _first_of_each(rows, matrix.indices[order], matrix.shape[0], count)


def _first_of_each(
    rows: NDArray[Any], columns: NDArray[Any], num_rows: int, count: int
) -> NDArray[Any]:
    """The first columns of each row, whose entries stand together: int32 [rows, count]."""
    found = np.full((num_rows, count), -1, np.int32)
    place = np.arange(len(rows)) - np.searchsorted(rows, rows)
    kept = place < count
    found[rows[kept], place[kept]] = columns[kept]
    return found
