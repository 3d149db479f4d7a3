"""Whole data sets against tests/reference_preparation.py, which knows nothing of the code."""

from __future__ import annotations

import collections
import functools
import gzip
import json
import os

import numpy as np
import pytest
import tensorflow as tf
from scipy import sparse
from sklearn.cluster import KMeans

from input_pipeline.files import filesystem
from input_pipeline.log import vocabulary
from input_pipeline.log.windows import permutation_ranks
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.records import shards as tfrecords
from input_pipeline.report import data_report as report
from input_pipeline.spec import SPEC_FILE, DatasetSpec
from tests import reference_preparation as reference
from tests.input_pipeline.logs import TASKS, event_log, random_lines, write_log

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


@pytest.fixture(autouse=True)
def _no_figures(monkeypatch):
    """The report is tested by test_report.py; its figures take longer than the rest."""
    monkeypatch.setattr(report, "render", lambda *_: "")


def make(lines, data_dir, **flags):
    """Prepares `lines` and works out the reference for them."""
    options = PreparationOptions(**{**SMALL, "data_dir": str(data_dir), **flags})
    log = event_log(lines)
    spec = write_log(log, options, str(data_dir))
    positions = None
    if spec.split == "order":
        users = [line.user for line in lines]
        positions = [users[:n].count(u) / users.count(u) for n, u in enumerate(users)]
        times = list(range(len(lines)))
    elif spec.split == "random":
        times = permutation_ranks(log, spec.rows, options.seed).tolist()
    else:
        times = [line.timestamp for line in lines]
    levels = [task.level for task in spec.tasks]
    cuts, limit = options.cuts, options.max_neighbors
    expected = reference.Reference(lines, times, cuts, 4, levels, options.beta, limit, positions)
    return spec, expected


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
    return np.load(os.path.join(data_dir, "graph", *names))


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
        assert vocabulary.read_ids(data_dir, spec, name).tolist() == expected.vocabulary(column)
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
            values = vocabulary.read_ids(data_dir, spec, name)
            stored = values[load(data_dir, folder, f"{name}.npy")].tolist()
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


def check(lines, folder, **flags):
    data_dir = str(folder)
    spec, expected = make(lines, data_dir, **flags)
    assert list(spec.cut_times) == expected.cut_times
    check_vocabularies(data_dir, spec, expected)
    check_graphs(data_dir, spec, expected)
    check_rows(data_dir, spec, expected)
    return spec


def test_pairs_by_time(tmp_path):
    spec = check(random_lines(0), tmp_path, negatives=4)
    assert (spec.rows, spec.split) == ("pairs", "time")
    assert spec.counts["events"] == 240
    assert DatasetSpec.from_json((tmp_path / SPEC_FILE).read_text()) == spec


def test_pairs_with_byte_ids_ties_of_levels_and_another_beta(tmp_path):
    lines = random_lines(1, clock=20, bytes_ids=True)
    check(lines, tmp_path, task_levels=(1, 2, 2, 3), beta=0.5, grouping="rows")


@pytest.mark.parametrize(
    "flags",
    [
        {"beta": 0.0, "grouping_scale": "degree"},
        {"beta": -1.5, "grouping_scale": "none", "grouping_power": 2, "grouping_dim": 3},
        {"grouping_scale": "none", "grouping_power": 1},
        {"grouping_scale": "degree", "grouping_power": 2, "activity": "copreference"},
        {"grouping_scale": "regularized", "grouping_power": 2, "grouping_dim": 5},
        {"grouping_dim": 1, "preference": False, "grouping_scale": "degree"},
        {"grouping": "rows", "preference": False, "activity": "copreference"},
    ],
)
def test_ways_of_grouping(tmp_path, flags):
    check(random_lines(10, num_lines=400, users=25), tmp_path, **flags)


def test_pairs_without_preference_when_users_run_out_of_items(tmp_path):
    lines = random_lines(2, num_lines=300, users=4, items=12)
    spec = check(lines, tmp_path, preference=False, negatives=6, num_user_macro_nodes=5)
    assert spec.counts["missing_negatives"]["train"] > 0


def test_events_by_time(tmp_path):
    check(random_lines(3), tmp_path, rows="events")


def test_exposures_with_missing_labels(tmp_path):
    spec = check(random_lines(4, exposures=True, unlabeled=True), tmp_path)
    assert spec.rows == "exposures"


def test_pairs_of_exposures_with_missing_labels(tmp_path):
    check(random_lines(5, exposures=True, unlabeled=True), tmp_path, rows="pairs")


def test_order_without_a_clock(tmp_path):
    lines = random_lines(6, clock=None)
    spec = check(lines, tmp_path, cuts=(0.4, 0.7, 0.85), rows="pairs")
    assert (spec.split, spec.timestamp_unit) == ("order", None)
    check(random_lines(7, clock=None), tmp_path / "events", cuts=(0.4, 0.7, 0.85), rows="events")


@pytest.mark.parametrize("rows", ["pairs", "events"])
def test_random_split(tmp_path, rows):
    check(random_lines(8, clock=240), tmp_path, rows=rows, split="random", cuts=(0.4, 0.7, 0.85))


def test_shards_hold_the_same_rows_for_any_number_of_workers(tmp_path):
    lines = random_lines(9)
    one, _ = make(lines, tmp_path / "one", num_workers=1)
    make(lines, tmp_path / "three", num_workers=3)
    for split in one.counts["rows"]:
        for shard in range(SMALL["num_shards"]):
            paths = [
                tfrecords.shard_path(str(tmp_path / n), split, shard, SMALL["num_shards"])
                for n in ("one", "three")
            ]
            first, second = (filesystem.read_bytes(path) for path in paths)
            if first != second:  # told in short, and whether it was the compressor alone
                records = [gzip.decompress(packed) for packed in (first, second)]
                pytest.fail(f"{paths} differ; equal records: {records[0] == records[1]}")
