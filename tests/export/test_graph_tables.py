"""What the model knows of every node, against the features and lookups of that node alone."""

import numpy as np
import pytest
import tensorflow as tf

from export.client.snapshot import GraphSnapshot
from export.graph_tables import GraphTables, table_bytes
from mgoe_tf.training import checkpoints


@pytest.fixture(scope="module", params=["mgoe", "mmoe"])
def tables(request, run):
    loaded = checkpoints.load_model(run.model_dirs[request.param])
    snapshot = GraphSnapshot(run.data_dir)
    made = {
        owner: GraphTables(snapshot=snapshot, owner=owner, model=loaded.model, lookup=loaded.lookup)
        for owner in ("user", "item")
    }
    return made, loaded, snapshot


IDS = {"user": np.array([b"u3", b"nobody", b"u1"], object), "item": np.array([7, -1, 2**50, 21])}


@pytest.mark.parametrize("owner", ["user", "item"])
def test_a_row_holds_what_the_node_is_embedded_to(tables, owner):
    made, loaded, snapshot = tables
    ids = IDS[owner]
    features, sums = made[owner](tf.constant(ids))
    names = loaded.model.feature_names
    raw = snapshot.features(owner, ids, names)
    encoded = loaded.lookup.encode({name: tf.constant(value) for name, value in raw.items()})
    for name, value in features.items():
        np.testing.assert_allclose(value, encoded[name], err_msg=name)
        assert value.dtype == encoded[name].dtype
    bags = loaded.model.bags({**loaded.model.zero_features(), **encoded})
    expected = loaded.model.sums(bags)
    columns = {v.name: v.owner for v in snapshot.spec.vocabularies}
    wanted = {column for column, of in columns.items() if of == owner}
    if loaded.train_options.model == "mgoe":
        wanted |= {f"{owner}_neighbors/{column}" for column, of in columns.items() if of != owner}
        assert features
    assert set(sums) == wanted
    for name, value in sums.items():
        # Lists of neighbours of this owner: [T * B, D], by task, as the model has them.
        np.testing.assert_allclose(value, expected[name], atol=1e-6)


def test_the_size_is_known_before_the_tables_are_made(tables):
    made, loaded, snapshot = tables
    sizes = {name: size for table in made.values() for name, size in table.size_bytes.items()}
    assert set(sizes) == {"user features", "item features"}
    assert table_bytes(snapshot, loaded.model) == sizes


@pytest.mark.parametrize("table_dtype", ["float32", "int8"])
def test_states_are_those_of_the_network_and_their_size_is_known(tables, table_dtype):
    _, loaded, snapshot = tables
    network = loaded.model.node_network()
    sizes = {}
    for owner, ids in IDS.items():
        made = GraphTables(
            snapshot=snapshot,
            owner=owner,
            model=loaded.model,
            lookup=loaded.lookup,
            network=network,
            table_dtype=table_dtype,
        )
        sizes |= made.size_bytes
        found = made.states(tf.constant(ids))
        raw = snapshot.features(owner, ids, loaded.model.feature_names)
        encoded = loaded.lookup.encode({name: tf.constant(value) for name, value in raw.items()})
        sums = loaded.model.sums(loaded.model.bags(encoded, owners=(owner,)))
        expected = network.state(owner, encoded, sums)
        assert set(found) == set(expected)
        # of int8 half of a step of columns up to 7 wide
        atol = {"float32": 1e-6, "int8": 0.5 * 7 / 255}[table_dtype]
        for name, value in found.items():
            by_node = np.moveaxis(value, 0, 1) if name in network.by_task else value
            np.testing.assert_allclose(by_node, expected[name], atol=atol, err_msg=name)
    assert table_bytes(snapshot, loaded.model, network, table_dtype) == sizes
    # only a model that explains itself has its inputs beside its states
    assert ("user features" in sizes) is loaded.model.explains
