"""What all models that walk the whole graph have in common."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from scipy import sparse

from input_pipeline.graph.merging_matrix import box_cox
from mgoe_tf.models.baselines.graph_model import GraphModel, graph_lookup
from mgoe_tf.models.graph_assets import graph_assets, read_graphs
from mgoe_tf.models.registry import MODELS, build_model
from tests.encoded_rows import as_tensors, make_spec, random_features, randomize
from tests.model_assets import assets_of, random_graph
from tests.model_options import OPTIONS

SPEC = make_spec()
NAMES = sorted(name for name, one in MODELS.items() if issubclass(one, GraphModel))
CUTS = len(SPEC.cuts) + 1


@pytest.fixture(params=NAMES)
def model(request) -> GraphModel:
    tf.keras.utils.set_random_seed(1)
    name = request.param
    made = build_model(name, SPEC, OPTIONS[name], assets_of(name, SPEC))
    randomize(made, scale=0.5)
    return made


def features_of(size: int, seed: int = 0, **given) -> dict[str, tf.Tensor]:
    found = random_features(SPEC, size, seed)
    for name, value in given.items():
        found[name] = np.broadcast_to(np.asarray(value, found[name].dtype), [size])
    return as_tensors(found)


def graph_sums(model, features, **how) -> dict[str, np.ndarray]:
    sums = model.sums(model.bags(features), **how)
    return {owner: sums[graph_lookup(owner)].numpy() for owner in ("user", "item")}


def test_vectors_are_the_same_in_training_evaluation_and_service(model):
    features = features_of(60)
    expected = graph_sums(model, features)
    assert all(np.abs(vectors).sum() > 0 for vectors in expected.values())
    for found in (
        graph_sums(model, features, training=True),
        graph_sums(model, features, served=True),
    ):
        for owner, vectors in expected.items():
            np.testing.assert_allclose(found[owner], vectors, rtol=1e-4, atol=1e-5)
    variables = model.precompute()
    assert len(variables) == 2
    assert {id(variable) for variable in variables}.isdisjoint(map(id, model.variables))
    for owner, vectors in graph_sums(model, features, served=True).items():
        np.testing.assert_allclose(vectors, expected[owner], rtol=1e-4, atol=1e-5)


def test_service_reads_what_was_computed_once(model):
    features = features_of(10)
    model.precompute()
    before = graph_sums(model, features, served=True)
    for table in model.embeddings.variables:
        table.assign(2 * table)
    for owner, vectors in graph_sums(model, features, served=True).items():
        np.testing.assert_array_equal(vectors, before[owner])
        assert not np.allclose(vectors, graph_sums(model, features)[owner])


def test_nodes_without_a_graph_are_all_the_same(model):
    places = ("user_graph_cut", "item_graph_cut", "user_graph_node", "item_graph_node")
    for none in (
        dict.fromkeys(places, 0),
        {"user_graph_cut": CUTS + 1, "item_graph_cut": CUTS + 1},
        {"user_graph_node": 10, "item_graph_node": 12},  # the graphs have 9 and 11
    ):
        for owner, vectors in graph_sums(model, features_of(8, **none)).items():
            expected = graph_sums(model, model.zero_features(1))[owner]
            np.testing.assert_allclose(vectors, np.repeat(expected, 8, axis=0), atol=1e-6)


def test_each_row_reads_the_graph_of_its_own_cut(model):
    """A batch of several cuts gives what one of each cut gives, and cuts differ."""
    features = features_of(40)
    whole = graph_sums(model, features)
    for owner in ("user", "item"):
        cuts, nodes = (features[f"{owner}_graph_{what}"].numpy() for what in ("cut", "node"))
        for cut in range(1, CUTS + 1):
            rows = np.flatnonzero((cuts == cut) & (nodes > 0))
            assert len(rows)
            alone = {key: tf.gather(value, rows) for key, value in features.items()}
            found = graph_sums(model, alone)[owner]
            np.testing.assert_allclose(found, whole[owner][rows], rtol=1e-4, atol=1e-5)
    same = {"user_graph_node": 3, "item_graph_node": 4}
    by_cut = [
        graph_sums(model, features_of(1, user_graph_cut=cut, item_graph_cut=cut, **same))
        for cut in range(1, CUTS + 1)
    ]
    assert all(not np.allclose(by_cut[0][o], by_cut[1][o]) for o in ("user", "item"))


def test_a_node_of_the_graph_that_training_did_not_know_has_its_neighbours(model):
    """Vectors follow the node and not the embedding row."""
    features = features_of(5, user_graph_cut=2, user_graph_node=4)
    for other in (features_of(5, user_graph_cut=2, user_graph_node=4, user_id=0), features):
        np.testing.assert_allclose(
            graph_sums(model, other)["user"], graph_sums(model, features)["user"], atol=1e-6
        )
    assert np.abs(graph_sums(model, features)["user"]).sum() > 0


def test_one_gradient_a_table_of_the_rows_that_the_batch_reaches(model):
    # nothing of a graph: the rows of the batch alone
    features = features_of(4, user_graph_cut=0, item_graph_cut=0, user_id=[1, 1, 3, 7])
    with tf.GradientTape() as tape:
        total = tf.add_n([tf.reduce_sum(x) for x in model(features, training=True).values()])
    gradient = tape.gradient(total, model.embeddings.tables["user_id"])
    # and what stands for all nodes without a graph, where anything does
    assert [row for row in gradient.indices.numpy() if row] == [1, 3, 7]


def test_a_data_set_that_does_not_tell_graphs_is_refused(model):
    name = next(n for n in NAMES if MODELS[n] is type(model))
    old = dataclasses.replace(
        SPEC, features=tuple(f for f in SPEC.features if f.role != "graph_node")
    )
    message = r"lacks \['user_graph_node', 'item_graph_node'\]. Prepare it anew"
    with pytest.raises(ValueError, match=message):
        build_model(name, old, OPTIONS[name], assets_of(name, old))


def test_assets_are_read_as_ranks_and_embedding_rows(tmp_path):
    names = graph_assets(SPEC)
    assert names == (
        *(f"graph/{cut}/merging_matrix.npz" for cut in (1, 2, 3, "latest")),
        *(f"vocabulary/{owner}_id_counts.npy" for owner in ("user", "item")),
    )
    paths = assets_of(NAMES[0], SPEC)
    # of ten users seven were seen twice; the graphs have nine nodes, of which two are rare
    counts = np.array([2, 1, 2, 2, 2, 1, 2, 2, 2, 9, 8])
    np.save(tmp_path / "counts.npy", counts)
    spec = dataclasses.replace(SPEC, flags={"min_count": 2, "beta": 1.0})
    given = {**paths, names[-2]: str(tmp_path / "counts.npy")}
    np.save(tmp_path / "items.npy", np.full(11, 2))
    given[names[-1]] = str(tmp_path / "items.npy")
    graphs = read_graphs(spec, given)
    for graph in graphs:
        assert graph.rows["user"].tolist() == [1, 0, 2, 3, 4, 0, 5, 6, 7]
        assert graph.rows["item"].tolist() == list(range(1, 12))
    expected = random_graph(SPEC, 2)
    np.testing.assert_array_equal(graphs[1].ranks.toarray(), expected.toarray())
    with pytest.raises(ValueError, match=r"counts.npy: must be of 9 embedded ids, got 11"):
        read_graphs(SPEC, given)


@pytest.mark.parametrize("beta", [0.0, 0.5, -2.0])
def test_ranks_are_read_back_from_scores_of_any_beta(beta, tmp_path):
    paths = assets_of(NAMES[0], SPEC)
    expected = [graph.ranks.toarray() for graph in read_graphs(SPEC, paths)]
    for number, name in enumerate(graph_assets(SPEC)[:CUTS]):
        scores = sparse.load_npz(paths[name])
        scores.data = box_cox(scores.data, beta)
        paths[name] = str(tmp_path / f"{number}.npz")
        sparse.save_npz(paths[name], scores)
    spec = dataclasses.replace(SPEC, flags={"min_count": 1, "beta": beta})
    for graph, ranks in zip(read_graphs(spec, paths), expected, strict=True):
        np.testing.assert_array_equal(graph.ranks.toarray(), ranks)
