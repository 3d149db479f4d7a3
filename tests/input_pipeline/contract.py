"""What every engine's data set must hold: its directory against tests/reference_preparation.py.

Nothing is taken from the memory of whoever wrote it: vocabulary/, graph/, examples/ and the spec
are read from disk. The reference knows nothing of the code.
"""

from __future__ import annotations

import collections
import functools
import json
import os
import pathlib
from types import MappingProxyType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from scipy import sparse
from sklearn.cluster import KMeans

from input_pipeline import prepare
from input_pipeline.engines.registry import make_engine
from input_pipeline.log.windows import permutation_ranks
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.spec import SPEC_FILE, DatasetSpec
from tests import reference_preparation as reference
from tests.input_pipeline.logs import TASKS, event_log, write_csv

CUTS = (0.3, 0.5, 0.7, 0.85)
SMALL = {
    "source": "taobao",
    "cuts": CUTS,
    "num_user_macro_nodes": 3,
    "num_item_macro_nodes": 4,
    "max_neighbors": 5,
    "num_shards": 2,
    "negatives": 2,
}


def prepare_lines(lines, data_dir, tasks=TASKS, transforms=MappingProxyType({}), **flags):
    """Writes lines to a file beside the data set, which is prepared from there."""
    os.makedirs(data_dir, exist_ok=True)
    log = pathlib.Path(f"{data_dir}.csv")
    columns = write_csv(lines, log, tasks, transforms)
    options = {**SMALL, "source": "csv", "input": str(log), "data_dir": str(data_dir)}
    preparation = PreparationOptions(**{**options, **columns, **flags})
    with make_engine(preparation, str(data_dir)) as engine:
        prepare.write_data_set(engine)


def read_spec(data_dir):
    text = pathlib.Path(data_dir, SPEC_FILE).read_text()
    return DatasetSpec.from_json(text)


def read_ids(data_dir, name, dtype):
    """The lines of a vocabulary, as the spec says."""
    path = pathlib.Path(data_dir, "vocabulary", f"{name}.txt")
    parts = [path] if path.exists() else sorted(path.with_suffix(".parts").iterdir())
    text = b"".join(part.read_bytes() for part in parts)
    assert text.endswith(b"\n") or not text
    return [int(line) if dtype == "int64" else line for line in text.split(b"\n")[:-1]]


def expected_of(lines, spec):
    """The reference for a spec's flags."""
    positions, cuts = None, spec.cuts
    times = [line.timestamp for line in lines]
    if spec.split == "order":
        users = [line.user for line in lines]
        positions = [users[:n].count(u) / users.count(u) for n, u in enumerate(users)]
        if spec.flags["cuts"] is None:
            positions, cuts = reference.positions_from_the_end(users, spec.cuts)
        times = list(range(len(lines)))
    elif spec.split == "random":
        # The permutation is a draw, which the reference takes as given.
        times = permutation_ranks(event_log(lines), spec.rows, spec.flags["seed"]).tolist()
    levels = [task.level for task in spec.tasks]
    limit, beta = spec.max_neighbors, spec.flags["beta"]
    return reference.Reference(lines, times, cuts, 4, levels, beta, limit, positions)


def check_data_set(data_dir, lines):
    """Compares all of a data set directory with what the lines of its log should give."""
    data_dir = str(data_dir)
    spec = read_spec(data_dir)
    expected = expected_of(lines, spec)
    assert list(spec.cut_times) == expected.cut_times
    assert spec.counts["events"] == len(lines)
    check_vocabularies(data_dir, spec, expected)
    check_graphs(data_dir, spec, expected)
    check_rows(data_dir, spec, expected)
    return spec


def read_rows(data_dir, split):
    """The rows of a split, as dicts; TensorFlow verifies the checksums on the way."""
    files = sorted(tf.io.gfile.glob(f"{data_dir}/examples/{split}-*"))
    rows = []
    for record in tf.data.TFRecordDataset(files, compression_type="GZIP"):
        example = tf.train.Example.FromString(record.numpy())
        row = {}
        for name, feature in example.features.feature.items():
            kind = feature.WhichOneof("kind")
            row[name] = kind, list(getattr(feature, kind).value)
        rows.append(row)
    return rows


