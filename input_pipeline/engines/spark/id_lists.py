"""Columns whose cells hold several ids: cells that are alike are read once.

Axes: N cells of a batch, M ids of them.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from input_pipeline.engines.spark.vocabularies import COUNTS
from input_pipeline.engines.spark.workspace import Workspace


def split_cells(cells: DataFrame, name: str, separator: str, work: Workspace) -> DataFrame:
    """The ids of each cell, an id a row: `cell`, `place`, `raw`, and when cells came, COUNTS.

    Args:
      cells: `appearances` of cells.
      name: of the column.
      separator: between ids.
      work: where.
    """
    split = functools.partial(_split, separator)
    schema = (
        "cell binary, window int, time long, count long, validation long, test long, place int, "
        "raw binary"
    )
    return work.save(cells.mapInArrow(split, schema), f"cells/{name}")


def _split(separator: str, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Empty parts are dropped, and an id counts once a cell, where it comes first."""
    for batch in batches:
        names = batch.schema.names
        cells = batch.column(names.index("raw"))
        parts = pc.split_pattern(cells, pattern=separator)
        lengths = pc.list_value_length(parts).to_numpy()
        ids = parts.flatten()
        cell = np.repeat(np.arange(len(batch)), lengths)
        code = ids.dictionary_encode().indices.to_numpy().astype(np.int64)
        filled = np.flatnonzero(pc.binary_length(ids).to_numpy() > 0)
        keys = cell[filled] * max(1, len(ids)) + code[filled]
        kept = filled[np.sort(np.unique(keys, return_index=True)[1])]
        told = [batch.column(names.index(n)).take(pa.array(cell[kept])) for n in _OF_CELLS]
        arrays = [*told, pa.array(kept.astype(np.int32)), ids.take(pa.array(kept))]
        yield pa.RecordBatch.from_arrays(arrays, ["cell", *_OF_CELLS[1:], "place", "raw"])


_OF_CELLS = ("raw", "window", "time", *COUNTS)


def appearances_of(ids: DataFrame) -> DataFrame:
    """`appearances` of the ids of `split_cells`."""
    found = ids.groupBy("raw").agg(
        F.min(F.struct("window", "time")).alias("_first"), *(F.sum(n).alias(n) for n in COUNTS)
    )
    return found.select("raw", "_first.*", *COUNTS)


def lists_of(ids: DataFrame, numbered: DataFrame) -> DataFrame:
    """`cell` and its ids' vocabulary rows, `nodes`, in their order."""
    found = ids.join(numbered, "raw").groupBy("cell")
    ordered = F.sort_array(F.collect_list(F.struct("place", "node")))
    return found.agg(ordered["node"].alias("nodes"))
