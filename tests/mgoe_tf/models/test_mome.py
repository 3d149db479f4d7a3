import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from mgoe_tf.models.baselines.mome import MoME, MoMEOptions
from mgoe_tf.models.registry import build_model
from mgoe_tf.training.optimizers import LazyAdam
from mgoe_tf.training.step import TrainingStep
from tests import reference
from tests.encoded_rows import (
    as_tensors,
    make_spec,
    node_vectors,
    random_features,
    random_labels,
    randomize,
)
from tests.mgoe_tf.layers.test_masked_experts import expected_outputs
from tests.mgoe_tf.layers.test_prediction_towers import layers_of as tower_of
from tests.model_options import OPTIONS

SPEC = make_spec()
TASKS = SPEC.task_names


def make(seed: int = 0, **changes) -> MoME:
    """Weights, masks among them, random."""
    tf.keras.utils.set_random_seed(seed)
    model = build_model("mome", SPEC, dataclasses.replace(OPTIONS["mome"], **changes))
    randomize(model, seed)
    for mask in (*model.experts.neuron_masks, *model.experts.expert_masks):
        mask.assign(mask + 0.5)
    return model


def stacked(model, features) -> np.ndarray:
    logits = model(as_tensors(features))
    return np.stack([logits[task] for task in TASKS], axis=1)


@pytest.mark.parametrize("second", [False, True], ids=["model mask", "expert masks"])
def test_equals_reference(second):
    model = make()
    if second:
        assert model.begin_epoch(1)
    features = random_features(SPEC, 7)
    tables = {name: table.numpy() for name, table in model.embeddings.tables.items()}
    x = np.stack(
        [
            np.concatenate(list(node_vectors(SPEC, tables, features, row).values()))
            for row in range(7)
        ]
    )
    outputs = expected_outputs(model.experts, x, second=second)
    expected = np.zeros((7, len(TASKS)))
    for row in range(7):
        for task in range(len(TASKS)):
            scores = x[row] @ model.gates.kernel.numpy()[task] + model.gates.bias.numpy()[task, 0]
            powers = np.exp(scores - scores.max())
            weights = powers / powers.sum() if second else np.full(4, 0.25)
            mixed = reference.mixture(weights, list(outputs[:, row]))
            expected[row, task] = reference.tower(mixed, tower_of(model.towers, task))
    np.testing.assert_allclose(stacked(model, features), expected, rtol=1e-3, atol=1e-4)


def test_gates_matter_after_the_switch_alone():
    model, features = make(), random_features(SPEC, 7)
    before = stacked(model, features)
    randomize(model.gates, seed=5)
    np.testing.assert_allclose(stacked(model, features), before, rtol=1e-5, atol=1e-6)
    model.begin_epoch(1)
    before = stacked(model, features)
    randomize(model.gates, seed=6)
    assert np.abs(stacked(model, features) - before).max() > 1e-2


def test_one_switch_after_the_epochs_of_the_model_mask():
    model = make(mask_epochs=3)
    assert [model.begin_epoch(epoch) for epoch in range(6)] == [
        *(False, False, False, True, False, False)
    ]
    without = make(mask_epochs=0)
    assert bool(without.experts.in_second_phase())
    assert not without.begin_epoch(0)


def test_switch_changes_nothing_while_expert_masks_are_open():
    model, features = make(), random_features(SPEC, 7)
    for mask in model.experts.expert_masks:
        mask.assign(tf.ones_like(mask))
    before = stacked(model, features)
    assert model.begin_epoch(1)
    np.testing.assert_allclose(stacked(model, features), before, rtol=1e-4, atol=1e-5)


def test_penalty_is_of_the_masks_of_the_phase():
    model = make(model_mask_weight=2.0, expert_mask_weight=3.0)
    inputs = model.embed(as_tensors(random_features(SPEC, 5)))

    def penalty() -> float:
        logits, penalties = model.network_and_penalties(inputs)
        for task, logit in model.network(inputs).items():
            np.testing.assert_array_equal(logits[task], logit)
        assert tuple(penalties) == model.penalty_names
        return float(penalties["masks"])

    assert penalty() == pytest.approx(2.0 * float(model.experts.expected_open()[0]))
    model.begin_epoch(1)
    assert penalty() == pytest.approx(3.0 * float(model.experts.expected_open()[1]))


