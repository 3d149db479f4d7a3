import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from mgoe_tf.models.baselines.ple import PLE, PLEOptions
from mgoe_tf.models.registry import build_model
from tests import reference
from tests.encoded_rows import as_tensors, make_spec, node_vectors, random_features, randomize
from tests.formula_weights import fill, values
from tests.mgoe_tf.layers.test_prediction_towers import layers_of as tower_of
from tests.mgoe_tf.layers.test_progressive_extraction import expected_of
from tests.model_options import OPTIONS


def stacked(model, features) -> np.ndarray:
    logits = model(as_tensors(features))
    return np.stack([logits[task] for task in model.spec.task_names], axis=1)


def test_equals_reference():
    model = build_model("ple", make_spec(), OPTIONS["ple"])
    randomize(model)
    features = random_features(model.spec, 7)
    tables = {name: table.numpy() for name, table in model.embeddings.tables.items()}
    expected = np.zeros((7, 3))
    for row in range(7):
        x = np.concatenate(list(node_vectors(model.spec, tables, features, row).values()))
        for task, extracted in enumerate(expected_of(model.extraction, x)):
            expected[row, task] = reference.tower(extracted, tower_of(model.towers, task))
    np.testing.assert_allclose(stacked(model, features), expected, rtol=1e-3, atol=1e-4)


def test_a_level_of_shared_experts_alone_is_mmoe():
    spec = make_spec()
    options = dataclasses.replace(
        OPTIONS["ple"], num_levels=1, num_shared_experts=3, num_task_experts=0
    )
    model = build_model("ple", spec, options)
    randomize(model)
    mmoe = build_model("mmoe", spec, OPTIONS["mmoe"])
    for name, table in mmoe.embeddings.tables.items():
        table.assign(model.embeddings.tables[name])
    mmoe.experts.set_weights(model.extraction.shared_experts[0].get_weights())
    mmoe.gates.set_weights(model.extraction.task_gates[0].get_weights())
    mmoe.towers.set_weights(model.towers.get_weights())
    features = random_features(spec, 7)
    np.testing.assert_allclose(
        stacked(model, features), stacked(mmoe, features), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize(
    ("num_levels", "expected"),
    [
        (
            1,
            [
                [0.420167, 2.158912, 0.815206, 3.618367],
                [0.905955, 0.905955, 0.789542, 0.905955],
                [-0.296978, 0.945599, 0.140042, 0.356039],
            ],
        ),
        (
            2,
            [
                [-0.389682, 0.838712, -0.100911, 0.884761],
                [4.296721, 4.174212, 4.299595, 4.615761],
                [1.457749, 1.390603, 1.332427, 0.885925],
            ],
        ),
    ],
)
def test_parity_with_public_code(num_levels, expected):
    # By PLE of torch-rechub 0.9.0 (torch 2.13.0) in float64: n_expert_specific 2, n_expert_shared
    # 1, evaluation mode, gates of bias 0, and all batch normalisations, which its experts, towers
    # and gates have, at the identity (running variance 1 - eps). Its gates list a task's own
    # experts first.
    options = PLEOptions(
        num_levels=num_levels, num_task_experts=2, expert_units=(6, 4), tower_units=(3,)
    )
    model = PLE(spec=make_spec(), options=options)
    inputs = {"user": tf.constant(values(0, 4, 5)[:, :3]), "item": values(0, 4, 5)[:, 3:]}
    model.network(inputs)
    extraction, number = model.extraction, 1
    for level in range(num_levels):
        for bank in (extraction.shared_experts[level], extraction.task_experts[level]):
            number = fill([*bank.kernels, *bank.biases], number)
        gates = (extraction.task_gates[level], *extraction.shared_gates[level : level + 1])
        number = fill([gate.kernel for gate in gates], number)
    fill([*model.towers.kernels, *model.towers.biases], number)
    logits = model.network(inputs)
    np.testing.assert_allclose(
        [logits[task] for task in model.spec.task_names], expected, atol=1e-5
    )


def test_diagnostics_are_the_mean_weights_of_each_level():
    model = build_model("ple", make_spec(), OPTIONS["ple"])
    features = as_tensors(random_features(model.spec, 5))
    found = model.diagnostics(features)
    stages = ("gates", "level_1_gates", "gates_entropy", "level_1_gates_entropy")
    tasks = model.spec.task_names
    assert set(found) == {f"{stage}/{task}" for stage in stages for task in tasks} | {
        "shared_stream/level_1"
    }
    # two shared experts and the own one; two shared ones and each task's
    assert model.expert_names == ("shared_0", "shared_1", "own_0")
    shares = {name: value for name, value in found.items() if value.shape.rank}
    sizes = {name: value.shape[0] for name, value in shares.items()}
    assert sizes.pop("shared_stream/level_1") == 2 + 3
    assert set(sizes.values()) == {3}
    for value in shares.values():
        np.testing.assert_allclose(tf.reduce_sum(value), 1.0, rtol=1e-5)
    only = build_model("ple", make_spec(), dataclasses.replace(OPTIONS["ple"], num_levels=1))
    assert not [name for name in only.diagnostics(features) if "level" in name]


def test_a_high_temperature_makes_all_gates_even():
    options = dataclasses.replace(OPTIONS["ple"], gate_temperature=1e6)
    model = build_model("ple", make_spec(), options)
    randomize(model)
    found = model.diagnostics(as_tensors(random_features(model.spec, 5)))
    for name, value in found.items():
        expected = 1.0 if "entropy" in name else np.full(value.shape, 1.0 / value.shape[0])
        np.testing.assert_allclose(value, expected, atol=1e-3, err_msg=name)


def test_losses_of_all_tasks_reach_the_last_shared_experts():
    model = build_model("ple", make_spec(), OPTIONS["ple"])
    (kernel,) = model.last_shared_weights
    assert kernel is model.extraction.shared_experts[-1].kernels[-1]
    none = dataclasses.replace(OPTIONS["ple"], num_shared_experts=0)
    assert build_model("ple", make_spec(), none).last_shared_weights == ()
