"""Features of every kind in every row, against tests/reference_preparation.py."""

from __future__ import annotations

import collections
import dataclasses
import math

import numpy as np
import pytest
import tensorflow as tf

from input_pipeline.dataset import open_examples
from input_pipeline.engines.registry import ENGINES
from input_pipeline.feature import UNKNOWN_INT64
from input_pipeline.files import filesystem
from input_pipeline.log import vocabulary
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.records.example_rows import first_examples
from input_pipeline.report import data_report as report
from tests.input_pipeline.contract import (
    SMALL,
    expected_of,
    prepare_lines,
    read_spec,
    timestamp_of,
    windows_of,
)
from tests.input_pipeline.logs import (
    TRANSFORMS,
    event_log,
    random_lines,
    with_features,
    write_log,
)

FEATURES = {
    "user": ("age", "clubs", "income"),
    "item": ("category_id", "price_macro", "tags", "born", "price", "weight"),
    "context": ("device", "hour", "topics", "position"),
}
TASKS = ("click", "user_neighbors_of", "cart", "buy")


@pytest.fixture(autouse=True)
def _no_figures(monkeypatch):
    monkeypatch.setattr(report, "render", lambda *_: "")


@pytest.fixture(
    autouse=True, params=[name for name, entry in ENGINES.items() if entry.extra is None]
)
def _engine(request, monkeypatch):
    """Every engine has to give the same."""
    monkeypatch.setitem(SMALL, "engine", request.param)


def make(lines, data_dir, tasks=TASKS, **flags):
    """Prepares lines from a file; what is compared is read from the directory."""
    prepare_lines(lines, data_dir, tasks, TRANSFORMS, **flags)
    spec = read_spec(data_dir)
    return spec, expected_of(lines, spec)


def rows_of(data_dir, split):
    """The rows as dicts from name to the values of the list, whatever the layout."""
    rows = []
    for record in first_examples(str(data_dir), split, 1 << 30).numpy():
        found = tf.train.Example.FromString(record).features.feature
        kinds = {name: feature.WhichOneof("kind") for name, feature in found.items()}
        rows.append({n: (kind, list(getattr(found[n], kind).value)) for n, kind in kinds.items()})
    return rows


def listed(value):
    """How a row holds a value: None where the row leaves the feature out."""
    if value is None:
        return [UNKNOWN_INT64]
    if isinstance(value, float):
        return None if math.isnan(value) else [value]
    return list(value) if isinstance(value, tuple) else [value]


def told(row, owner):
    return {name: row[name][1] if name in row else None for name in FEATURES[owner]}


def check_rows(data_dir, spec, expected):
    """Every new feature of every row; returns how many rows were compared."""
    compared = 0
    for split in spec.counts["rows"]:
        rows = rows_of(data_dir, split)
        found = collections.defaultdict(list)
        for row in rows:
            found[row["user_id"][1][0], row["item_id"][1][0], timestamp_of(row)].append(row)
        for window in windows_of(split, expected):
            for owner in ("user", "item"):
                nodes = expected.side_features(window, owner)
                ages = expected.activity(window, owner) if spec.flags["activity_features"] else {}
                for row in rows if len(windows_of(split, expected)) == 1 else ():
                    node = row[f"{owner}_id"][1][0]
                    wanted = {n: listed(nodes[node][n]) for n in FEATURES[owner]}
                    assert told(row, owner) == wanted
                    if not spec.flags["activity_features"]:
                        assert f"{owner}_activity" not in row
                        continue
                    kind, values = row[f"{owner}_activity"]
                    assert kind == "float_list"
                    unknown = [0.0] * 4 + [-1.0, -1.0]
                    np.testing.assert_allclose(values, ages.get(node, unknown), rtol=1e-6)
                    compared += 1
            if spec.rows == "pairs":
                contexts = expected.contexts(window)
                wanted = [
                    ((*pair, rest[1]), contexts[pair], rest[0])
                    for pair, rest in expected.pair_rows(window).items()
                ]
            else:
                both = zip(
                    expected.event_rows(window), expected.event_contexts(window), strict=True
                )
                wanted = [((u, i, time), context, labels) for (u, i, labels, time), context in both]
            negatives = dict.fromkeys(expected.users, 0)
            if spec.rows == "pairs":
                touched, items = expected.touched(window), expected.window_items(window)
                for user in negatives:
                    left = len(items - {i for u, i in touched if u == user})
                    negatives[user] = min(spec.flags["negatives"], left)
            check_contexts(found, wanted, negatives)
    return compared


def check_contexts(found, wanted, negatives):
    """Every row has the context of its own line, and a negative that of its pair.

    Args:
      found: rows by user, item and time.
      wanted: ((user, item, time), context, labels) of a window.
      negatives: by user, how many a pair has.
    """
    contexts = collections.defaultdict(collections.Counter)
    for (user, item, time), context, labels in wanted:
        context = {name: listed(value) for name, value in context.items()}
        mine = [r for r in found[user, item, time] if told(r, "context") == context]
        assert any(labels_with(r) == labels for r in mine), (user, item, time, context)
        contexts[user, time][repr(context)] += 1 + negatives[user]
    counted = collections.defaultdict(collections.Counter)
    for (user, _, time), rows in found.items():
        for row in rows:
            counted[user, time][repr(told(row, "context"))] += 1
    for key, of_key in contexts.items():
        assert counted[key] == of_key


