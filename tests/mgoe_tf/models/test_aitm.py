import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from input_pipeline.spec import Task
from mgoe_tf.models.baselines.aitm import AITM, AITMOptions, calibrated_tasks
from mgoe_tf.models.registry import build_model
from mgoe_tf.training.optimizers import LazyAdam
from mgoe_tf.training.step import TrainingStep
from tests import reference
from tests.encoded_rows import as_tensors, make_spec, node_vectors, random_features, random_labels
from tests.formula_weights import assign_waves, wave
from tests.mgoe_tf.layers.test_information_transfer import transfer
from tests.mgoe_tf.layers.test_prediction_towers import layers_of as tower_of
from tests.mgoe_tf.layers.test_task_bottoms import folded_layers, randomize_all
from tests.model_options import OPTIONS


def make(spec=None, **changes) -> AITM:
    tf.keras.utils.set_random_seed(0)
    options = dataclasses.replace(OPTIONS["aitm"], **changes)
    return build_model("aitm", spec or make_spec(), options)


def with_levels(*levels: int):
    spec = make_spec(("click", "fav", "cart", "buy"))
    tasks = tuple(Task(t.name, level) for t, level in zip(spec.tasks, levels, strict=True))
    return dataclasses.replace(spec, tasks=tasks)


@pytest.mark.parametrize("order", [(), ("like", "click", "buy")])
def test_equals_reference(order):
    model = make(transfer_order=order, tower_units=(4,), batch_norm="all")
    randomize_all(model)
    features = random_features(model.spec, 7)
    tables = {name: table.numpy() for name, table in model.embeddings.tables.items()}
    logits = model(as_tensors(features))
    for row in range(7):
        vectors = node_vectors(model.spec, tables, features, row)
        x = np.concatenate(list(vectors.values()))
        bottoms = [reference.mlp(x, folded_layers(model.bottoms, number)) for number in range(3)]
        found, shares = transfer(model.transfer, bottoms)
        explained = model.explain(model.embed(as_tensors(features)))
        for number, task in enumerate(order or model.spec.task_names):
            expected = reference.tower(found[number], tower_of(model.towers, number))
            np.testing.assert_allclose(logits[task][row], expected, rtol=1e-3, atol=1e-4)
            share = shares[number - 1] if number else 0.0
            np.testing.assert_allclose(explained[f"transferred_{task}"][row], share, atol=1e-4)


def with_logits(monkeypatch, model: AITM, **logits: list[float]):
    """The penalties of a model whose network gives these logits."""
    fixed = {task: tf.constant(values) for task, values in logits.items()}
    monkeypatch.setattr(model, "network", lambda inputs, training=False: fixed)
    return model.network_and_penalties({}, training=True)[1]


def test_calibrator_by_hand(monkeypatch):
    model = make(calibrator=0.5)
    log3 = float(np.log(3.0))  # sigmoid: 3 / 4; of its negative 1 / 4
    found = with_logits(monkeypatch, model, click=[0.0, log3], like=[log3, 0.0], buy=[-log3, log3])
    # like - click: 1/4, -1/4; buy - like: -1/2, 1/4; 0.5 mean(1/4, 1/4)
    np.testing.assert_allclose(found["calibrator"], 0.125, rtol=1e-6)


def test_calibrator_of_probabilities_in_order_is_nothing(monkeypatch):
    found = with_logits(monkeypatch, make(), click=[2.0, 1.0], like=[2.0, -1.0], buy=[0.0, -1.0])
    assert float(found["calibrator"]) == 0.0


def trained_once(model: AITM):
    step = TrainingStep(model, LazyAdam(0.01))
    labels = as_tensors(random_labels(model.spec, 30))
    results = step((as_tensors(random_features(model.spec, 30)), labels))
    return results, [weight.numpy() for weight in model.variables]


def test_without_strength_there_is_no_calibrator():
    results, weights = trained_once(make(calibrator=0.0))
    assert not any(name.startswith("penalty") for name in results)
    _, without_pairs = trained_once(make(calibrated_pairs=()))
    for one, other in zip(weights, without_pairs, strict=True):
        np.testing.assert_array_equal(one, other)


def test_calibrator_is_a_part_of_what_is_minimised():
    results, weights = trained_once(make(calibrator=5.0))
    assert float(results["penalty_calibrator"]) > 0
    _, plain = trained_once(make(calibrator=0.0))
    assert not all(np.array_equal(a, b) for a, b in zip(weights, plain, strict=True))


@pytest.mark.parametrize(
    ("levels", "pairs"),
    [
        ((1, 2, 3, 4), {("fav", "click"), ("cart", "fav"), ("buy", "cart")}),
        # Of equal levels neither is held to the other.
        ((1, 2, 2, 3), {("fav", "click"), ("cart", "click"), ("buy", "fav"), ("buy", "cart")}),
        ((2, 2, 2, 2), set()),
        ((5, 1, 1, 5), {("click", "fav"), ("click", "cart"), ("buy", "fav"), ("buy", "cart")}),
    ],
)
def test_levels_say_what_is_calibrated(levels, pairs):
    spec = with_levels(*levels)
    found = calibrated_tasks(spec, ("levels",))
    names = spec.task_names
    assert {(names[child], names[parent]) for child, parent in found} == pairs


def test_pairs_may_be_named():
    spec = with_levels(1, 2, 2, 3)
    assert calibrated_tasks(spec, ("buy:click",)) == ((3, 0),)
    assert make(spec, calibrated_pairs=(), transfer_order=()).penalty_names == ()