def test_strong_penalties_close_masks():
    def openness(weight: float) -> float:
        tf.keras.utils.set_random_seed(0)
        options = dataclasses.replace(OPTIONS["mome"], model_mask_weight=weight)
        step = TrainingStep(build_model("mome", SPEC, options), LazyAdam(0.02))
        take = tf.function(step)
        for seed in range(40):
            take(tuple(as_tensors(f(SPEC, 60, seed)) for f in (random_features, random_labels)))
        found = step.model.diagnostics(as_tensors(random_features(SPEC, 5)))
        return float(found["openness/layer_0"])

    assert openness(30.0) < 0.3 < openness(0.0)


@pytest.mark.parametrize("jit_compile", [False, True], ids=["plain", "xla"])
def test_steps_move_the_weights_of_their_phase_alone(jit_compile):
    tf.keras.utils.set_random_seed(0)
    step = TrainingStep(
        build_model("mome", SPEC, OPTIONS["mome"]),
        LazyAdam(0.01, l1=1e-3, l2=1e-2, ema_decay=0.5),
        jit_compile=jit_compile,
    )
    model = step.model
    take = tf.function(step)
    for epoch in range(2):
        assert model.begin_epoch(epoch) == (epoch == 1)
        if epoch:
            step.optimizer.restart(step.weights)
        before = {weight.ref(): weight.numpy() for weight in model.trainable_variables}
        closed = [kept.numpy()[0, :, 0] == 0 for kept in model.experts.kept]
        for seed in range(3):
            take(tuple(as_tensors(f(SPEC, 60, seed)) for f in (random_features, random_labels)))
        idle = {weight.ref() for weight in model.idle_weights}
        assert idle
        for weight in model.trainable_variables:
            same = np.array_equal(before[weight.ref()], weight)
            assert same == (weight.ref() in idle), weight.name
        for kernel, rows in zip(model.experts.kernels, closed, strict=True):
            assert not kernel.numpy()[:, rows].any()
    assert take.experimental_get_tracing_count() == 1


def test_after_the_switch_two_replicas_and_float16_learn():
    with tf.distribute.MirroredStrategy(
        [cpu.name for cpu in tf.config.list_logical_devices("CPU")],
        cross_device_ops=tf.distribute.ReductionToOneDevice(),
    ).scope() as _:
        strategy = tf.distribute.get_strategy()
        tf.keras.utils.set_random_seed(0)
        step = TrainingStep(build_model("mome", SPEC, OPTIONS["mome"]), LazyAdam(0.02))
    step.model.begin_epoch(1)
    step.optimizer.restart(step.weights)
    features, labels = (as_tensors(f(SPEC, 64)) for f in (random_features, random_labels))
    data = tf.data.Dataset.from_tensor_slices((features, labels)).batch(64).repeat()
    iterator = iter(strategy.experimental_distribute_dataset(data))
    take = tf.function(lambda: strategy.run(step, args=(next(iterator),)))
    losses = []
    for _ in range(25):
        step.task.forget()
        found = take()
        losses.append(float(strategy.experimental_local_results(found["loss"])[0]))
    assert np.mean(losses[-5:]) < 0.9 * losses[0]


def test_what_l1_and_l2_spare():
    model = make()
    spared = {weight.ref() for weight in model.unpenalized_weights}
    for weight in (*model.experts.neuron_masks, *model.experts.expert_masks, model.gates.kernel):
        assert weight.ref() in spared
    assert not spared & {weight.ref() for weight in (*model.experts.kernels, *model.towers.kernels)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_experts": 0}, "--num_experts: must be at least 1, got 0"),
        ({"mask_epochs": -1}, "--mask_epochs: must be at least 0, got -1"),
        ({"mask_deviation": 0.0}, r"--mask_deviation: must be above 0, got 0\.0"),
        ({"model_mask_weight": -1.0}, r"--model_mask_weight: must be at least 0, got -1\.0"),
        ({"expert_mask_weight": -1.0}, r"--expert_mask_weight: must be at least 0, got -1\.0"),
    ],
)
def test_options_out_of_range(changes, message):
    with pytest.raises(ValueError, match=message):
        MoMEOptions(**changes)
