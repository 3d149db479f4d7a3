"""Adds features of every kind to a prepared data set, as if a provider had made them.

They are the same at every cut, so that rows, graphs and joins have to agree on them.
"""

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import tensorflow as tf

from input_pipeline.feature import UNKNOWN_INT64, Feature, Transform, Vocabulary
from input_pipeline.log import vocabulary
from input_pipeline.records.packing import pack
from input_pipeline.records.shard_index import read_index, write_index
from input_pipeline.spec import SPEC_FILE, DatasetSpec
from tests.packed_records import packed

FEATURES = (
    Feature("interests", "user", "side", "int64", 2, ragged=True,
            vocabulary="interests", missing=UNKNOWN_INT64),
    Feature("activity", "user", "numeric", "float", 4, missing=-1.0,
            transform=Transform("standard", (1.0, 2.0, 3.0, 4.0), (2.0, 1.0, 4.0, 3.0))),
    Feature("tags", "item", "side", "bytes", 3, ragged=True, vocabulary="tags", missing=""),
    Feature("price", "item", "numeric", "float", missing="nan", optional=True,
            transform=Transform("log", (2.0,), (1.5,), has_missing=True)),
    Feature("shown", "context", "side", "bytes", 2, ragged=True, vocabulary="tags", missing=""),
    Feature("device", "context", "side", "bytes", vocabulary="device", missing=""),
    Feature("hour", "context", "side", "int64", vocabulary="hour", missing=UNKNOWN_INT64),
    Feature("position", "context", "numeric", "float", missing="nan", optional=True,
            transform=Transform("standard", (5.0,), (3.0,), has_missing=True)),
)  # fmt: skip
# Ids in vocabulary order; 0 is one of them, and the last tag was too rare for a row of its own.
IDS = {
    "interests": np.array([40, 0, 7, -3, 12], np.int64),
    "tags": np.array([b"red", b"big", b"new", b"old", b"rare"], object),
    "device": np.array([b"ios", b"android", b"web"], object),
    "hour": np.array([13, 0, 22], np.int64),
}
OWNERS = {"interests": "user", "tags": "item", "device": "context", "hour": "context"}
_LISTS = {"int64": "int64_list", "bytes": "bytes_list", "float": "float_list"}


def add_feature_kinds(data_dir: str, *, device_tells: bool = False) -> DatasetSpec:
    """Changes a data set in the example layout: spec, vocabularies, graphs and records.

    Values are random; with `device_tells` a row's device says whether it was clicked.
    """
    folder = Path(data_dir)
    spec = DatasetSpec.from_json((folder / SPEC_FILE).read_text())
    vocabularies = tuple(_vocabulary(folder, spec, name) for name in IDS)
    first, rest = spec.features[:2], spec.features[2:]
    changed = dataclasses.replace(
        spec,
        vocabularies=(*spec.vocabularies, *vocabularies),
        features=(*first, *FEATURES, *rest),
    )
    nodes = {
        owner: _node_values(owner, spec.vocabulary(f"{owner}_id").size)
        for owner in ("user", "item")
    }
    for graph in (folder / "graph").iterdir():
        for owner, columns in nodes.items():
            size = len(np.load(graph / f"{owner}_macro.npy")) if graph.is_dir() else 0
            for name, values in columns.items() if size else ():
                _save_column(graph, name, values[:size])
    random = np.random.default_rng(11)
    rows = {
        owner: {
            raw: row for row, raw in enumerate(vocabulary.read_ids(data_dir, spec, f"{owner}_id"))
        }
        for owner in nodes
    }
    for path in sorted((folder / "examples").glob("*.tfrecord.gz")):
        records = list(tf.data.TFRecordDataset(str(path), "GZIP").as_numpy_iterator())
        with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
            for record in records:
                example = tf.train.Example.FromString(record)
                _extend(example, nodes, rows, random)
                if device_tells:
                    (clicked,) = example.features.feature["label_click"].float_list.value
                    device = IDS["device"][int(clicked)]
                    example.features.feature["device"].bytes_list.value[:] = [device]
                writer.write(example.SerializeToString())
    (folder / SPEC_FILE).write_text(changed.to_json())
    return changed


def _vocabulary(folder: Path, spec: DatasetSpec, name: str) -> Vocabulary:
    ids = IDS[name]
    lines = [b"%d\n" % i if ids.dtype == np.int64 else i + b"\n" for i in ids]
    counts = np.full(len(ids), spec.flags["min_count"])
    counts[-1] -= name == "tags"
    embedded = [line for line, count in zip(lines, counts, strict=True) if count >= counts[0]]
    (folder / "vocabulary" / f"{name}.txt").write_bytes(b"".join(lines))
    np.save(folder / "vocabulary" / f"{name}_counts.npy", counts)
    return Vocabulary(
        name=name,
        dtype="int64" if ids.dtype == np.int64 else "bytes",
        owner=OWNERS[name],
        size=len(ids),
        known=(len(ids),) * len(spec.cuts),
        embedded=len(embedded),
        checksum=hashlib.sha256(b"".join(embedded)).hexdigest(),
    )