@pytest.mark.parametrize(
    ("batch_norm", "of_bottoms", "of_transfers"),
    [("none", 0, 0), ("transfers", 0, 2), ("all", 2, 2)],
)
def test_what_is_normalised_has_no_bias(batch_norm, of_bottoms, of_transfers):
    model = make(batch_norm=batch_norm)
    assert len(model.bottoms.norms) == of_bottoms
    assert len(model.transfer.norms) == of_transfers
    assert len(model.non_trainable_weights) == 2 * (of_bottoms + of_transfers)
    assert len(model.bottoms.biases) == (0 if of_bottoms else 2)


# Logits of three tasks in evaluation and in training, and those in training after one step of
# gradient descent on the sum of the tasks' mean losses, at rate 0.1, of all weights and inputs.
# Made once by public code (torch-rechub 0.9.0, models/multi_task/aitm.py, PyTorch 2.13, float64),
# whose Dense layers before a normalisation had bias 0, whose two attentions were one, and whose
# weights had the values of `wave` by the numbers that `weights_of` gives them. That code has no
# calibrator.
EVALUATED = [
    [-1.0183421, -2.2361454, -1.4146188, -0.683842, -0.3816403, -1.4634518, -0.2189403],
    [-6.9428561, 1.4795068, 1.6732534, 1.037989, 3.5450643, -4.402691, 1.8022565],
    [-6.539387, 2.4389856, 2.4616738, 4.5553884, 2.9734455, -4.3488983, 3.5454226],
]
TRAINED = [
    [-0.991063, -1.9342015, -1.1649584, -1.0523246, -1.0643444, -1.1197467, -0.8448361],
    [-0.9965923, -3.3452048, -0.0375015, -0.305955, 0.7084207, -0.9589189, -0.6154536],
    [-0.2263994, -3.568103, 0.7560789, 2.7042799, 1.270159, -0.4828333, -1.1561922],
]
AFTER_A_STEP = [
    [-1.3253296, -1.7172276, -0.8837661, -0.3149726, -1.203447, -0.7515772, -0.746912],
    [-0.8806972, -0.8459506, 0.0290715, -1.7738469, 0.9637802, -0.9325032, -0.2121685],
    [-0.3631388, 0.0567896, 0.6050187, -1.7726635, 1.1477097, -0.637905, 0.0441587],
]


def weights_of(model: AITM) -> list[tf.Variable]:
    bottoms, handed = model.bottoms, model.transfer
    return [
        *bottoms.kernels,
        *(weight for norm in bottoms.norms for weight in (norm.gamma, norm.beta)),
        handed.transfer_kernel,
        *(handed.query, handed.key, handed.value),
        *(weight for norm in handed.norms for weight in (norm.gamma, norm.beta)),
        *model.towers.kernels,
        *model.towers.biases,
    ]


def test_equals_public_code():
    model = AITM(spec=make_spec(), options=AITMOptions(bottom_units=(5, 4), batch_norm="all"))
    x = tf.Variable(wave([7, 6], 0.0, 2.0), dtype=tf.float32)

    def logits(training: bool) -> tf.Tensor:
        found = model.network({"user": tf.convert_to_tensor(x)}, training=training)
        return tf.stack([*found.values()])

    logits(training=False)
    weights = weights_of(model)
    assert len({id(weight) for weight in weights}) == len(model.trainable_variables)
    assign_waves(weights)
    norms = [*model.bottoms.norms, *model.transfer.norms]
    statistics = [one for norm in norms for one in (norm.moving_mean, norm.moving_variance)]
    for phase, (weight, is_variance) in enumerate(
        zip(statistics, [False, True] * len(norms), strict=True), start=50
    ):
        values = wave(weight.shape, phase)
        weight.assign(1.0 + 0.5 * values if is_variance else values)
    np.testing.assert_allclose(logits(training=False), EVALUATED, rtol=1e-5, atol=1e-5)
    labels = tf.constant([[(row + task) % 2 for row in range(7)] for task in range(3)], tf.float32)
    with tf.GradientTape() as tape:
        found = logits(training=True)
        losses = tf.nn.sigmoid_cross_entropy_with_logits(labels, found)
        loss = tf.reduce_sum(tf.reduce_mean(losses, axis=1))
    np.testing.assert_allclose(found, TRAINED, atol=1e-5)
    for weight, gradient in zip([*weights, x], tape.gradient(loss, [*weights, x]), strict=True):
        weight.assign_sub(0.1 * gradient)
    np.testing.assert_allclose(logits(training=True), AFTER_A_STEP, atol=2e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"transfer_order": ("click", "buy")}, "--transfer_order: must name each of click, like, "),
        ({"calibrated_pairs": ("buy:buy",)}, "two different tasks of .*, got buy:buy"),
        ({"calibrated_pairs": ("buy:sell",)}, "two different tasks of .*, got buy:sell"),
        ({"calibrated_pairs": ("buy",)}, "must be levels, or CHILD:PARENT,..., got buy"),
        ({"batch_norm": "some"}, "--batch_norm: must be one of transfers, all, none, got 'some'"),
        ({"calibrator": -1.0}, "--calibrator: must be at least 0, got -1.0"),
        ({"bottom_units": (0,)}, r"--bottom_units: must be at least 1, got \[0\]"),
    ],
)
def test_refuses(changes, message):
    with pytest.raises(ValueError, match=message):
        make(**changes)
