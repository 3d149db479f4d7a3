"""Rows to compressed records on the executors, by the encoders of `input_pipeline/records`.

Rows come sorted by shard and place. A chunk of them reads what it needs of its users and items
from the graph's files and encodes that once, as the local engine does with a whole window.

Axes: R rows of a chunk, V nodes of one owner in it.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import functions as F

from input_pipeline.engines.spark.array_file import ArrayFile, ListFile
from input_pipeline.engines.spark.node_columns import first_lists, lists_of, values_of
from input_pipeline.engines.spark.plan import Plan, rows_of
from input_pipeline.engines.spark.shard_assembly import save_buckets
from input_pipeline.engines.spark.workspace import Workspace
from input_pipeline.feature import Feature
from input_pipeline.features.registry import empty_tables
from input_pipeline.graph.node_table import Column, DenseColumn, ListColumn, NodeTable
from input_pipeline.log.interactions import OWNERS
from input_pipeline.log.rows import Rows
from input_pipeline.log.windows import STREAM_REQUESTS, STREAM_ROW_ORDER
from input_pipeline.records.example_encoder import ExampleEncoder, node_payloads
from input_pipeline.records.request_encoder import RequestEncoder
from input_pipeline.records.shards import Block, compress
from input_pipeline.records.wire_format import encode_values

_CHUNK_ROWS = 1 << 15
_BLOCKS_PER_CHUNK = 16
_ENCODERS: dict[str, type[ExampleEncoder] | type[RequestEncoder]] = {
    "example": ExampleEncoder,
    "request": RequestEncoder,
}


def write_records(plan: Plan, window: int, num_rows: int, work: Workspace) -> None:
    """Encodes the rows of `rows/` to `blocks/<window>/`, a file a shard or part of one."""
    shards = plan.options.num_shards
    per_shard = work.num_parts(-(-num_rows // shards))
    bucket = F.col("shard") * per_shard + F.shiftright(F.col("deal") * per_shard, 32).cast("int")
    frame = work.session.read.parquet(plan.path("rows")).withColumn("bucket", bucket)
    ordered = frame.repartition(shards * per_shard, "bucket").sortWithinPartitions(
        "bucket", "deal", "user", "order", "item"
    )
    folder = work.path("blocks", str(window), "")
    encode = functools.partial(_encode, plan, window, folder)
    ordered.mapInArrow(encode, "bucket int, rows long").agg(F.sum("rows")).collect()
    save_buckets(plan, window, per_shard)


def _encode(
    plan: Plan, window: int, folder: str, batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Batches of rows to files of blocks; how many rows each bucket has."""
    for bucket, chunks in _buckets(batches, plan.spec.record_layout == "request"):
        path = os.path.join(folder, f"{bucket:08d}")
        lengths: list[int] = []
        blocks: list[Block] = []  # without their data
        rows = 0
        with open(f"{path}.{os.getpid()}", "wb") as file:
            for number, chunk in enumerate(chunks):
                random = (plan.options.seed, window, bucket, number)
                for block in encode_chunk(plan, window, chunk, random):
                    lengths.append(file.write(block.data))
                    blocks.append(dataclasses.replace(block, data=b""))
                rows += len(chunk)
        _save_index(path, lengths, blocks)
        os.replace(f"{path}.{os.getpid()}", path)
        yield pa.RecordBatch.from_arrays(
            [pa.array([bucket], pa.int32()), pa.array([rows], pa.int64())], ["bucket", "rows"]
        )


def _save_index(path: str, lengths: list[int], blocks: list[Block]) -> None:
    rows = [np.zeros(0, np.uint8), *(block.rows for block in blocks)]
    np.savez(
        f"{path}.npz",
        lengths=np.array(lengths, np.int64),
        checksums=np.array([block.checksum for block in blocks], np.uint32),
        sizes=np.array([block.num_bytes for block in blocks], np.int64),
        records=np.array([len(block.rows) for block in blocks], np.int64),
        rows=np.concatenate(rows),
    )


