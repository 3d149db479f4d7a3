"""Features of nodes as Parquet and in a Redis server: every answer as the export's own graph's."""

import dataclasses
import json
import subprocess
import sys
import threading

import numpy as np
import pyarrow.parquet
import pytest
import tensorflow as tf

from export import feature_loading, features
from export.client import Input
from export.client.feature_store import ByStore, FeatureStore, StoreError, StoreKeys
from export.client.ranking import rank
from export.client.snapshot import GraphSnapshot
from export.features import FeatureOptions, write
from tests.redis_server import redis_server


@pytest.fixture(scope="module")
def url():
    with redis_server() as found:
        yield found


@pytest.fixture(scope="module")
def filled(url, run):
    options = FeatureOptions(data_dir=run.data_dir, format="redis", redis_url=url)
    assert write(options).nodes["user"] > 0
    return FeatureStore(url, "mgoe", timeout_seconds=10)


def served(path):
    signatures = tf.saved_model.load(path).signatures

    def ask(inputs, name):
        outputs = signatures[name](**{key: tf.constant(value) for key, value in inputs.items()})
        return {key: value.numpy() for key, value in outputs.items()}

    return ask


def wanted_of(loaded):
    """The inputs of `rank` as a server tells them."""
    found = {}
    for name in loaded.model.feature_names:
        feature = loaded.spec.feature(name)
        of_one = Input.of(feature)
        listed = feature.owner == "item"
        found[name] = Input(of_one.dtype, (-1, -1, *of_one.shape[1:])) if listed else of_one
    return found


USERS = np.array([b"u3", b"u59", b"nobody"], object)
ITEMS = np.array([[0, 7, 2**40], [14, 21, 28], [-1, 0, 35]])


def test_rank_from_the_store_answers_as_rank_ids(filled, exported):
    path, loaded = exported
    ask = served(path)
    inputs = filled.rank_inputs(USERS, ITEMS, wanted_of(loaded))
    found = ask(inputs, "rank")
    expected = ask({"user_id": USERS, "item_id": ITEMS}, "rank_ids")
    assert set(found) == {"click", "buy", "score"}
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=0, atol=1e-5)


def test_it_is_what_the_data_set_has(filled, run, exported):
    snapshot, wanted = GraphSnapshot(run.data_dir), wanted_of(exported[1])
    inputs = filled.rank_inputs(USERS, ITEMS, wanted)
    for owner, ids in (("user", USERS), ("item", ITEMS.ravel())):
        for name, values in snapshot.features(owner, ids, list(wanted)).items():
            np.testing.assert_array_equal(inputs[name].reshape(values.shape), values)
            assert inputs[name].dtype == values.dtype


def test_candidates_are_ranked_from_the_store(filled, exported):
    path, loaded = exported
    ask = served(path)

    class Client:
        predict = staticmethod(ask)

    items = ITEMS[0]
    ranked = rank(Client(), ByStore(filled, wanted_of(loaded)), USERS[:1], items)
    assert sorted(ranked["item_id"].tolist()) == sorted(items.tolist())
    expected = ask({"user_id": USERS[:1], "item_id": ranked["item_id"][np.newaxis]}, "rank_ids")
    np.testing.assert_allclose(ranked["score"], expected["score"][0], atol=1e-5)


def test_a_model_of_other_data_is_refused(filled, exported):
    wanted = wanted_of(exported[1])
    with pytest.raises(ValueError, match="the model reads price, which the store does not have"):
        filled.rank_inputs(USERS, ITEMS, wanted | {"price": Input(1, (-1,))})
    with pytest.raises(
        ValueError, match=r"user_1hop with shape \[-1, 9\], the store has \[-1, 4\]"
    ):
        filled.rank_inputs(USERS, ITEMS, wanted | {"user_1hop": Input(1, (-1, 9))})


def _chunks(snapshot):
    return {owner: features.node_chunks(snapshot, owner) for owner in ("user", "item")}


def _load(url, name, snapshot, chunks):
    stored = {owner: features.stored_features(snapshot, owner) for owner in ("user", "item")}
    described = features._described(snapshot)
    return feature_loading.StoreLoader(url, name).load(described, stored, chunks)


OF_USERS = {
    "user_id": Input(7, (-1,)),
    "item_id": Input(9, (-1, -1)),
    "user_1hop": Input(1, (-1, 4)),
}


