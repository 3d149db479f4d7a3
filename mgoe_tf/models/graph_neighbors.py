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
    sizes = np.diff(similarity.indptr)
    row = np.repeat(np.arange(len(sizes), dtype=np.uint64), sizes)
    # One number by which entries sort: row, then falling similarity, then column; a row that has
    # anything is similar to itself, and comes last.
    last = (1 << _SIMILARITY_BITS) - 1
    falling = np.maximum(1.0 - similarity.data, 0.0) * (last - 1)
    falling[similarity.indices == row.astype(np.int64) + start] = last
    keys = (row << np.uint64(_SIMILARITY_BITS)) | np.rint(falling).astype(np.uint64)
    keys = (keys << np.uint64(_COLUMN_BITS)) | similarity.indices.astype(np.uint64)
    keys.sort()
    # [rows, count]
    place = similarity.indptr[:-1, np.newaxis] + np.arange(count)
    is_other = place < similarity.indptr[1:, np.newaxis] - 1
    found = np.full(place.shape, -1, np.int32)
    found[is_other] = keys[place[is_other]] & np.uint64((1 << _COLUMN_BITS) - 1)
    return found


def sampled(matrix: sparse.csr_matrix, count: int, random: np.random.Generator) -> NDArray[Any]:
    """Columns of each row drawn at random without repetition, int32 [V, count]; -1 for no more.

    Args:
      matrix: CSR [V, ...]; what its entries are is no matter.
      count: L.
      random: of the draws.
    """
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    columns = matrix.indices[np.lexsort((random.random(len(rows)), rows))]
    place = np.arange(len(rows)) - matrix.indptr[rows]
    kept = place < count
    found = np.full((matrix.shape[0], count), -1, np.int32)
    found[rows[kept], place[kept]] = columns[kept]
    return found