def _buckets(
    batches: Iterable[pa.RecordBatch], keep_users: bool
) -> Iterator[tuple[int, Iterator[pa.Table]]]:
    """Each bucket with its rows in chunks, which do not depend on how batches are cut.

    Args:
      batches: sorted by bucket.
      keep_users: whether the rows of a user stay in one chunk where they are not too many.
    """
    waiting = iter(batches)
    left: list[pa.Table] = []

    def fill(rows: int) -> pa.Table | None:
        while sum(map(len, left)) < rows:
            batch = next(waiting, None)
            if batch is None:
                break
            left.append(pa.Table.from_batches([batch]))
        return pa.concat_tables(left) if sum(map(len, left)) else None

    def chunks(bucket: int) -> Iterator[pa.Table]:
        while (table := fill(_CHUNK_ROWS + 1)) is not None:
            size = int(np.searchsorted(table["bucket"].to_numpy(), bucket, side="right"))
            if not size:
                return
            if size > _CHUNK_ROWS:
                users = table["user"].to_numpy()[: _CHUNK_ROWS + 1]
                size = _CHUNK_ROWS
                ends = np.flatnonzero(users[1:] != users[:-1])
                if keep_users and len(ends):
                    size = int(ends[-1]) + 1
            left[:] = [table.slice(size)] if size < len(table) else []
            yield table.slice(0, size)

    while (table := fill(1)) is not None:
        bucket = table["bucket"][0].as_py()
        yield bucket, chunks(bucket)


