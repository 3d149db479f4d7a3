import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from mgoe_tf.layers.macro_weights import MacroWeights
from mgoe_tf.models.baselines.macgnn import MacGNN, MacGNNOptions
from mgoe_tf.models.registry import build_model
from tests import reference
from tests.encoded_rows import as_tensors, make_spec, node_vectors, random_features
from tests.formula_weights import assign_waves
from tests.mgoe_tf.layers.test_dice_towers import tower
from tests.mgoe_tf.layers.test_neighbor_aggregator import aggregated
from tests.mgoe_tf.layers.test_task_bottoms import randomize_all
from tests.model_options import OPTIONS


def make(spec=None, **changes) -> MacGNN:
    tf.keras.utils.set_random_seed(0)
    options = dataclasses.replace(OPTIONS["macgnn"], **changes)
    return build_model("macgnn", spec or make_spec(), options)


def micro_part(model: MacGNN, features, row: int, owner: str, targets, tables) -> np.ndarray:
    kind = {"user": "item", "item": "user"}[owner]
    present = [
        tables[f"{kind}_id"][rows]
        for task in model.spec.task_names
        for rows, score in zip(
            features[f"{owner}_neighbors_{task}"][row],
            features[f"{owner}_neighbor_weights_{task}"][row],
            strict=True,
        )
        if score > 0
    ]
    aggregator = model.aggregators[kind]
    if not present:
        return np.zeros(aggregator.units)
    mean = aggregated(present, np.ones(len(present)), targets[kind], aggregator)
    return mean * (len(present) if aggregator.attention == "constant" else 1)


def body(model: MacGNN, features, row: int) -> np.ndarray:
    tables = {name: table.numpy() for name, table in model.embeddings.tables.items()}
    vectors = node_vectors(model.spec, tables, features, row)
    targets = {owner: tables[f"{owner}_id"][features[f"{owner}_id"][row]] for owner in vectors
               if owner != "context"}  # fmt: skip
    nodes = {kind: table[0].numpy() for kind, table in model.macro_nodes.tables.items()}
    parts = []
    for owner in ("user", "item"):
        parts.append(vectors[owner])
        for name in (f"{owner}_1hop", f"{owner}_2hop"):
            kind = reference.NODES[name]
            weights = reference.macro_weights(features[name][row], model.options.temperature)
            aggregator = model.aggregators[kind]
            parts.append(aggregated(nodes[kind], weights, targets[kind], aggregator))
        parts.append(micro_part(model, features, row, owner, targets, tables))
    return np.concatenate([*parts, vectors["context"]])