@functools.cache
def load(data_dir, *names):
    path = pathlib.Path(data_dir, "graph", *names)
    if path.exists():
        return np.load(path)
    parts = sorted(path.with_suffix(".parquet").iterdir())
    table = pa.concat_tables([pq.read_table(part) for part in parts])
    columns = {name: table[name].to_pylist() for name in table.column_names}
    assert columns.pop("node") == list(range(len(table)))
    if path.suffix == ".npy":
        shape = json.loads(pq.read_schema(parts[0]).metadata[b"shape"])
        return np.array(columns["value"]).reshape(len(table), *shape)
    lengths = [len(entries) for entries in next(iter(columns.values()))]
    flat = {name: np.array([e for entries in c for e in entries]) for name, c in columns.items()}
    return {"indptr": np.cumsum([0, *lengths]), **flat}


def graph_json(data_dir, cut):
    with open(os.path.join(data_dir, "graph", cut, "graph.json")) as file:
        return json.load(file)


def user_of(line):
    return line.user


def item_of(line):
    return line.item


def check_vocabularies(data_dir, spec, expected):
    columns = {
        "user_id": user_of,
        "item_id": item_of,
        "age": lambda line: dict(line.user_features)["age"],
        "category_id": lambda line: dict(line.item_features)["category_id"],
    }
    assert [v.name for v in spec.vocabularies] == list(columns)
    for name, column in columns.items():
        entry = spec.vocabulary(name)
        assert read_ids(data_dir, name, entry.dtype) == expected.vocabulary(column)
        windows = range(1, expected.num_windows)
        assert entry.known == tuple(expected.known(column, window) for window in windows)
        counts = load(data_dir, "..", "vocabulary", f"{name}_counts.npy")
        values = [column(expected.lines[n]) for n in expected.before(expected.num_windows - 2)]
        assert dict(zip(expected.vocabulary(column), counts.tolist(), strict=False)) == dict(
            collections.Counter(values)
        )


def places_of(data_dir, spec, matrix):
    """Where the reference puts the nodes, given the projection, which is checked here."""
    flags = spec.flags
    if flags["grouping"] == "rows":
        return reference.RowPlaces(matrix.shape, flags["preference"])
    projection = dict(load(data_dir, "projection.npz"))
    degrees = {f"{owner}_degree" for owner in ("user", "item")}
    assert set(projection) - degrees == {"user", "singular_values", "item"}
    assert degrees <= set(projection) or flags["grouping_scale"] == "none"
    places = reference.SpectralPlaces(
        projection, flags["grouping_scale"], flags["grouping_power"], flags["preference"]
    )
    places.check(matrix, flags["grouping_dim"])
    return places


