import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from mgoe_tf.layers.expert_balance import load_imbalance
from mgoe_tf.layers.expert_contrast import ExpertContrast
from mgoe_tf.layers.task_gates import mix
from mgoe_tf.layers.task_graph import TaskGraph
from mgoe_tf.models.baselines.mmoceg import MMoCEGOptions, task_likeness
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
from tests.mgoe_tf.layers.test_mlp_experts import layers_of
from tests.mgoe_tf.layers.test_prediction_towers import layers_of as tower_of
from tests.model_assets import assets_of
from tests.model_options import OPTIONS

SPEC = make_spec()
TASKS = SPEC.task_names


def make(seed: int = 0, **changes):
    tf.keras.utils.set_random_seed(seed)
    options = dataclasses.replace(OPTIONS["mmoceg"], **changes)
    model = build_model("mmoceg", SPEC, options, assets_of("mmoceg", SPEC))
    randomize(model, seed)
    return model


def stacked(model, features) -> np.ndarray:
    logits = model(as_tensors(features))
    return np.stack([logits[task] for task in TASKS], axis=1)


def label_prior() -> np.ndarray:
    """The cosines of the tasks' counts, task by task."""
    (path,) = assets_of("mmoceg", SPEC).values()
    counts = np.load(path).astype(np.float64)
    vectors = [counts[:, task].ravel() for task in range(len(TASKS))]
    return np.array(
        [[a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in vectors] for a in vectors]
    )


