import dataclasses

import numpy as np
import tensorflow as tf

from mgoe_tf.models.baselines.mmoe import MMoE, MMoEOptions
from mgoe_tf.models.registry import build_model
from tests import reference
from tests.encoded_rows import (
    INPUTS,
    as_tensors,
    make_spec,
    node_vectors,
    random_features,
    randomize,
)
from tests.formula_weights import fill, values
from tests.mgoe_tf.layers.test_mlp_experts import layers_of
from tests.mgoe_tf.layers.test_prediction_towers import layers_of as tower_of
from tests.model_options import OPTIONS

COLUMNS = {name for parts in INPUTS.values() for names in parts for name in names}


def stacked(model, features) -> np.ndarray:
    logits = model(as_tensors(features))
    return np.stack([logits[task] for task in model.spec.task_names], axis=1)


def test_equals_reference():
    model = build_model("mmoe", make_spec(), OPTIONS["mmoe"])
    randomize(model)
    features = random_features(model.spec, 7)
    tables = {name: table.numpy() for name, table in model.embeddings.tables.items()}
    expected = np.zeros((7, 3))
    for row in range(7):
        x = np.concatenate(list(node_vectors(model.spec, tables, features, row).values()))
        outputs = [reference.mlp(x, layers_of(model.experts, expert)) for expert in range(3)]
        for task in range(3):
            weights = reference.gate(x, model.gates.kernel[task].numpy())
            mixed = reference.mixture(weights, outputs)
            expected[row, task] = reference.tower(mixed, tower_of(model.towers, task))
    np.testing.assert_allclose(stacked(model, features), expected, rtol=1e-3, atol=1e-4)


def test_parity_with_public_code():
    # By MMOE of torch-rechub 0.9.0 (torch 2.13.0) in float64, in evaluation mode, with gates of
    # bias 0 and all batch normalisations, which its experts, towers and gates have, at the identity
    # (running variance 1 - eps).
    options = MMoEOptions(num_experts=4, expert_units=(6, 4), tower_units=(3,))
    model = MMoE(spec=make_spec(), options=options)
    inputs = {"user": tf.constant(values(0, 4, 5)[:, :3]), "item": values(0, 4, 5)[:, 3:]}
    model.network(inputs)
    number = fill([*model.experts.kernels, *model.experts.biases, model.gates.kernel])
    fill([*model.towers.kernels, *model.towers.biases], number)
    logits = model.network(inputs)
    expected = [
        [1.811998, 2.085388, 2.072112, 0.938374],
        [1.216269, 0.830551, 0.228563, 1.726733],
        [2.291182, 2.961709, 1.602638, 7.905856],
    ]
    np.testing.assert_allclose(
        [logits[task] for task in model.spec.task_names], expected, atol=1e-5
    )


def test_reads_everything_but_the_graph():
    assert set(build_model("mmoe", make_spec(), OPTIONS["mmoe"]).feature_names) == COLUMNS


def test_permuting_experts_with_their_gate_columns_changes_nothing():
    model = build_model("mmoe", make_spec(), OPTIONS["mmoe"])
    features = random_features(model.spec, 5)
    before = stacked(model, features)
    order = [2, 0, 1]
    for weight in (*model.experts.kernels, *model.experts.biases):
        weight.assign(tf.gather(weight, order))
    assert not np.allclose(stacked(model, features), before, atol=1e-6)
    model.gates.kernel.assign(tf.gather(model.gates.kernel, order, axis=2))
    np.testing.assert_allclose(stacked(model, features), before, rtol=1e-4, atol=1e-6)


def test_experts_that_are_copies_of_one_make_the_gate_irrelevant():
    model = build_model("mmoe", make_spec(), OPTIONS["mmoe"])
    features = random_features(model.spec, 5)
    for weight in (*model.experts.kernels, *model.experts.biases):
        weight.assign(tf.repeat(weight[:1], 3, axis=0))
    before = stacked(model, features)
    randomize(model.gates)
    np.testing.assert_allclose(stacked(model, features), before, rtol=1e-4, atol=1e-6)


def test_one_expert_is_a_shared_bottom():
    options = dataclasses.replace(OPTIONS["mmoe"], num_experts=1)
    model = build_model("mmoe", make_spec(), options)
    features = random_features(model.spec, 5)
    before = stacked(model, features)
    randomize(model.gates)
    np.testing.assert_allclose(stacked(model, features), before, rtol=1e-5)


def test_experts_differ_at_initialisation():
    kernels = build_model("mmoe", make_spec(), OPTIONS["mmoe"]).experts.kernels[0].numpy()
    assert len({kernel.tobytes() for kernel in kernels}) == 3


def test_gates_that_are_even_have_entropy_1_and_one_experts_alone_0():
    model = build_model("mmoe", make_spec(), OPTIONS["mmoe"])
    gates = tf.constant([[[1 / 3] * 3], [[0.0, 1.0, 0.0]], [[0.5, 0.5, 0.0]]])
    found = model.describe_gates("gates", gates)
    np.testing.assert_allclose(found["gates/buy"], [0.5, 0.5, 0.0])
    entropies = [float(found[f"gates_entropy/{task}"]) for task in model.spec.task_names]
    np.testing.assert_allclose(entropies, [1.0, 0.0, np.log(2) / np.log(3)], atol=1e-6)