def _node_values(owner: str, size: int) -> dict[str, list]:
    """By feature, of every node: vocabulary rows of a list, or numbers."""
    random = np.random.default_rng(len(owner) + size)
    values: dict[str, list] = {}
    for feature in FEATURES:
        if feature.owner != owner:
            continue
        if feature.ragged:
            count = len(IDS[feature.vocabulary])
            lengths = random.integers(0, feature.length + 1, size)
            values[feature.name] = [random.permutation(count)[:length] for length in lengths]
        else:
            found = random.normal(3.0, 4.0, (size, *feature.shape)).astype(np.float32)
            if feature.optional:
                found[random.random(size) < 0.3] = np.nan
            values[feature.name] = list(found)
    return values


def _save_column(folder: Path, name: str, values: list) -> None:
    if isinstance(values[0], np.ndarray) and values[0].dtype == np.int64:
        lengths = [len(rows) for rows in values]
        rows = np.concatenate(values).astype(np.int32)
        np.savez(folder / f"{name}.npz", indptr=np.cumsum([0, *lengths]), rows=rows)
    else:
        np.save(folder / f"{name}.npy", np.stack(values))


def _extend(example, nodes: dict, rows: dict, random: np.random.Generator) -> None:
    for feature in FEATURES:
        ids = IDS.get(feature.vocabulary)
        if feature.owner == "context":
            value = _context_value(feature, random)
        else:
            of_id = example.features.feature[f"{feature.owner}_id"]
            raw = getattr(of_id, of_id.WhichOneof("kind")).value[0]
            value = nodes[feature.owner][feature.name][rows[feature.owner][raw]]
            value = value if ids is None else ids[value]
        _write(example.features.feature, feature, value)


def _context_value(feature: Feature, random: np.random.Generator):
    if feature.vocabulary is None:
        return np.float32(np.nan if random.random() < 0.3 else random.integers(0, 12))
    ids = IDS[feature.vocabulary]
    if feature.ragged:
        return random.permutation(ids)[: random.integers(0, feature.length + 1)]
    return ids[random.integers(len(ids))]


def _write(features, feature: Feature, value) -> None:
    values = np.ravel(value).tolist()
    if feature.optional and np.isnan(values).all():
        return
    target = getattr(features[feature.name], _LISTS[feature.dtype])
    target.SetInParent()
    target.value.extend(values)


def as_request(spec: DatasetSpec, records: list[bytes]) -> bytes:
    """Rows of one user as a tf.train.SequenceExample; what a row leaves out is an empty entry."""
    rows = [tf.train.Example.FromString(record).features.feature for record in records]
    request = tf.train.SequenceExample()
    for feature in spec.features:
        if feature.owner == "user":
            if feature.name in rows[0]:
                request.context.feature[feature.name].CopyFrom(rows[0][feature.name])
            continue
        for row in rows:
            entry = request.feature_lists.feature_list[feature.name].feature.add()
            if feature.name in row:
                entry.CopyFrom(row[feature.name])
    return request.SerializeToString()


def _packed(spec: DatasetSpec, records: list[bytes]) -> bytes:
    """Rows of one user as a record of the request layout."""
    rows = [
        {
            name: list(getattr(feature, feature.WhichOneof("kind")).value)
            for name, feature in tf.train.Example.FromString(record).features.feature.items()
        }
        for record in records
    ]
    return packed(rows[0], rows, spec.features)


def to_requests(data_dir: str) -> DatasetSpec:
    """Changes a data set in the example layout to the request layout."""
    folder = Path(data_dir)
    spec = DatasetSpec.from_json((folder / SPEC_FILE).read_text())
    index = read_index(data_dir)
    for path in sorted((folder / "examples").glob("*.tfrecord.gz")):
        by_user: dict[bytes, list[bytes]] = {}
        for record in tf.data.TFRecordDataset(str(path), "GZIP").as_numpy_iterator():
            features = tf.train.Example.FromString(record).features.feature
            by_user.setdefault(features["user_id"].SerializeToString(), []).append(record)
        chunks = [
            records[start : start + 32]
            for records in by_user.values()
            for start in range(0, len(records), 32)
        ]
        with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
            for records in chunks:
                writer.write(_packed(spec, records))
        rows = np.array([len(records) for records in chunks], np.uint8)
        # what is left of the index is of the old shards, and for resuming alone
        index[path.name] = dataclasses.replace(index[path.name], rows=rows)
    write_index(data_dir, index)
    packing = pack(spec.features)
    changed = dataclasses.replace(spec, record_layout="request", record_packing=packing)
    (folder / SPEC_FILE).write_text(changed.to_json())
    return changed
