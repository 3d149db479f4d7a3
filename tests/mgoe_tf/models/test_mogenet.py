"""MoGENet against NumPy, and what it is without neighbours, with one channel, without a graph."""

import numpy as np
import pytest
import tensorflow as tf

from mgoe_tf.models.baselines.mogenet import CHANNELS, MoGENet, MoGENetOptions
from mgoe_tf.models.registry import build_model
from tests import reference
from tests.encoded_rows import as_tensors, make_spec, node_vectors, random_features, randomize
from tests.mgoe_tf.layers.test_mlp_experts import layers_of
from tests.mgoe_tf.layers.test_prediction_towers import layers_of as tower_of
from tests.model_assets import assets_of
from tests.model_options import OPTIONS

SPEC = make_spec()
OTHER = {"user": "item", "item": "user"}


def make(**options) -> MoGENet:
    changed = MoGENetOptions(**{**vars(OPTIONS["mogenet"]), **options})
    model = build_model("mogenet", SPEC, changed, assets_of("mogenet", SPEC))
    randomize(model, scale=0.6)
    return model


def relu(x):
    return np.maximum(x, 0.0)


class Vectors:
    """h of the nodes of a model, node by node."""

    def __init__(self, model: MoGENet) -> None:
        self.model = model
        self.tables = {
            owner: model.embeddings.tables[f"{owner}_id"].numpy() for owner in ("user", "item")
        }

    def layer(self, channel: str, layer: int, owner: str, number: int) -> np.ndarray:
        model = self.model
        if layer == 0:
            return self.tables[owner][model.nodes.rows[owner][number]]
        weights = model.attentions[channel][layer - 1][owner]
        own = self.layer(channel, layer - 1, owner, number)
        kind = OTHER[owner] if channel == "bipartite" else owner
        listed = model._neighbors._lists[channel, owner].numpy()[number]
        others = [self.layer(channel, layer - 1, kind, other) for other in listed if other]
        found = own @ weights.self_kernel.numpy()
        if others:
            a = weights.score_kernel.numpy()
            scores = np.array([a[0] @ own + a[1] @ other for other in others])
            alpha = reference.softmax(np.where(scores > 0, scores, 0.2 * scores))
            found = found + alpha @ np.array(others) @ weights.neighbor_kernel.numpy()
        return relu(found)

    def __call__(self, owner: str, number: int) -> np.ndarray:
        fusion = self.model.fusions[owner]
        channels = [
            self.layer(channel, 2, owner, number) for channel in self.model.options.graph_channels
        ]
        hidden = [np.tanh(h @ fusion.kernel.numpy() + fusion.bias.numpy()) for h in channels]
        beta = reference.softmax(np.array([(h @ fusion.score_kernel.numpy())[0] for h in hidden]))
        return beta @ np.array(channels)


def test_equals_reference():
    model = make()
    features, vectors = random_features(SPEC, 6), Vectors(model)
    tables = {name: table.numpy() for name, table in model.embeddings.tables.items()}
    bags = model.bags(as_tensors(features))
    expected = np.zeros((6, 3))
    for row in range(6):
        x = node_vectors(SPEC, tables, features, row)
        h = [vectors(owner, int(bags[f"{owner}_graph"].ids[row])) for owner in ("user", "item")]
        c = np.concatenate([*x.values(), *h])
        outputs = []
        for expert in range(3):
            gate = 1 / (1 + np.exp(-np.concatenate(h) @ model.context_gates.kernel[expert].numpy()))
            outputs.append(reference.mlp(c * gate, layers_of(model.experts, expert)))
        for task in range(3):
            weights = reference.gate(c, model.gates.kernel[task].numpy())
            mixed = reference.mixture(weights, outputs)
            expected[row, task] = reference.tower(mixed, tower_of(model.towers, task))
    logits = model(as_tensors(features))
    found = np.stack([logits[task] for task in SPEC.task_names], axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_neighbours_are_those_of_the_graph():
    model = make()
    for graph, known in enumerate(model.graphs):
        done = known.ranks.toarray() > 0
        starts = {owner: model.nodes.starts[owner][graph] for owner in ("user", "item")}
        for owner, rows in (("user", done), ("item", done.T)):
            for node, row in enumerate(rows):
                listed = model._neighbors._lists["bipartite", owner].numpy()[starts[owner] + node]
                others = listed[listed > 0] - starts[OTHER[owner]]
                assert len(set(others)) == min(4, row.sum())
                assert row[others].all()
                listed = model._neighbors._lists["similarity", owner].numpy()[starts[owner] + node]
                similar = listed[listed > 0] - starts[owner]
                shares = (rows & row).any(axis=1)
                assert len(set(similar)) == min(4, shares.sum() - 1)
                assert node not in similar
                assert shares[similar].all()


def test_similar_nodes_are_so_by_numbers_of_behaviours():
    """Ranks 1, 2 and 4 are one behaviour each, 3, 5 and 6 two, 7 all three."""
    model = make()
    known = model.graphs[1]
    counts = np.array([0, 1, 1, 2, 1, 2, 2, 3])[known.ranks.toarray().astype(int)]
    unit = counts / np.linalg.norm(counts, axis=1, keepdims=True)
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, 0)
    start = model.nodes.starts["user"][1]
    for user in range(9):
        listed = model._neighbors._lists["similarity", "user"].numpy()[start + user]
        similar = listed[listed > 0] - start
        best = np.sort(cosines[user])[::-1][: len(similar)]
        np.testing.assert_allclose(cosines[user][similar], best, atol=2e-6)