def labels_with(row):
    labels = [row.get(f"label_{task}") for task in TASKS]
    return tuple(None if label is None else int(label[1][0]) for label in labels)


def check_spec(data_dir, spec, expected):
    for owner, names in FEATURES.items():
        for name in names:
            feature = spec.feature(name)
            assert feature.owner == owner
            if feature.role == "numeric":
                check_transform(feature.transform, expected.numbers(owner, name), TRANSFORMS[name])
                assert (feature.optional, feature.missing) == (True, "nan")
                continue
            ids = expected.ids_of(owner, name)
            entry = spec.vocabulary(name)
            found = vocabulary.read_ids(str(data_dir), spec, name).tolist()
            assert found == expected.vocabulary_of(ids)
            for window, known in enumerate(entry.known, 1):
                lines = [expected.lines[n] for n in expected.before(window)]
                assert known == len({value for line in lines for value in ids(line)})
            counts = np.load(f"{data_dir}/vocabulary/{name}_counts.npy")
            lines = [expected.lines[n] for n in expected.before(expected.num_windows - 2)]
            seen = collections.Counter(value for line in lines for value in ids(line))
            assert dict(zip(found, counts.tolist(), strict=False)) == dict(seen)
            longest = max(len(ids(line)) for line in expected.lines)
            assert feature.length == (longest if feature.ragged else None)
    lists = {f.name for f in spec.features if f.role == "side" and f.ragged}
    assert lists == {"clubs", "tags", "topics"}


def check_transform(transform, values, kind):
    """`values` are raw, NaN where there is none."""
    known = np.array([value for value in values if not math.isnan(value)])
    known = np.sign(known) * np.log1p(np.abs(known)) if kind == "log" else known
    assert transform.kind == kind
    assert transform.has_missing == (len(known) < len(values))
    if kind == "none":
        assert (transform.mean, transform.deviation) == ((0.0,), (1.0,))
        return
    np.testing.assert_allclose(transform.mean, known.mean(), rtol=1e-9)
    np.testing.assert_allclose(transform.deviation, known.std() or 1.0, rtol=1e-9)


def check_graphs(data_dir, spec, expected):
    """The columns of `graph/` by their names."""
    for window in range(1, expected.num_windows + 1):
        folder = f"{data_dir}/graph/{window if window < expected.num_windows else 'latest'}"
        for owner, nodes in (("user", expected.users), ("item", expected.items)):
            features = expected.side_features(window, owner)
            known = expected.known(lambda line, owner=owner: getattr(line, owner), window)
            for name in FEATURES[owner]:
                feature = spec.feature(name)
                wanted = [features[node][name] for node in nodes[:known]]
                if feature.role == "numeric":
                    values = np.load(f"{folder}/{name}.npy")
                    assert values.dtype == np.float32
                    np.testing.assert_array_equal(values, np.float32(wanted))
                    continue
                ids = [*vocabulary.read_ids(str(data_dir), spec, name).tolist(), None]
                if not feature.ragged:
                    rows = np.load(f"{folder}/{name}.npy")
                    assert [ids[row] for row in rows] == wanted
                    continue
                arrays = np.load(f"{folder}/{name}.npz")
                assert set(arrays) == {"indptr", "rows"}
                lists = np.split([ids[row] for row in arrays["rows"]], arrays["indptr"][1:-1])
                assert [tuple(v.tolist()) for v in lists] == wanted


@pytest.mark.parametrize("layout", ["example", "request"])
def test_pairs_by_time(tmp_path, layout):
    lines = with_features(random_lines(0), 0)
    spec, expected = make(lines, tmp_path, record_layout=layout, activity_features=True)
    check_spec(tmp_path, spec, expected)
    check_graphs(tmp_path, spec, expected)
    assert check_rows(tmp_path, spec, expected) > 500
    for owner in ("user", "item"):
        feature = spec.feature(f"{owner}_activity")
        values = []
        for window in range(expected.num_windows - 2):
            found = expected.activity(window, owner)
            for n in expected.order:
                if expected.window[n] == window:
                    node = getattr(expected.lines[n], owner)
                    values.append(np.float32(found.get(node, [0.0] * 4 + [-1.0] * 2)))
        np.testing.assert_allclose(feature.transform.mean, np.mean(values, axis=0), rtol=1e-5)
        np.testing.assert_allclose(feature.transform.deviation, np.std(values, axis=0), rtol=1e-5)
        assert not feature.transform.has_missing


