"""Golden tests: LightGCN as a special case, classes that are a partition, the authors' numbers."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from scipy import sparse

from input_pipeline.graph.merging_matrix import ranks
from mgoe_tf.layers.light_propagation import LightPropagation
from mgoe_tf.models.baselines.pogcn import POGCN, POGCNOptions, edge_weights
from mgoe_tf.models.registry import build_model
from tests import reference
from tests.encoded_rows import as_tensors, make_spec, node_vectors, random_features, randomize
from tests.mgoe_tf.layers.test_light_propagation import adjacency
from tests.mgoe_tf.layers.test_prediction_towers import layers_of as tower_of
from tests.model_assets import assets_of
from tests.model_options import OPTIONS

LAYERS = OPTIONS["pogcn"].graph_layers


def make(**options) -> POGCN:
    changed = POGCNOptions(**{**vars(OPTIONS["pogcn"]), **options})
    model = build_model("pogcn", make_spec(), changed, assets_of("pogcn", make_spec()))
    randomize(model, scale=0.5)
    return model


def propagated(model: POGCN, cut: int, weights: sparse.csr_matrix) -> dict[str, np.ndarray]:
    """E^1 + ... + E^L of all nodes of a cut, from dense matrices."""
    whole, graph = adjacency(weights), model.graphs[cut - 1]
    tables = {o: model.embeddings.tables[f"{o}_id"].numpy() for o in ("user", "item")}
    start = np.concatenate([tables[o][graph.rows[o]] for o in ("user", "item")])
    sums = sum(np.linalg.matrix_power(whole, n) @ start for n in range(1, LAYERS + 1))
    return dict(zip(("user", "item"), np.split(sums, [weights.shape[0]]), strict=True))


def test_equals_reference():
    model = make()
    spec, features = model.spec, random_features(model.spec, 9)
    tables = {name: table.numpy() for name, table in model.embeddings.tables.items()}
    expected = np.zeros((9, 3))
    for row in range(9):
        x, z = node_vectors(spec, tables, features, row), {}
        for owner in ("user", "item"):
            cut, node = (features[f"{owner}_graph_{what}"][row] for what in ("cut", "node"))
            z[owner] = tables[f"{owner}_id"][features[f"{owner}_id"][row]]
            if cut and node:
                neighbors = propagated(model, cut, model.graphs[cut - 1].ranks)
                z[owner] = z[owner] + neighbors[owner][node - 1]
            z[owner] = z[owner] / (LAYERS + 1)
            x[owner] = np.concatenate([z[owner], x[owner][len(z[owner]) :]])
        whole = np.concatenate([*x.values(), z["user"] * z["item"]])
        for task in range(3):
            expected[row, task] = reference.tower(whole, tower_of(model.towers, task))
    logits = model(as_tensors(features))
    found = np.stack([logits[task] for task in spec.task_names], axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_level_0_is_lightgcn_over_pairs_that_have_anything():
    model = make(rank_level=0.0)
    for cut, graph in enumerate(model.graphs, start=1):
        plain = graph.ranks.astype(bool).astype(float)
        expected = propagated(model, cut, plain)
        found = model.propagated(cut - 1, model.embed_rows)
        for owner, vectors in expected.items():
            np.testing.assert_allclose(
                found[owner], vectors / (LAYERS + 1), rtol=1e-4, atol=1e-5, err_msg=f"{owner} {cut}"
            )


@pytest.mark.parametrize("level", [0.0, 1.0, 2.5])
def test_one_behaviour_is_lightgcn_whatever_the_level(level):
    np.testing.assert_array_equal(edge_weights(np.ones(4, int), [1], level), np.ones(4))


def all_sets(num_tasks: int) -> np.ndarray:
    return np.arange(1, 2**num_tasks, dtype=np.uint32)


@pytest.mark.parametrize("levels", [[1, 2, 3], [1, 2, 2, 3], [1, 1], [2, 1, 1, 2]])
def test_classes_are_a_partition_in_the_order_of_importance(levels):
    sets = all_sets(len(levels))
    weights = edge_weights(ranks(sets, levels), levels, 1.0)
    by_level = sorted(set(levels), reverse=True)

    def importance(behaviors) -> tuple[int, ...]:
        return tuple(
            sum(behaviors >> task & 1 for task, level in enumerate(levels) if level == one)
            for one in by_level
        )

    # as many classes as there are counts by level, from 1 without gaps, more important ones more
    classes = {importance(int(one)): weight for one, weight in zip(sets, weights, strict=True)}
    assert sorted(classes.values()) == list(range(1, len(classes) + 1))
    for one, other in itertools.combinations(classes, 2):
        assert (one > other) == (classes[one] > classes[other])
    for one, weight in zip(sets, weights, strict=True):
        assert classes[importance(int(one))] == weight


def test_above_the_lowest_level_a_click_more_is_no_matter():
    # click < {fav, cart} < buy: sets of click, fav, cart, buy as bits
    levels = [1, 2, 2, 3]
    sets = np.array([0b0001, 0b0010, 0b0011, 0b0101, 0b0111, 0b1000, 0b1001, 0b1111], np.uint32)
    weights = edge_weights(ranks(sets, levels), levels, 1.0, "above_lowest")
    assert weights.tolist() == [1, 2, 2, 2, 3, 4, 4, 6]
    assert edge_weights(ranks(sets, levels), levels, 2.0, "above_lowest").tolist()[-1] == 36


def test_vectors_of_the_authors_code():
    """Mean over the layers of 5 users and 6 items, click < cart < buy, of formulas for weights.

    Made by running `POGCN.computer` on the graph of `Loader`, of Wings236/POGCN at bda39ed, with
    level 1, 3 layers and width 4, under PyTorch 2.13.0; all who did anything have clicked.
    """
    users, items, width = 5, 6, 4
    u, i = np.meshgrid(np.arange(users), np.arange(items), indexing="ij")
    behaviors = (3 * u + 5 * i + u * i) % 8
    behaviors = np.where(behaviors > 0, behaviors | 1, 0).astype(np.uint32)
    levels = [1, 2, 3]
    weights = np.zeros((users, items))
    done = behaviors > 0
    weights[done] = edge_weights(ranks(behaviors[done], levels), levels, 1.0, "above_lowest")
    start = (
        np.sin(np.arange(users * width) + 1.0).reshape(users, width).astype(np.float32),
        np.cos(np.arange(items * width) + 1.0).reshape(items, width).astype(np.float32),
    )
    sums = LightPropagation(sparse.csr_matrix(weights), 3)(*map(tf.constant, start))
    expected = (
        [
            [0.23067237, 0.29377982, 0.08678747, -0.19999689],
            [-0.27671137, -0.14451903, 0.12054343, 0.2747788],
            [0.10451746, -0.18467964, -0.3040831, -0.14391398],
            [0.09231192, 0.21444525, 0.1394186, -0.06378885],
            [-0.23481938, -0.27653506, -0.06400567, 0.20737024],
        ],
        [
            [0.06684292, -0.21396291, -0.29805222, -0.10811371],
            [0.07802981, 0.23511204, 0.17603336, -0.04488958],
            [-0.3183125, -0.2826539, 0.0128754, 0.29656708],
            [0.18385573, 0.02726601, -0.15439194, -0.19410266],
            [-0.02972742, 0.23201887, 0.28044805, 0.07103461],
            [-0.1464779, -0.23553434, -0.10804159, 0.11878409],
        ],
    )
    for own, neighbors, vectors in zip(start, sums, expected, strict=True):
        np.testing.assert_allclose((own + neighbors) / 4, vectors, atol=1e-6)


def test_nodes_that_did_nothing_are_in_no_gradient(tmp_path):
    """Users 0 and 3 and item 1 were shown something, or shown, and no more."""
    paths = assets_of("pogcn", make_spec())
    for name in [name for name in paths if name.startswith("graph")]:
        matrix = sparse.load_npz(paths[name]).tolil()
        matrix[[0, 3]], matrix[:, 1] = 0, 0
        paths[name] = str(tmp_path / name.replace("/", "-"))
        sparse.save_npz(paths[name], sparse.csr_matrix(matrix))
    model = build_model("pogcn", make_spec(), OPTIONS["pogcn"], paths)
    randomize(model)
    features = random_features(model.spec, 6)
    for owner in ("user", "item"):
        features[f"{owner}_graph_cut"][:] = 2
        features[f"{owner}_id"][:] = 7
        features[f"{owner}_graph_node"][:] = 7
    features["user_graph_node"][:2] = 1  # user 0
    with tf.GradientTape() as tape:
        logits = model(as_tensors(features), training=True)
        total = tf.add_n([tf.reduce_sum(logit) for logit in logits.values()])
    tables = [model.embeddings.tables[name] for name in ("user_id", "item_id")]
    users, items = (gradient.indices.numpy() for gradient in tape.gradient(total, tables))
    assert set(users) == set(range(1, 10)) - {1, 4}
    assert set(items) <= set(range(1, 12)) - {2}
    for task, logit in model(as_tensors(features)).items():
        np.testing.assert_allclose(logits[task], logit, rtol=1e-4, atol=1e-5)


def test_explains_what_the_graph_says():
    model = make()
    features = as_tensors(random_features(model.spec, 7))
    inputs = model.embed(features)
    explained = {name: value.numpy() for name, value in model.explain(inputs).items()}
    sums = {name: value.numpy() for name, value in model.sums(model.bags(features)).items()}
    own = [sums[f"{owner}_id"] / (LAYERS + 1) for owner in ("user", "item")]
    neighbors = [sums[f"{owner}_graph"] for owner in ("user", "item")]
    z = [one + other for one, other in zip(own, neighbors, strict=True)]
    np.testing.assert_allclose(explained["affinity"], np.sum(z[0] * z[1], axis=1), rtol=1e-4)
    of_ids = np.sum(own[0] * own[1], axis=1)
    np.testing.assert_allclose(explained["affinity_of_ids"], of_ids, rtol=1e-4)
    for owner, one, other in zip(("user", "item"), own, neighbors, strict=True):
        lengths = np.linalg.norm(other, axis=1), np.linalg.norm(one, axis=1)
        share = explained[f"from_neighbors_{owner}"]
        np.testing.assert_allclose(share, lengths[0] / sum(lengths), rtol=1e-4)
        assert share[0] == 0.0  # of row 0 no graph knows anything
        assert share.max() > 0.1


def test_bpr_is_of_drawn_pairs():
    """By z that is worked out from dense matrices, of the pairs that the layer says it drew."""
    model = make(bpr_weight=0.5, rank_level=0.0)
    assert model.penalty_names == ("bpr",)
    features = as_tensors(random_features(model.spec, 40))
    drawn, draw = [], model.pair_draws.call
    model.pair_draws.call = lambda items: drawn.append(draw(items)) or drawn[-1]
    inputs = model.embed(features, training=True)
    logits, penalties = model.network_and_penalties(inputs, training=True)
    whole = {"user": [np.zeros((1, 3))], "item": [np.zeros((1, 3))]}
    for cut, graph in enumerate(model.graphs, start=1):
        vectors = propagated(model, cut, graph.ranks.astype(bool).astype(float))
        for owner, table in (("user", "user_id"), ("item", "item_id")):
            own = model.embeddings.tables[table].numpy()[graph.rows[owner]]
            whole[owner].append((own + vectors[owner]) / (LAYERS + 1))
    z = {owner: np.concatenate(parts) for owner, parts in whole.items()}
    users, positives, negatives, valid = (part.numpy() for part in drawn[0])
    assert 20 < valid.sum() < 40  # row 0 has no graph
    margins = np.sum(z["user"][users] * (z["item"][positives] - z["item"][negatives]), axis=1)
    expected = 0.5 * np.sum(np.log1p(np.exp(-margins[valid]))) / 40
    assert float(penalties["bpr"]) == pytest.approx(expected, rel=1e-3)
    # What was drawn beside changes no logit, and without training nothing is drawn.
    plain = model(features)
    for task, logit in plain.items():
        np.testing.assert_allclose(logits[task], logit, rtol=1e-3, atol=1e-4)
    assert len(drawn) == 1
    assert model.network_and_penalties(model.embed(features))[1] == {}


def test_bpr_alone_ranks_what_was_done_first():
    """Steps of the penalty alone raise z_u . z_i of pairs above that of others."""
    model = make(bpr_weight=1.0)
    features = as_tensors(random_features(model.spec, 64))
    tables = [model.embeddings.tables[name] for name in ("user_id", "item_id")]
    optimizer = tf.keras.optimizers.Adam(0.05)

    def step() -> float:
        with tf.GradientTape() as tape:
            inputs = model.embed(features, training=True)
            loss = model.network_and_penalties(inputs, training=True)[1]["bpr"]
        gradients = tape.gradient(loss, tables)
        optimizer.apply_gradients(zip(gradients, tables, strict=True))
        return float(loss)

    losses = [step() for _ in range(25)]
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bpr_weight": -0.5}, "--bpr_weight: must be at least 0, got -0.5"),
        ({"graph_layers": 0}, "--graph_layers: must be at least 1, got 0"),
        ({"rank_level": -1.0}, "--rank_level: must be at least 0, got -1.0"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        POGCNOptions(**options)