def encode_chunk(
    plan: Plan, window: int, table: pa.Table, random: tuple[int, int, int, int]
) -> Iterator[Block]:
    """Records of some rows in compressed blocks; `random` deals requests out."""
    spec = plan.spec
    rows = rows_of(table, has_clock=spec.timestamp_unit is not None)
    tables, nodes, places = tables_of(plan, window, rows, table)
    tables, nodes, encoded = _restricted(plan, tables, nodes)
    payloads = {
        owner: node_payloads(spec, owner, found, encoded, nodes.get(owner))
        for owner, found in tables.items()
    }
    seed, *place = random
    encoder = _ENCODERS[spec.record_layout](
        spec, rows, places, payloads, np.random.default_rng([seed, STREAM_REQUESTS, *place])
    )
    index = np.arange(len(encoder))
    if spec.record_layout == "request":
        index = np.random.default_rng([seed, STREAM_ROW_ORDER, *place]).permutation(index)
    length = max(1, encoder.records_per_chunk // _BLOCKS_PER_CHUNK)
    for start in range(0, len(index), encoder.records_per_chunk):
        part = index[start : start + encoder.records_per_chunk]
        records, bounds = encoder.encode(part)
        counts = encoder.num_rows(part)
        for first in range(0, len(part), length):
            last = min(first + length, len(part))
            yield compress(records[bounds[first] : bounds[last]], counts[first:last])


def tables_of(
    plan: Plan, window: int, rows: Rows, table: pa.Table
) -> tuple[dict[str, NodeTable], dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
    """What the rows of a window read.

    Args:
      plan: where everything is.
      window: its number.
      rows: R of them.
      table: the same with their contexts, in the columns of the log.

    Returns:
      By owner, the tables of the nodes of the rows, or of their contexts; the nodes, ascending; and
      the entry of each row, [R].
    """
    tables: dict[str, NodeTable] = {}
    nodes, places = {}, {}
    for owner in OWNERS:
        nodes[owner], places[owner] = np.unique(getattr(rows, owner), return_inverse=True)
        tables[owner] = node_table(plan, window, owner, nodes[owner])
    contexts = plan.spec.select("context")
    if contexts:
        tables["context"] = {f.column: _context(plan, f, table) for f in contexts}
        places["context"] = np.arange(len(rows))
    return tables, nodes, places


def _context(plan: Plan, feature: Feature, table: pa.Table) -> Column:
    """What rows tell of themselves by a feature."""
    name = plan.columns[feature.name]
    if feature.ragged:
        lengths, rows = lists_of(table, name, np.arange(len(table)))
        return ListColumn(np.concatenate([[0], np.cumsum(lengths)]), {"rows": rows})
    return DenseColumn(values_of(table, name, feature), -1 if feature.role == "side" else np.nan)


def node_table(plan: Plan, window: int, owner: str, nodes: NDArray[Any]) -> NodeTable:
    """The table of some nodes, ascending, as the rows of a window see them."""
    empty = empty_tables(plan.spec.features)[owner]
    known = nodes[: np.searchsorted(nodes, plan.known_at(owner, window))]
    found: NodeTable = {}
    for feature in plan.spec.select(owner):
        if feature.role == "id" or feature.aligned_with:
            continue
        found[feature.column] = _column(plan, window, feature, nodes, known, empty[feature.column])
    return found


def _column(
    plan: Plan,
    window: int,
    feature: Feature,
    nodes: NDArray[Any],
    known: NDArray[Any],
    empty: Column,
) -> Column:
    path = plan.graph(window, feature.column)
    if isinstance(empty, ListColumn):
        lengths, arrays = np.zeros(0, np.int64), dict(empty.arrays)
        if len(known):
            lengths, arrays = ListFile(f"{path}.npz").take(known)
        if feature.name in plan.columns and len(known) < len(nodes):
            # Nodes first seen in the window read what their first event tells.
            new, told = ListFile(first_lists(plan, feature)).take(nodes[len(known) :])
            lengths = np.concatenate([lengths, new])
            arrays = {"rows": np.concatenate([arrays["rows"], told["rows"]])}
        indptr = np.zeros(len(nodes) + 1, np.int64)
        np.cumsum(np.pad(lengths, (0, len(nodes) - len(lengths))), out=indptr[1:])
        return ListColumn(indptr, arrays)
    values = np.empty((len(nodes), *empty.values.shape[1:]), empty.values.dtype)
    values[len(known) :] = empty.missing
    if len(known):
        stored = ArrayFile(f"{path}.npy").take(known)
        values[: len(known)] = stored.reshape(len(known), *values.shape[1:])
    if feature.name in plan.columns:
        first = ArrayFile(plan.path("first", f"{feature.name}.npy"))
        values[len(known) :] = first.take(nodes[len(known) :])
    return DenseColumn(values, empty.missing)


def _restricted(
    plan: Plan, tables: Mapping[str, NodeTable], nodes: Mapping[str, NDArray[Any]]
) -> tuple[dict[str, NodeTable], dict[str, NDArray[Any]], dict[str, pa.LargeBinaryArray]]:
    """Tables and nodes in rows of vocabularies that hold what occurs alone; and these, encoded."""
    features = [f for f in plan.spec.features if f.vocabulary and f.role != "id"]
    used: dict[str, list[NDArray[Any]]] = {f"{o}_id": [found] for o, found in nodes.items()}
    for feature in features:
        assert feature.vocabulary is not None
        used.setdefault(feature.vocabulary, []).append(
            _rows_of(tables[feature.owner][feature.column])
        )
    kept, encoded = {}, {}
    for name, found in used.items():
        rows = np.unique(np.concatenate(found))
        kept[name] = rows[rows >= 0]
        encoded[name] = encode_values(plan.ids[name].take(kept[name]))
    changed = {owner: dict(table) for owner, table in tables.items()}
    for feature in features:
        assert feature.vocabulary is not None
        column = tables[feature.owner][feature.column]
        rows = _rows_of(column)
        placed = np.searchsorted(kept[feature.vocabulary], rows)
        placed = np.where(rows < 0, -1, placed).astype(np.int32)
        changed[feature.owner][feature.column] = (
            ListColumn(column.indptr, {**column.arrays, "rows": placed})
            if isinstance(column, ListColumn)
            else DenseColumn(placed, column.missing)
        )
    places = {o: np.searchsorted(kept[f"{o}_id"], found) for o, found in nodes.items()}
    return changed, places, encoded


def _rows_of(column: Column) -> NDArray[Any]:
    return column.arrays["rows"] if isinstance(column, ListColumn) else column.values