def check_graphs(data_dir, spec, expected):
    """Compares every array of every cut; returns the reference's macro nodes by window."""
    preference, activity = spec.flags["preference"], spec.flags["activity"]
    places = places_of(data_dir, spec, expected.matrix(1))
    centroids = {owner: load(data_dir, f"{owner}_centroids.npy") for owner in ("user", "item")}
    macro = {}
    num = {"user": spec.num_user_macro_nodes, "item": spec.num_item_macro_nodes}
    macros = {}
    for window in range(1, expected.num_windows + 1):
        folder = str(window) if window < expected.num_windows else "latest"
        matrix = expected.matrix(window)
        stored = sparse.load_npz(os.path.join(data_dir, "graph", folder, "merging_matrix.npz"))
        np.testing.assert_allclose(stored.toarray(), matrix, rtol=1e-12)
        for owner, rows in (("user", matrix), ("item", matrix.T)):
            found = load(data_dir, folder, f"{owner}_macro.npy")
            if window == 1:
                nodes, omega = reference.grouping_weights(rows, preference, activity)
                x = places.history(rows, owner)[nodes]
                assert sorted(np.flatnonzero(found >= 0)) == nodes
                labels = found[nodes]
                means = np.zeros((num[owner], x.shape[1]))
                for k in set(labels):
                    means[k] = np.average(x[labels == k], axis=0, weights=omega[labels == k])
                np.testing.assert_allclose(centroids[owner], means, atol=1e-12)
                inertia = (omega * ((x - means[labels]) ** 2).sum(axis=1)).sum()
                best = KMeans(min(num[owner], len(x)), n_init=2, random_state=1)
                assert inertia <= 1.02 * best.fit(x, sample_weight=omega).inertia_ + 1e-9
                description = graph_json(data_dir, "1")[owner]
                assert description["weighted_inertia"] == pytest.approx(inertia, abs=1e-9)
                macro[owner] = found
            else:
                macro[owner] = reference.assign(rows, macro[owner], centroids[owner], places, owner)
            np.testing.assert_array_equal(found, macro[owner])
            cut = load(data_dir, folder, f"{owner}_graph_cut.npy")
            np.testing.assert_array_equal(cut, np.full(len(rows), window))
            shares = [(found == k).sum() / (found >= 0).sum() for k in set(found[found >= 0])]
            description = graph_json(data_dir, folder)[owner]
            assert description["largest_share"] == pytest.approx(max(shares))
            entropy = -sum(share * np.log(share) for share in shares)
            assert np.log(description["effective_number"]) == pytest.approx(entropy)
        macros[window] = dict(macro)
        edges = reference.macro_edges(
            matrix, macro["user"], macro["item"], num["user"], num["item"]
        )
        for name, values in edges.items():
            np.testing.assert_allclose(load(data_dir, folder, f"{name}.npy"), values, rtol=1e-6)
        users, items = expected.users[: len(matrix)], expected.items[: matrix.shape[1]]
        item_macro = dict(zip(items, macro["item"], strict=True))
        tables = expected.task_table(window, item_macro, num["item"])
        table = load(data_dir, folder, "task_table.npy")
        for u, user in enumerate(users):
            np.testing.assert_array_equal(table[u], tables.get(user, np.zeros(table.shape[1:])))
        for owner, own, other in (("user", users, items), ("item", items, users)):
            for task, name in enumerate(TASKS):
                arrays = load(data_dir, folder, f"{owner}_neighbors_{name}.npz")
                lists = expected.neighbors(window, owner, task)
                for v, node in enumerate(own):
                    part = slice(arrays["indptr"][v], arrays["indptr"][v + 1])
                    raw = [other[row] for row in arrays["rows"][part]]
                    pairs = list(zip(raw, arrays["weights"][part].tolist(), strict=True))
                    want = [(n, pytest.approx(w, rel=1e-6)) for n, w in lists.get(node, [])]
                    assert pairs == want
        if window == expected.num_windows:
            continue
        for owner, own, name in (("user", users, "age"), ("item", items, "category_id")):
            values = read_ids(data_dir, name, spec.vocabulary(name).dtype)
            stored = [values[row] for row in load(data_dir, folder, f"{name}.npy")]
            features = expected.side_features(window, owner)
            assert stored == [features[node][name] for node in own]
    return macros