def softmax(values: np.ndarray) -> np.ndarray:
    powers = np.exp(values - values.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def expected_logits(model, features, prior, layers: int, prob: bool) -> np.ndarray:
    """[B, T] by the definition, row by row and expert by expert."""
    tables = {name: table.numpy() for name, table in model.embeddings.tables.items()}
    factor = model.task_graph.factor
    learnt = np.zeros_like(prior) if factor is None else factor.numpy() @ factor.numpy().T
    adjacency = softmax(prior + learnt)
    rows = len(next(iter(features.values())))
    expected = np.zeros((rows, len(TASKS)))
    for row in range(rows):
        x = np.concatenate(list(node_vectors(SPEC, tables, features, row).values()))
        outputs = [reference.mlp(x, layers_of(model.experts, expert)) for expert in range(4)]
        gates = np.stack([x @ model.gates.kernel[task].numpy() for task in range(len(TASKS))])
        gates = softmax(gates) if prob else gates
        for _ in range(layers):
            gates = adjacency @ gates
            gates = np.where(gates > 0, gates, 0.2 * gates)
        for task, weights in enumerate(softmax(gates)):
            mixed = reference.mixture(weights, outputs)
            expected[row, task] = reference.tower(mixed, tower_of(model.towers, task))
    return expected


@pytest.mark.parametrize(
    ("changes", "prior", "layers", "prob"),
    [
        ({}, label_prior(), 2, False),
        ({"task_prior": "identity", "gate_domain": "prob"}, np.eye(3), 2, True),
        ({"propagation_layers": 1, "task_graph_rank": 0}, label_prior(), 1, False),
        ({"propagation_layers": 0}, label_prior(), 0, False),
    ],
)
def test_equals_reference(changes, prior, layers, prob):
    model = make(**changes)
    features = random_features(SPEC, 7)
    expected = expected_logits(model, features, prior, layers, prob)
    np.testing.assert_allclose(stacked(model, features), expected, rtol=1e-3, atol=1e-4)


def test_without_layers_it_is_mmoe():
    model = make(propagation_layers=0)
    mmoe = build_model(
        "mmoe", SPEC, dataclasses.replace(OPTIONS["mmoe"], num_experts=4, expert_units=(6, 5))
    )
    assert [w.shape for w in mmoe.weights] == [w.shape for w in model.weights]
    mmoe.set_weights(model.get_weights())
    features = random_features(SPEC, 7)
    np.testing.assert_array_equal(stacked(model, features), stacked(mmoe, features))


def test_temperature_is_of_the_last_softmax():
    features = random_features(SPEC, 7)
    model, even = make(), make(gate_temperature=1e6)
    even.set_weights(model.get_weights())
    found = even.diagnostics(as_tensors(features))
    np.testing.assert_allclose([found[f"gates/{task}"] for task in TASKS], 0.25, atol=1e-4)
    assert np.abs(stacked(even, features) - stacked(model, features)).max() > 1e-3


def test_permuting_tasks_with_the_prior_permutes_the_logits():
    model, features, order = make(), random_features(SPEC, 7), [2, 0, 1]
    before = stacked(model, features)
    model.task_graph.prior = np.array(model.task_graph.prior)[np.ix_(order, order)].tolist()
    per_task = (model.gates.kernel, model.task_graph.factor, *model.towers.kernels)
    for weight in (*per_task, *model.towers.biases):
        weight.assign(tf.gather(weight, order))
    np.testing.assert_allclose(stacked(model, features), before[:, order], rtol=1e-4, atol=1e-5)


def test_a_row_alone_equals_the_row_of_seven():
    model, features = make(), random_features(SPEC, 7)
    whole = stacked(model, features)
    for row in range(7):
        alone = stacked(model, {name: value[row : row + 1] for name, value in features.items()})
        np.testing.assert_allclose(alone[0], whole[row], rtol=1e-4, atol=1e-5)


def test_one_tower_for_all_tasks():
    model, features = make(shared_tower=True), random_features(SPEC, 7)
    assert [kernel.shape[0] for kernel in model.towers.kernels] == [1, 1]
    assert np.ptp(stacked(model, features), axis=1).min() > 1e-6
    for weight in (model.gates.kernel, model.task_graph.factor):
        weight.assign(tf.repeat(weight[:1], 3, axis=0))
    model.task_graph.prior = np.ones([3, 3]).tolist()
    found = stacked(model, features)
    np.testing.assert_allclose(found, found[:, :1].repeat(3, axis=1), rtol=1e-5, atol=1e-6)


def test_probabilities_leave_gates_nearly_even():
    features = as_tensors(random_features(SPEC, 50))
    logit, prob = make(), make(gate_domain="prob")
    for model in (logit, prob):
        model.gates.kernel.assign(50.0 * model.gates.kernel)
        inputs = model.embed(features)
        gates = model._propagated(model.gates(tf.concat([*inputs.values()], axis=-1))).numpy()
        ratio = (gates.max(axis=-1) / np.maximum(gates.min(axis=-1), 1e-30)).max()
        assert (ratio <= np.e + 1e-5) == (model is prob)


def test_prior_is_the_cosine_of_counts():
    counts = np.zeros((3, 4, 2))
    counts[:, 0] = [[1, 0], [2, 0], [0, 2]]  # length 3
    counts[:, 1] = [[2, 0], [4, 0], [0, 4]]  # the same direction
    counts[:, 2] = [[0, 4], [0, 0], [0, 3]]  # length 5, product with the first 6
    # nobody did the fourth
    expected = [[1, 1, 0.4, 0], [1, 1, 0.4, 0], [0.4, 0.4, 1, 0], [0, 0, 0, 1]]
    np.testing.assert_allclose(task_likeness(counts), expected, rtol=1e-12)
    many = np.random.default_rng(0).poisson(0.1, (40_000, 3, 2)).astype(np.float32)
    vectors = many.transpose(1, 0, 2).reshape(3, -1).astype(np.float64)
    lengths = np.linalg.norm(vectors, axis=1)
    expected = vectors @ vectors.T / np.outer(lengths, lengths)
    np.testing.assert_allclose(task_likeness(many), expected, rtol=1e-10)


def test_prior_is_of_events_before_validation_alone():
    # cuts 0.5, 0.8, 0.9: validation begins at the second
    assert assets_of("mmoceg", SPEC).keys() == {"graph/2/task_table.npy"}
    np.testing.assert_allclose(make().task_graph.prior, label_prior(), rtol=1e-10)
    np.testing.assert_array_equal(make(task_prior="identity").task_graph.prior, np.eye(3))


def penalties_of(model, size: int = 9, **arguments):
    inputs = model.embed(as_tensors(random_features(SPEC, size)))
    return inputs, model.network_and_penalties(inputs, **arguments)


def test_penalties_are_added_to_the_logits_that_network_gives():
    model = make(contrastive_dropout=0.0, contrastive_margin=0.9)
    inputs, (logits, penalties) = penalties_of(model)
    assert tuple(penalties) == model.penalty_names == ("balance", "contrastive")
    for task, logit in model.network(inputs).items():
        np.testing.assert_array_equal(logits[task], logit)
    x = tf.concat([*inputs.values()], axis=-1)
    raw = tf.nn.softmax(tf.einsum("bf,tfx->tbx", x, model.gates.kernel))
    np.testing.assert_allclose(penalties["balance"], 0.01 * load_imbalance(raw), rtol=1e-4)
    outputs = model.experts(x[tf.newaxis])[0]
    expected = ExpertContrast(margin=0.9)(outputs)
    assert float(expected) > 0.1
    np.testing.assert_allclose(penalties["contrastive"], expected, rtol=1e-5)
    by_task = make(contrastive_dropout=0.0, contrastive_margin=0.9, contrastive_by_task=True)
    _, (_, counted) = penalties_of(by_task)
    np.testing.assert_allclose(counted["contrastive"], 3 * expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("changes", "left"),
    [
        ({"balance_weight": 0.0}, ("contrastive",)),
        ({"contrastive_weight": 0.0}, ("balance",)),
        ({"balance_weight": 0.0, "contrastive_weight": 0.0}, ()),
    ],
)
def test_penalties_without_weight_are_not_computed(changes, left):
    model = make(**changes)
    assert model.penalty_names == left
    assert tuple(penalties_of(model)[1][1]) == left


def test_penalties_reach_experts_and_gates_and_change_what_is_learnt():
    model = make(contrastive_margin=0.9)
    features = as_tensors(random_features(SPEC, 30))
    with tf.GradientTape(persistent=True) as tape:
        _, penalties = model.network_and_penalties(model.embed(features), training=True)
    assert np.abs(tape.gradient(penalties["balance"], model.gates.kernel)).sum() > 0
    for kernel in model.experts.kernels:
        assert np.abs(tape.gradient(penalties["contrastive"], kernel)).sum() > 0
    step = TrainingStep(make(contrastive_margin=0.9, contrastive_weight=30.0), LazyAdam(0.01))
    take = tf.function(step)
    found = []
    for _ in range(60):
        step.task.forget()
        found.append(take((features, as_tensors(random_labels(SPEC, 30)))))
    assert float(found[-1]["penalty_contrastive"]) < 0.5 * float(found[0]["penalty_contrastive"])


def test_xla_compiles_its_draws():
    step = TrainingStep(make(contrastive_margin=0.9), LazyAdam(0.01), jit_compile=True)
    features, labels = (as_tensors(f(SPEC, 30)) for f in (random_features, random_labels))
    take, found = tf.function(step), []
    for _ in range(2):
        step.task.forget()
        found.append(float(take((features, labels))["penalty_contrastive"]))
    _, penalties = step.model.network_and_penalties(step.model.embed(features), training=True)
    # other draws, the same mean
    np.testing.assert_allclose(found, float(penalties["contrastive"]), rtol=0.3)
    assert found[0] != found[1]


def test_dropout_is_of_training_alone():
    model = make(contrastive_margin=0.9, contrastive_dropout=0.5)
    values = [
        float(penalties_of(model, training=training)[1][1]["contrastive"])
        for training in (True, True, False, False)
    ]
    assert values[0] != values[1]
    assert values[2] == values[3]


def test_penalties_of_weights_spare_what_is_learnt_of_the_graph():
    model = make()
    (spared,) = model.unpenalized_weights
    assert spared is model.task_graph.factor
    assert make(task_graph_rank=0).unpenalized_weights == ()


def test_rows_of_the_graph_are_in_the_diagnostics():
    found = make().diagnostics(as_tensors(random_features(SPEC, 5)))
    rows = np.stack([found[f"task_graph/{task}"] for task in TASKS])
    np.testing.assert_allclose(rows, make().task_graph.adjacency(), rtol=1e-6)
    np.testing.assert_allclose(rows.sum(axis=1), 1.0, rtol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_experts": 0}, "--num_experts: must be at least 1, got 0"),
        ({"task_graph_rank": -1}, "--task_graph_rank: must be at least 0, got -1"),
        ({"propagation_layers": -1}, "--propagation_layers: must be at least 0, got -1"),
        ({"contrastive_margin": -0.1}, r"--contrastive_margin: must be at least 0, got -0\.1"),
        ({"contrastive_weight": -1.0}, r"--contrastive_weight: must be at least 0, got -1\.0"),
        ({"balance_weight": -1.0}, r"--balance_weight: must be at least 0, got -1\.0"),
        ({"contrastive_dropout": 1.0}, r"--contrastive_dropout: must be in \[0, 1\), got 1\.0"),
    ],
)
def test_options_out_of_range(changes, message):
    with pytest.raises(ValueError, match=message):
        MMoCEGOptions(**changes)


