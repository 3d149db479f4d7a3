import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from mgoe_tf.models.baselines.pepnet import PEPNet, PEPNetOptions
from mgoe_tf.models.registry import build_model
from tests.encoded_rows import as_tensors, make_spec, node_vectors, random_features, randomize
from tests.formula_weights import fill, values
from tests.mgoe_tf.layers.test_gate_units import gate_of
from tests.mgoe_tf.layers.test_personalized_towers import tower
from tests.model_options import OPTIONS


def made(spec=None):
    model = build_model("pepnet", spec or make_spec(), OPTIONS["pepnet"])
    randomize(model, scale=0.4)
    return model, random_features(model.spec, 7)


def without(owner: str):
    spec = make_spec()
    return dataclasses.replace(spec, features=tuple(f for f in spec.features if f.owner != owner))


@pytest.mark.parametrize("spec", [make_spec(), without("context")])
def test_equals_reference(spec):
    model, features = made(spec)
    everything = random_features(make_spec(), 7) | features
    tables = {name: table.numpy() for name, table in model.embeddings.tables.items()}
    logits = model(as_tensors(features))
    for row in range(7):
        vectors = node_vectors(make_spec(), tables, everything, row)
        if not spec.select("context"):
            del vectors["context"]
        embeddings = np.concatenate(list(vectors.values()))
        known = np.concatenate([vectors.get("context", []), embeddings])
        scaled = gate_of(model.embedding_gate, 0, known) * embeddings
        prior = np.concatenate([vectors["user"], vectors["item"]])
        for task, name in enumerate(spec.task_names):
            np.testing.assert_allclose(
                logits[name][row], tower(model.towers, task, scaled, prior), rtol=1e-3, atol=1e-4
            )


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        (
            ("device",),
            [
                [-0.609207, -0.222121, -0.827372, -0.74934],
                [3.292179, 3.19136, 0.003486, 2.280093],
            ],
        ),
        (
            (),
            [
                [-1.439, -1.313539, -0.652264, -0.750987],
                [1.309166, 2.168585, 0.444895, 1.844441],
            ],
        ),
    ],
)
def test_parity_with_public_code(context, expected):
    # By EPNet and PPNet of TorchEasyRec 1.3.16 (tzrec/modules/personalized_net.py, torch 2.13.0) in
    # float64, with hidden layers of gates as wide as what they scale; its domain is the context,
    # its `uia` user and item, and a Dense(1) of NumPy ends each tower.
    spec = make_spec(("click", "buy"))
    names = {"user_id", "item_id", *context}
    inputs_alone = tuple(f for f in spec.features if f.name in names or f.owner == "row")
    spec = dataclasses.replace(spec, features=inputs_alone)
    model = PEPNet(spec=spec, options=PEPNetOptions(embedding_dim=2, tower_units=(4, 3)))
    x = values(0, 4, 6)
    inputs = {"user": tf.constant(x[:, :2]), "item": x[:, 2:4]}
    if context:
        inputs["context"] = x[:, 4:]
    model.network(inputs)
    number = 1
    for gates in (model.embedding_gate, *model.towers.gates):
        number = fill([*gates.kernels, *gates.biases], number)
    fill([*model.towers.kernels, *model.towers.biases], number)
    logits = model.network(inputs)
    np.testing.assert_allclose([logits["click"], logits["buy"]], expected, atol=1e-5)


def test_explains_what_gates_turn_up_and_down():
    model, features = made()
    features = as_tensors(features)
    explained = model.explain(model.embed(features))
    inputs = ("user_id", "gender", "interests", "user_numbers")
    inputs += ("item_id", "category_id", "brand", "tags", "item_numbers")
    inputs += ("device", "hour", "shown_brands", "context_numbers")
    towers = ("tower_click", "tower_like", "tower_buy")
    assert set(explained) == {f"scale_{name}" for name in (*inputs, *towers)}
    assert all(((value > 0) & (value < 2)).numpy().all() for value in explained.values())
    found = model.diagnostics(features)
    assert set(found) == {
        f"{what}/{name}" for what in ("scale", "spread") for name in (*inputs, *towers)
    }
    for name in (*inputs, *towers):
        mean = np.mean(explained[f"scale_{name}"])
        np.testing.assert_allclose(found[f"scale/{name}"], mean, rtol=1e-5)
    # a gate that is opened for the brand alone: biases of its second layer, in the order of E
    model.embedding_gate.kernels[1].assign(tf.zeros_like(model.embedding_gate.kernels[1]))
    bias = np.zeros(model.embedding_gate.biases[1].shape, np.float32)
    start = 3 * 3 + model.numeric_inputs["user"].width + 2 * 3
    bias[..., start : start + 3] = np.log(3.0)
    model.embedding_gate.biases[1].assign(bias)
    explained = model.explain(model.embed(features))
    np.testing.assert_allclose(explained["scale_brand"], np.full(7, 1.5), rtol=1e-6)
    np.testing.assert_allclose(explained["scale_category_id"], np.ones(7), rtol=1e-6)
    np.testing.assert_allclose(explained["scale_tags"], np.ones(7), rtol=1e-6)


def test_gates_of_embeddings_do_not_change_what_they_read():
    # The user's embeddings reach a tower scaled: no gradient but that of the product. Here prior
    # and towers are out of the way: a gate's own scale has no gradient in what it reads.
    model, features = made(without("context"))
    inputs = {name: tf.Variable(x) for name, x in model.embed(as_tensors(features)).items()}
    with tf.GradientTape() as tape:
        scale = tf.reduce_sum(model.explain(inputs)["scale_user_id"])
    assert tape.gradient(scale, list(inputs.values())) == [None, None]


def test_a_gate_scale_of_its_own():
    options = dataclasses.replace(OPTIONS["pepnet"], gate_scale=6.0)
    model = build_model("pepnet", make_spec(), options)
    assert [gates.gamma for gates in (model.embedding_gate, *model.towers.gates)] == [6.0] * 3