def check_features(row, spec, data_dir, expected, window):
    """Compares every input feature of one row with the graph of its window and the log."""
    nodes = {"user": row["user_id"][1][0], "item": row["item_id"][1][0]}
    for owner, other in (("user", "item"), ("item", "user")):
        vocab = {"user": expected.users, "item": expected.items}
        v = vocab[owner].index(nodes[owner])
        known = window and v < expected.known(user_of if owner == "user" else item_of, window)
        for name in (f"{owner}_1hop", f"{owner}_2hop") + ("task_table",) * (owner == "user"):
            kind, values = row[name]
            assert kind == "float_list"
            assert len(values) == spec.feature(name).length
            stored = load(data_dir, str(window), f"{name}.npy")[v].ravel() if known else 0.0
            np.testing.assert_array_equal(np.float32(values), stored)
        macro = load(data_dir, str(window), f"{owner}_macro.npy")[v] if known else -1
        assert row[f"{owner}_macro"] == ("int64_list", [macro])
        assert row[f"{owner}_graph_cut"] == ("int64_list", [window if known else 0])
        name = {"user": "age", "item": "category_id"}[owner]
        feature = expected.side_features(window, owner)[nodes[owner]][name]
        assert row[name] == ({"user": "int64_list", "item": "bytes_list"}[owner], [feature])
        for task, task_name in enumerate(TASKS):
            lists = expected.neighbors(window, owner, task) if window else {}
            pairs = lists.get(nodes[owner], [])
            ids, weights = [other for other, _ in pairs], [weight for _, weight in pairs]
            kind = "int64_list" if isinstance(nodes[other], int) else "bytes_list"
            assert row[f"{owner}_neighbors_{task_name}"] == (kind, ids)
            found_kind, found = row[f"{owner}_neighbor_weights_{task_name}"]
            assert found_kind == "float_list"
            np.testing.assert_allclose(found, weights, rtol=1e-6)
    features = {f.name for f in spec.input_features + spec.label_features}
    assert set(row) <= features | {"timestamp"}
    assert {f.name for f in spec.input_features} <= set(row)


def labels_of(row):
    """By task: 0, 1, or None where the row has no label."""
    labels = [row.get(f"label_{task}") for task in TASKS]
    assert all(label is None or label[0] == "float_list" for label in labels)
    return tuple(None if label is None else int(label[1][0]) for label in labels)


def windows_of(split, expected):
    last = expected.num_windows - 1
    train = range(1, last - 1)
    return {"history": [0], "train": train, "validation": [last - 1], "test": [last]}[split]


def timestamp_of(row):
    return row["timestamp"][1][0] if "timestamp" in row else None


def check_rows(data_dir, spec, expected):
    """Compares all rows of all splits."""
    for split in ("history", "train", "validation", "test"):
        rows = read_rows(data_dir, split)
        assert len(rows) == spec.counts["rows"][split]
        by_key = collections.defaultdict(list)
        for row in rows:
            key = row["user_id"][1][0], row["item_id"][1][0], labels_of(row), timestamp_of(row)
            by_key[key].append(row)
        for window in windows_of(split, expected):
            if spec.rows == "pairs":
                wanted = [(*pair, *rest) for pair, rest in expected.pair_rows(window).items()]
            else:
                wanted = expected.event_rows(window)
            for key in wanted:
                assert by_key[key], (split, window, key)
                check_features(by_key[key].pop(), spec, data_dir, expected, window)
        left = [row for rows in by_key.values() for row in rows]
        check_negatives(left, split, spec, data_dir, expected)


def check_negatives(left, split, spec, data_dir, expected):
    """What is neither a pair nor an event must be an untouched item of the window of its pair."""
    wanted = spec.flags["negatives"] if spec.rows == "pairs" else 0
    slots = collections.Counter()
    for window in windows_of(split, expected):
        for (user, _), (_, timestamp) in expected.pair_rows(window).items():
            slots[window, user, timestamp] += 1
    drawn = collections.Counter()
    for row in left:
        user, item = row["user_id"][1][0], row["item_id"][1][0]
        # Windows without a clock: these tests have one window a split then.
        window = next(w for w, u, t in slots if (u, t) == (user, timestamp_of(row)))
        assert labels_of(row) == (0,) * 4
        assert (user, item) not in expected.touched(window)
        assert item in expected.window_items(window)
        check_features(row, spec, data_dir, expected, window)
        drawn[window, user, timestamp_of(row), item] += 1
    missing = 0
    for (window, user, timestamp), pairs in slots.items():
        items = [n for key, n in drawn.items() if key[:3] == (window, user, timestamp)]
        # Distinct within a pair: an item at most once for each of the pairs that look alike.
        assert all(n <= pairs for n in items)
        untouched = set(expected.window_items(window))
        untouched -= {i for u, i in expected.touched(window) if u == user}
        assert sum(items) == pairs * min(wanted, len(untouched))
        missing += pairs * wanted - sum(items)
    if spec.rows == "pairs":
        assert spec.counts["missing_negatives"][split] == missing