def test_half_a_load_is_never_read_and_a_new_version_is_read_whole(url, run):
    import redis

    server, keys = redis.Redis.from_url(url), StoreKeys("swapped")
    old, new = GraphSnapshot(run.data_dir, "1"), GraphSnapshot(run.data_dir)
    with pytest.raises(StoreError, match="swapped:current: there is no store of this name"):
        FeatureStore(url, "swapped").rank_inputs(USERS, ITEMS, OF_USERS)
    _load(url, "swapped", old, _chunks(old))
    first = server.get(keys.current).decode()
    store = FeatureStore(url, "swapped", timeout_seconds=10)

    def macros():
        return store.rank_inputs(known, ITEMS[[0] * len(known)], OF_USERS)["user_1hop"]

    known = np.array([*old.known_ids("user").tolist()[:4], b"u59"], object)
    before = macros()
    expected = old.features("user", known, ["user_1hop"])["user_1hop"]
    np.testing.assert_array_equal(before, expected)

    def broken():
        yield from _chunks(new)["user"]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _load(url, "swapped", new, _chunks(new) | {"user": broken()})
    assert server.get(keys.current).decode() == first
    assert len(server.smembers(keys.versions)) == 2
    np.testing.assert_array_equal(macros(), before)
    lacking = _chunks(new) | {"item": iter([next(_chunks(new)["item"])])}
    described = features._described(new)
    described["nodes"]["item"] += 1
    stored = {owner: features.stored_features(new, owner) for owner in ("user", "item")}
    with pytest.raises(StoreError, match=r"must have \d+ nodes, got \d+"):
        feature_loading.StoreLoader(url, "swapped").load(described, stored, lacking)
    np.testing.assert_array_equal(macros(), before)

    _load(url, "swapped", new, _chunks(new))
    after = macros()
    np.testing.assert_array_equal(after, new.features("user", known, ["user_1hop"])["user_1hop"])
    assert not np.array_equal(before, after)
    second = server.get(keys.current).decode()
    assert server.smembers(keys.versions) == {second.encode()}
    left = {key.decode() for key in server.keys("swapped:*")}
    assert left == {keys.current, keys.versions, *keys.of_version(second)}

    server.set(keys.loading, b"another", px=60_000)
    with pytest.raises(StoreError, match="swapped:loading: another load is under way"):
        _load(url, "swapped", new, _chunks(new))
    assert server.get(keys.loading) == b"another"
    server.delete(keys.loading)
    server.delete(keys.nodes(second, "item"))
    with pytest.raises(StoreError, match=f"version {second} has lost its nodes"):
        macros()


def test_readers_meet_no_half_version_while_versions_change(url, run):
    """Under loads one after the other every request reads all of one version."""
    old, new = GraphSnapshot(run.data_dir, "1"), GraphSnapshot(run.data_dir)
    known = np.array(old.known_ids("user").tolist()[:8], object)
    items = np.zeros((8, 1), np.int64)
    answers = [s.features("user", known, ["user_1hop"])["user_1hop"] for s in (old, new)]
    _load(url, "racing", old, _chunks(old))
    wrong, seen, stop = [], set(), threading.Event()

    def read():
        store = FeatureStore(url, "racing", timeout_seconds=20)
        while not stop.is_set():
            found = store.rank_inputs(known, items, OF_USERS)["user_1hop"]
            which = [n for n, answer in enumerate(answers) if np.array_equal(found, answer)]
            seen.update(which)
            if not which:
                wrong.append(found)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for snapshot in (new, old) * 4:
        _load(url, "racing", snapshot, _chunks(snapshot))
    stop.set()
    for reader in readers:
        reader.join()
    assert not wrong
    assert seen == {0, 1}


def test_parquet(run, tmp_path):
    output = tmp_path / "features"
    options = FeatureOptions(data_dir=run.data_dir, output=str(output))
    written = write(options)
    snapshot = GraphSnapshot(run.data_dir)
    for owner in ("user", "item"):
        table = pyarrow.parquet.read_table(output / f"{owner}.parquet")
        assert len(table) == written.nodes[owner]
        columns = [feature.name for feature in snapshot.spec.select(owner)]
        assert table.column_names == columns
        ids = snapshot.known_ids(owner)
        assert table[f"{owner}_id"].to_pylist() == list(ids.tolist())
        array = np.array(ids.tolist(), object if owner == "user" else np.int64)
        for name, values in snapshot.features(owner, array, columns).items():
            found = table[name].to_pylist()
            if values.ndim == 2:  # lists come without what filled them up
                feature = snapshot.spec.feature(name)
                padded = [row + [feature.filler] * (feature.length - len(row)) for row in found]
                np.testing.assert_array_equal(np.array(padded, values.dtype), values)
                assert feature.ragged or all(len(row) == feature.length for row in found)
            else:
                assert found == values.tolist()
    told = json.loads((output / "features.json").read_text())
    assert told["nodes"] == written.nodes
    with pytest.raises(FileExistsError, match="exists already and is never overwritten"):
        write(options)
    assert [path.name for path in tmp_path.iterdir()] == ["features"]


def test_refusals(run, monkeypatch):
    with pytest.raises(ValueError, match="--output: must be given with --format=parquet, got ''"):
        FeatureOptions(data_dir="d")
    with pytest.raises(
        ValueError, match="--output: must not be given with --format=redis, got 'o'"
    ):
        FeatureOptions(data_dir="d", format="redis", redis_url="redis://h", output="o")
    options = FeatureOptions(data_dir=run.data_dir, format="redis", redis_url="redis://127.0.0.1:1")
    pytest.importorskip("redis")
    with pytest.raises(StoreError, match=r"redis_url: the server at 127.0.0.1:1: .*refused"):
        write(options)
    with pytest.raises(ValueError, match="redis_url: Redis URL must specify one of"):
        write(dataclasses.replace(options, redis_url="http://h"))
    with pytest.raises(ValueError, match="store_name: must be a name without a colon, got 'a:b'"):
        write(dataclasses.replace(options, store_name="a:b"))
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(
        ImportError, match=r"needs the package redis.*pip install 'mgoe_tf\[redis\]'"
    ):
        write(options)


def test_the_client_needs_no_tensorflow(url):
    code = (
        "import sys; sys.modules['tensorflow'] = None; sys.modules['pyarrow'] = None\n"
        "sys.modules['mgoe_tf'] = None\n"
        "from export.client.feature_store import FeatureStore, StoreError\n"
        f"FeatureStore({url!r}, 'absent').close()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