def test_a_node_without_neighbours_is_itself():
    model = make()
    found = model.node_vectors(
        {"user": tf.constant([0]), "item": tf.constant([0])}, model.embed_rows
    )
    for owner, vectors in found.items():
        start = model.embeddings.tables[f"{owner}_id"].numpy()[0]
        channels = []
        for channel in CHANNELS:
            first, second = (of[owner].self_kernel.numpy() for of in model.attentions[channel])
            channels.append(relu(relu(start @ first) @ second))
        beta = model.fusions[owner].shares(tf.constant(channels)[:, tf.newaxis]).numpy()[:, 0]
        np.testing.assert_allclose(vectors[0], beta @ channels, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("channel", CHANNELS)
def test_one_channel_is_all(channel):
    model = make(graph_channels=(channel,))
    numbers = {"user": tf.range(1, 10), "item": tf.range(1, 12)}
    found = model.node_vectors(numbers, model.embed_rows)
    alone = model.channel_vectors(numbers, model.embed_rows)
    assert set(alone) == {channel}
    for owner, vectors in found.items():
        np.testing.assert_array_equal(vectors, alone[channel][owner])
    assert not any(name.startswith("channels") for name in model.diagnostics(model.zero_features()))


def test_without_a_graph_it_is_mmoe():
    """h = 0: half of x enters every expert, which is MMoE with half the first kernels."""
    model = make()
    mmoe = build_model("mmoe", SPEC, OPTIONS["mmoe"].__class__(
        embedding_dim=5, num_experts=3, expert_units=(6, 4), tower_units=(3,)
    ))  # fmt: skip
    for name, table in mmoe.embeddings.tables.items():
        table.assign(model.embeddings.tables[name])
    width = mmoe.experts.kernels[0].shape[1]
    mmoe.experts.kernels[0].assign(0.5 * model.experts.kernels[0][:, :width])
    mmoe.gates.kernel.assign(model.gates.kernel[:, :width])
    pairs = [(mmoe.experts.kernels[1:], model.experts.kernels[1:])]
    pairs += [(mmoe.experts.biases, model.experts.biases)]
    pairs += [(getattr(mmoe.towers, n), getattr(model.towers, n)) for n in ("kernels", "biases")]
    for ours, theirs in pairs:
        for one, other in zip(ours, theirs, strict=True):
            one.assign(other)
    features = as_tensors(random_features(SPEC, 7))
    inputs = model.embed(features)
    found = model.network({**inputs, "graph": tf.zeros_like(inputs["graph"])})
    expected = mmoe(features)
    for task in SPEC.task_names:
        np.testing.assert_allclose(found[task], expected[task], rtol=1e-4, atol=1e-5)


def test_neighbours_are_drawn_by_their_seed():
    tables = [make(neighbor_seed=seed)._neighbors._lists for seed in (0, 0, 1)]
    for key, first in tables[0].items():
        np.testing.assert_array_equal(first, tables[1][key])
    drawn = ("bipartite", "item")
    assert (tables[0][drawn].numpy() != tables[2][drawn].numpy()).any()


def test_diagnostics_tell_channels():
    found = make().diagnostics(as_tensors(random_features(SPEC, 9)))
    for owner in ("user", "item"):
        assert found[f"channels/{owner}"].shape == [2]
        assert float(tf.reduce_sum(found[f"channels/{owner}"])) == pytest.approx(1.0, rel=1e-5)
    assert {"gates/click", "gates_entropy/buy"} <= set(found)


def test_similar_nodes_are_found_once(tmp_path, monkeypatch):
    first, paths = make(), assets_of("mogenet", SPEC)
    made = first.made_assets()
    assert set(made) == {"made/similar_users.npy", "made/similar_items.npy"}
    assert make(graph_channels=("bipartite",)).made_assets() == {}
    for name, array in made.items():
        paths[name] = str(tmp_path / name.replace("/", "-"))
        np.save(paths[name], array)

    def fail(*_):
        raise AssertionError("made again")

    monkeypatch.setattr("mgoe_tf.models.channel_neighbors.most_similar", fail)
    second = build_model("mogenet", SPEC, OPTIONS["mogenet"], paths)
    for key, neighbors in first._neighbors._lists.items():
        np.testing.assert_array_equal(second._neighbors._lists[key], neighbors, err_msg=str(key))


def test_explains_gates_row_by_row():
    model = make()
    features = as_tensors(random_features(SPEC, 5))
    explained = model.explain(model.embed(features))
    assert set(explained) == {f"gates_{task}" for task in SPEC.task_names}
    found = model.diagnostics(features)
    for task in SPEC.task_names:
        gates = explained[f"gates_{task}"].numpy()
        np.testing.assert_allclose(gates.sum(axis=1), np.ones(5), rtol=1e-5)
        np.testing.assert_allclose(gates.mean(axis=0), found[f"gates/{task}"], rtol=1e-5)
        assert gates.std(axis=0).max() > 1e-3  # rows differ


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_neighbors": 0}, "--num_neighbors: must be at least 1, got 0"),
        ({"graph_channels": ("social",)}, r"--graph_channels: must be of \('bipartite', .*social"),
        ({"graph_channels": ()}, r"--graph_channels: must be one or more different ones, got \[\]"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        MoGENetOptions(**options)