@pytest.mark.parametrize("attention", ["macro", "constant"])
def test_equals_reference(attention):
    model = make(attention=attention)
    randomize_all(model)
    features = random_features(model.spec, 7)
    logits = model(as_tensors(features))
    for row in range(7):
        c = body(model, features, row)
        for number, task in enumerate(model.spec.task_names):
            expected = tower(c, model.towers, number)
            np.testing.assert_allclose(logits[task][row], expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("attention", ["macro", "constant"])
def test_rows_of_one_user_may_share_its_features(attention):
    model = make(attention=attention)
    randomize_all(model)
    users, rows = (random_features(model.spec, size, seed) for size, seed in ((3, 0), (8, 1)))
    user_row = np.array([2, 0, 0, 1, 1, 1, 2, 0])
    names = [f.name for f in model.spec.input_features if f.owner == "user"]
    of_users = {name: users[name] for name in names}
    shared = as_tensors({**rows, **of_users, "user_row": user_row.astype(np.int32)})
    whole = as_tensors({**rows, **{name: value[user_row] for name, value in of_users.items()}})
    found, expected = model(shared), model(whole)
    for task in expected:
        np.testing.assert_allclose(found[task], expected[task], rtol=1e-4, atol=1e-5)


def test_equal_counts_weigh_alike_and_temperature_decides_between_even_and_one():
    counts = tf.constant([[3.0, 3.0, 3.0], [5.0, 0.0, 2.0]])

    def weights(temperature: float) -> np.ndarray:
        return MacroWeights(temperature=temperature)(counts).numpy()

    np.testing.assert_allclose(weights(0.7)[0], np.full(3, 1 / 3), rtol=1e-6)
    np.testing.assert_allclose(weights(1e6)[1], np.full(3, 1 / 3), rtol=1e-5)
    np.testing.assert_allclose(weights(0.01)[1], [1.0, 0.0, 0.0], atol=1e-6)


def test_explanations_are_weights():
    for attention in ("macro", "constant"):
        model = make(attention=attention)
        randomize_all(model)
        features = random_features(model.spec, 5)
        found = model.explain(model.embed(as_tensors(features)))
        for name in reference.SETS:
            alpha = found[f"alpha_{name}"].numpy()
            of_tasks = [found[f"weight_{task}_{name}"].numpy() for task in model.spec.task_names]
            np.testing.assert_array_equal(of_tasks[0], of_tasks[2])
            np.testing.assert_allclose(of_tasks[0].sum(axis=1), np.ones(5), rtol=1e-5)
            expected = alpha * found[f"attention_click_{name}"].numpy()
            expected /= expected.sum(axis=1, keepdims=True)
            np.testing.assert_allclose(of_tasks[0], expected, rtol=1e-3, atol=1e-6)
            assert np.allclose(of_tasks[0], alpha, atol=1e-5) is (attention == "constant")


def test_the_body_is_shared_and_towers_are_not():
    model = make()
    assert model.macro_nodes.tables["user"].shape == [1, 4, 3]
    assert len(model.aggregators["user"].weights) == 3
    assert {k: v.shape for k, v in model.macro_embeddings().items()} == {
        "user": [3, 4, 3],
        "item": [3, 5, 3],
    }
    assert model.towers.kernels[0].shape[0] == 3


def test_lists_of_neighbours_are_looked_up_as_attention_needs_them():
    def entries(attention: str) -> set[int]:
        lookups = make(attention=attention).lookups
        return {lookup.entries for lookup in lookups if "neighbors" in lookup.name}

    # Three tasks, three neighbours each.
    assert entries("macro") == {9}
    assert entries("constant") == {1}


# Logits, and those after one step of gradient descent on their mean loss, at rate 0.01, of all
# weights. Made once by the public code of the authors (github.com/YuanchenBei/MacGNN,
# model/macgnn.py at 02fd577, PyTorch 2.13, float64), tau 0.7, its weights 0.3 times the values of
# `wave` by the numbers that `weights_of` gives them; the gradient of its Q and K was exactly 0.
PUBLISHED = [-1.0153737, -0.8259638, -1.289551, -0.5622821, -1.1257985, -0.5678415]
PUBLISHED_AFTER = [-0.9711195, -0.7559835, -1.2533573, -0.5035618, -1.0960354, -0.5269046]


def ids_alone():
    """A spec of one task without side features, numbers and context."""
    spec = make_spec(("click",))
    roles = ("side", "numeric")
    kept = tuple(f for f in spec.features if f.role not in roles and f.owner != "context")
    return dataclasses.replace(spec, features=kept)


def published_features() -> dict[str, tf.Tensor]:
    row = np.arange(6)

    def edges(number: int, shift: int) -> np.ndarray:
        return ((np.arange(number) * 7 + row[:, np.newaxis] * 3 + shift) % 5).astype(np.float32)

    def latest(shift: int) -> np.ndarray:
        found = (np.arange(3) * 5 + row[:, np.newaxis] * 4 + shift) % 11 - 2
        return np.maximum(found, 0).astype(np.int32)

    lists = {"user": latest(1), "item": latest(2)}
    return as_tensors(
        {
            "user_id": (1 + row).astype(np.int32),
            "item_id": np.array([3, 1, 4, 1, 5, 9], np.int32),
            "user_1hop": edges(5, 1),
            "user_2hop": edges(4, 2),
            "item_1hop": edges(4, 3),
            "item_2hop": edges(5, 4),
            **{f"{owner}_neighbors_click": ids for owner, ids in lists.items()},
            **{
                f"{owner}_neighbor_weights_click": (ids > 0).astype(np.float32)
                for owner, ids in lists.items()
            },
        }
    )


def weights_of(model: MacGNN) -> list[tf.Variable]:
    tables, towers = model.embeddings.tables, model.towers
    return [
        *(tables[name] for name in ("user_id", "item_id")),
        *(model.macro_nodes.tables[kind] for kind in ("user", "item")),
        *(model.aggregators[kind].value for kind in ("user", "item")),
        *towers.kernels,
        *towers.biases,
        *(dice.alpha for dice in towers.activations),
    ]


def test_equals_the_public_code():
    options = MacGNNOptions(
        embedding_dim=2, temperature=0.7, attention="constant", dice_batch_statistics=True
    )
    spec, features = ids_alone(), published_features()
    model = MacGNN(spec=spec, options=options)
    model(features)
    weights = weights_of(model)
    # Other tables are of side features that this spec does not have.
    others = {v.name for v in spec.vocabularies} - {"user_id", "item_id"}
    assert len(weights) == len(model.trainable_variables) - len(others)
    assign_waves(weights, scale=0.3)
    labels = tf.constant([row % 2 for row in range(6)], tf.float32)
    with tf.GradientTape() as tape:
        found = model(features)["click"]
        losses = tf.nn.sigmoid_cross_entropy_with_logits(labels, found)
        loss = tf.reduce_mean(losses)
    np.testing.assert_allclose(found, PUBLISHED, atol=1e-5)
    for weight, gradient in zip(weights, tape.gradient(loss, weights), strict=True):
        weight.assign_sub(0.01 * tf.convert_to_tensor(gradient))
    np.testing.assert_allclose(model(features)["click"], PUBLISHED_AFTER, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"temperature": 0.0}, "--temperature: must be above 0, got 0.0"),
        ({"tower_units": ()}, r"--tower_units: must be one width or more, got \[\]"),
    ],
)
def test_refuses(changes, message):
    with pytest.raises(ValueError, match=message):
        MacGNNOptions(**changes)