def test_train_rows_of_each_window_read_their_own_cut(tmp_path):
    # One training window, so that every row's cut is known.
    lines = with_features(random_lines(1, bytes_ids=True, clock=40), 1)
    spec, expected = make(lines, tmp_path, cuts=(0.4, 0.6, 0.8), activity_features=True)
    rows = sum(spec.counts["rows"].values())
    assert check_rows(tmp_path, spec, expected) == 2 * rows


def test_exposures_by_event(tmp_path):
    lines = with_features(random_lines(4, exposures=True, unlabeled=True), 4)
    spec, expected = make(lines, tmp_path, cuts=(0.4, 0.6, 0.8))
    assert spec.rows == "exposures"
    check_rows(tmp_path, spec, expected)


def test_order_without_a_clock(tmp_path):
    lines = with_features(random_lines(6, clock=None), 6)
    spec, expected = make(lines, tmp_path, cuts=(0.4, 0.7, 0.85), rows="events")
    check_spec(tmp_path, spec, expected)
    check_rows(tmp_path, spec, expected)


def test_layouts_hold_the_same_rows_and_the_same_spec(tmp_path):
    lines = with_features(random_lines(2), 2)
    specs = {
        layout: make(lines, tmp_path / layout, record_layout=layout, activity_features=True)[0]
        for layout in ("example", "request")
    }
    assert specs["example"].features == specs["request"].features
    for split in specs["example"].counts["rows"]:
        example, request = (
            collections.Counter(repr(sorted(row.items())) for row in rows_of(tmp_path / n, split))
            for n in specs
        )
        assert example == request


@pytest.mark.parametrize("layout", ["example", "request"])
def test_readers_give_what_is_missing(tmp_path, layout):
    """`open_examples` reads every feature, and NaN where a record has no number."""
    lines = with_features(random_lines(3), 3)
    spec, _ = make(lines, tmp_path, record_layout=layout, activity_features=True)
    names = {f.name for f in spec.input_features}
    examples = open_examples(str(tmp_path), spec, ["test"], names)
    (batch,) = examples.ordered_batches(10_000, encode=dict).as_numpy_iterator()
    assert set(batch) - {"user_row"} == names | {f"label_{task}" for task in TASKS}
    users = batch.get("user_row", np.arange(len(batch["item_id"])))
    rows = collections.Counter(
        (
            batch["user_id"][users[n]], batch["item_id"][n], repr(batch["income"][users[n]]),
            repr(batch["position"][n]), batch["hour"][n],
            tuple(batch["tags"][n][batch["tags"][n] != b""]),
        )
        for n in range(len(batch["item_id"]))
    )  # fmt: skip
    wanted = collections.Counter(
        (
            row["user_id"][1][0], row["item_id"][1][0],
            *(repr(np.float32(row[n][1][0] if n in row else math.nan)) for n in ("income",
                                                                                 "position")),
            row["hour"][1][0], tuple(row["tags"][1]),
        )
        for row in rows_of(tmp_path, "test")
    )  # fmt: skip
    assert rows == wanted
    assert np.isnan(batch["position"]).any()
    assert (batch["hour"] == UNKNOWN_INT64).any()


def test_bytes_do_not_depend_on_the_number_of_workers(tmp_path):
    lines = with_features(random_lines(9), 9)
    for layout in ("example", "request"):
        for workers in (1, 3):
            make(
                lines, tmp_path / f"{layout}{workers}", record_layout=layout, num_workers=workers,
                activity_features=True,
            )  # fmt: skip
        one, three = tmp_path / f"{layout}1", tmp_path / f"{layout}3"
        for folder in ("examples", "graph", "vocabulary"):
            for name in filesystem.files_below(str(one / folder)):
                paths = [folder_of / folder / name for folder_of in (one, three)]
                assert paths[0].read_bytes() == paths[1].read_bytes(), name


def test_features_of_a_record_are_in_the_order_of_the_spec(tmp_path):
    lines = with_features(random_lines(0), 0)
    spec, _ = make(lines, tmp_path, activity_features=True)
    order = {f.name: n for n, f in enumerate(spec.input_features)}
    record = first_examples(str(tmp_path), "test", 1).numpy()[0]
    places = {name: record.index(b"\n%c%s\x12" % (len(name), name.encode())) for name in order
              if b"\n%c%s\x12" % (len(name), name.encode()) in record}  # fmt: skip
    assert sorted(places, key=places.__getitem__) == sorted(places, key=order.__getitem__)
    assert len(places) > len(order) - 4


def test_activity_needs_cuts_that_are_times(tmp_path):
    for split, clock in (("order", 90), ("random", 90), ("order", None)):
        with pytest.raises(ValueError, match=f"--activity_features: .* got --split={split}"):
            make(random_lines(0, clock=clock), tmp_path, split=split, activity_features=True)


def test_features_of_different_owners_need_names_of_their_own(tmp_path):
    lines = [
        dataclasses.replace(line, context_features=(("category_id", b"x"),))
        for line in random_lines(0)
    ]
    with pytest.raises(ValueError, match=r"names of their own, got \['category_id'\] twice"):
        write_log(event_log(lines), PreparationOptions(**SMALL), str(tmp_path))
