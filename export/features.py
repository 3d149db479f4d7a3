"""Writes the features of nodes: python -m export.features --data_dir=DIR --format=parquet|redis

One row a user and one an item that the graph of --data_dir knows: what the signature `rank` reads
of them, for services that join it themselves. What a model reads of a node without a row is in the
list of features, `missing`; an export's `rank` scores it as cold.

parquet: OUTPUT/user.parquet, OUTPUT/item.parquet, and OUTPUT/features.json, which describes the
columns. They are written beside OUTPUT and renamed. redis: a new version of the store --store_name,
which clients (`export.client.feature_store`) read as soon as it is whole, and not before.

Axes: N nodes.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet

from export.client.node_values import NodeLists
from export.client.snapshot import GraphSnapshot
from export.feature_loading import StoreLoader
from input_pipeline.commands.command import run_command
from input_pipeline.commands.options import option
from input_pipeline.feature import NODES, Feature
from input_pipeline.files import filesystem
from input_pipeline.files.failures import doing
from input_pipeline.files.paths import require_apart
from input_pipeline.files.temporary_directory import temporary_directory
from input_pipeline.log.raw_ids import as_array

FEATURES_FILE = "features.json"
_CHUNK = 1 << 13  # nodes at once: what is made of them fits in a cache
Columns = Mapping[str, "NDArray[Any] | NodeLists"]


@dataclasses.dataclass(frozen=True)
class FeatureOptions:
    """Whose features are written, and where to."""

    data_dir: str = option("", "Data set directory; required.", is_path=True)
    snapshot: str = option("latest", "Graph of the data set.")
    format: str = option(
        "parquet",
        "parquet: a directory of two files. redis: a store in a Redis server.",
        ("parquet", "redis"),
    )
    output: str = option("", "Directory that parquet makes, local or remote.", is_path=True)
    redis_url: str = option(
        "", "Server of the store: redis://[user:password@]host:port, rediss:// over TLS."
    )
    store_name: str = option("mgoe", "Name of the store: its keys begin with it.")

    def __post_init__(self) -> None:
        needed = {"parquet": "output", "redis": "redis_url"}
        for name in ("data_dir", needed[self.format]):
            if not getattr(self, name):
                raise ValueError(f"--{name}: must be given with --format={self.format}, got ''")
        unread = needed[{"parquet": "redis", "redis": "parquet"}[self.format]]
        if getattr(self, unread):
            raise ValueError(
                f"--{unread}: must not be given with --format={self.format}, got "
                f"{getattr(self, unread)!r}"
            )


@dataclasses.dataclass(frozen=True)
class Written:
    """What was written: how many nodes of each kind, how many bytes, in how many seconds."""

    nodes: Mapping[str, int]
    bytes: int
    seconds: float


def write(feature_options: FeatureOptions) -> Written:
    """Writes the features of all nodes of a graph.

    Raises:
      ValueError: there is no such graph; an id is longer than the store can tell.
      ImportError: the package redis is missing.
      StoreError: the Redis server does not answer, or another load is under way.
      FileExistsError: the output exists.
    """
    begin = time.monotonic()
    if feature_options.output:
        names = ("output", "data_dir")
        require_apart({name: getattr(feature_options, name) for name in names})
    snapshot = GraphSnapshot(feature_options.data_dir, feature_options.snapshot)
    if feature_options.format == "parquet":
        size = _write_parquet(snapshot, feature_options.output)
    else:
        loader = StoreLoader(feature_options.redis_url, feature_options.store_name)
        size = loader.load(
            _described(snapshot),
            {owner: stored_features(snapshot, owner) for owner in NODES},
            {owner: node_chunks(snapshot, owner) for owner in NODES},
        )
    nodes = {owner: len(snapshot.known_ids(owner)) for owner in NODES}
    return Written(nodes, size, time.monotonic() - begin)


def stored_features(snapshot: GraphSnapshot, owner: str) -> tuple[Feature, ...]:
    """The features of an owner that a row holds beside its id."""
    return tuple(feature for feature in snapshot.spec.select(owner) if feature.role != "id")


def node_chunks(snapshot: GraphSnapshot, owner: str) -> Iterator[tuple[NDArray[Any], Columns]]:
    """The ids [N] and features of the nodes that the graph knows, some thousands at a time."""
    ids, features = snapshot.known_ids(owner), stored_features(snapshot, owner)
    for start in range(0, len(ids), _CHUNK):
        stop = min(start + _CHUNK, len(ids))
        columns = {feature.name: snapshot.stored(feature, start, stop) for feature in features}
        yield as_array(ids[start:stop]), columns


def _described(snapshot: GraphSnapshot) -> dict[str, Any]:
    """What a reader has to know of the rows, for JSON."""
    spec = snapshot.spec
    owners: dict[str, Any] = {
        owner: [dataclasses.asdict(feature) for feature in stored_features(snapshot, owner)]
        for owner in NODES
    }
    return {
        **owners,
        "context": [feature.name for feature in spec.select("context")],
        "nodes": {owner: len(snapshot.known_ids(owner)) for owner in NODES},
        "data": spec.fingerprint(),
    }


def _write_parquet(snapshot: GraphSnapshot, output: str) -> int:
    if filesystem.exists(output):
        raise FileExistsError(f"--output={output}: exists already and is never overwritten")
    filesystem.prepare_remote(output)
    temporary = temporary_directory(output)
    try:
        size = 0
        for owner in NODES:
            path = filesystem.join(temporary, f"{owner}.parquet")
            with doing("writing", path):
                _write_table(snapshot, owner, path)
            size += filesystem.size_bytes(path)
        described = json.dumps(_described(snapshot), indent=2) + "\n"
        filesystem.write_text(filesystem.join(temporary, FEATURES_FILE), described)
        filesystem.publish(temporary, output)
        return size
    finally:
        filesystem.remove_tree_quietly(temporary)


def _write_table(snapshot: GraphSnapshot, owner: str, path: str) -> None:
    features = (snapshot.spec.select(owner, "id")[0], *stored_features(snapshot, owner))
    schema = pa.schema([pa.field(feature.name, _column_type(feature)) for feature in features])
    with parquet.ParquetWriter(path, schema) as writer:
        for ids, columns in node_chunks(snapshot, owner):
            arrays = [
                _column(feature, ids if feature.role == "id" else columns[feature.name])
                for feature in features
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


def _column_type(feature: Feature) -> pa.DataType:
    kind = {"float": pa.float32(), "int64": pa.int64(), "bytes": pa.binary()}[feature.dtype]
    return kind if feature.length is None else pa.list_(kind)


def _column(feature: Feature, column: NDArray[Any] | NodeLists) -> pa.Array:
    """A column of a table; a number that is missing is null, and a list has its own length."""
    kind = _column_type(feature)
    if feature.length is None:
        values = np.asarray(column)
        absent = np.isnan(values) if feature.dtype == "float" else None
        return pa.array(values, kind, mask=absent)
    if not isinstance(column, NodeLists):
        column = NodeLists(np.full(len(column), feature.length), np.ravel(column))
    offsets = pa.array(np.append(0, np.cumsum(column.lengths)), pa.int32())
    return pa.ListArray.from_arrays(offsets, pa.array(column.entries, kind.value_type))


def _run(feature_options: FeatureOptions) -> None:
    written = write(feature_options)
    told = ", ".join(f"{count:,} {owner}s" for owner, count in written.nodes.items())
    print(f"wrote {told}: {written.bytes:,} bytes in {written.seconds:.1f} s")


def main() -> None:
    """The command."""
    run_command(_run, FeatureOptions, doc=__doc__)


if __name__ == "__main__":
    main()