def wave(*shape: int, start: int = 0) -> np.ndarray:
    return np.sin(start + np.arange(np.prod(shape))).reshape(shape).astype(np.float32)


def test_equals_the_authors_code():
    """The numbers are what mmoe_modules of github.com/zc352214952/MMoCEG (MMoCEG.py) returned.

    Run once on TensorFlow 2.17 in graph mode, with the weights below in the place of its dense
    layers and experts, the prior below in the place of its table of provinces, and without its
    dropout, which is on in evaluation too. Three tasks, four experts, five rows; gates pass along
    the graph after their softmax.
    """
    outputs = tf.constant(0.5 + wave(4, 5, 7))
    x = wave(5, 6, start=1)
    kernels = np.stack([3 * wave(6, 4, start=10 * (1 + task)) for task in range(3)])
    raw = tf.nn.softmax(tf.constant(np.einsum("bf,tfx->tbx", x, kernels)))
    prior = [[1.0, 0.8, 0.3], [0.8, 1.0, 0.5], [0.3, 0.5, 1.0]]
    gates = tf.nn.softmax(TaskGraph(prior=prior, rank=0, num_layers=2)(raw))
    mixed = mix(outputs[tf.newaxis], gates)
    # the first three of seven units of the first row by task, and of the last row of the last task
    expected = [
        [0.31049758195877075, 0.4896376132965088, 0.6783047914505005],
        [0.31041350960731506, 0.489188015460968, 0.6779030561447144],
        [0.30784592032432556, 0.4863557517528534, 0.6774100661277771],
        [0.6944316625595093, 0.490570068359375, 0.29537826776504517],
    ]
    found = [*mixed[:, 0, :3], mixed[2, 4, :3]]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(0.01 * load_imbalance(raw), 0.00043734474, atol=1e-7)
    contrast = ExpertContrast(margin=0.3)(outputs)
    np.testing.assert_allclose(3 * contrast, 0.052767903, atol=1e-6)  # once a task
