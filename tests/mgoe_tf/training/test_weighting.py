"""Steps of task weighting worked by hand, and beside NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from mgoe_tf.training.optimizers import LazyAdam
from mgoe_tf.training.weighting import (
    WEIGHTINGS,
    FixedWeighting,
    GradNormWeighting,
    PCGradWeighting,
    UncertaintyWeighting,
    make_weighting,
    without_conflicts,
)

BOTH = tf.constant([True, True])


def test_fixed_by_hand() -> None:
    weighting = FixedWeighting(num_tasks=2, task_weights=(2.0, 0.5))
    # 2 * 3 + 0.5 * 4
    assert float(weighting.objective(tf.constant([3.0, 4.0]), BOTH)) == 8.0
    assert weighting.trainable_variables == ()
    with pytest.raises(
        ValueError, match=r"task_weights: must be one per task \(2\), got \(1\.0,\)"
    ):
        FixedWeighting(num_tasks=2, task_weights=(1.0,))


def test_uncertainty_by_hand() -> None:
    weighting = UncertaintyWeighting(num_tasks=2)
    weighting.log_variances.assign([np.log(2.0), 0.0])
    losses = tf.constant([3.0, 4.0])
    with tf.GradientTape() as tape:
        objective = weighting.objective(losses, BOTH)
    # 3 / 2 + log(2) / 2 + 4 / 1 + 0
    assert float(objective) == pytest.approx(5.5 + np.log(2.0) / 2)
    # d/ds = -exp(-s) L + 1/2
    np.testing.assert_allclose(
        tape.gradient(objective, weighting.log_variances), [-1.0, -3.5], rtol=1e-6
    )
    np.testing.assert_allclose(weighting.coefficients(), [0.5, 1.0], rtol=1e-6)


def test_uncertainty_of_a_task_without_labels_stays() -> None:
    weighting = UncertaintyWeighting(num_tasks=2)
    with tf.GradientTape() as tape:
        objective = weighting.objective(tf.constant([3.0, 0.0]), tf.constant([True, False]))
    np.testing.assert_allclose(tape.gradient(objective, weighting.log_variances), [-2.5, 0.0])


def test_uncertainty_comes_to_the_loss_itself() -> None:
    # exp(-s) L + s / 2 is least at s = log(2 L)
    weighting, optimizer = UncertaintyWeighting(num_tasks=2), LazyAdam(0.05)
    for _ in range(400):
        with tf.GradientTape() as tape:
            objective = weighting.objective(tf.constant([0.1, 2.0]), BOTH)
        variables = weighting.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(objective, variables), variables, strict=True))
    np.testing.assert_allclose(weighting.log_variances, np.log([0.2, 4.0]), atol=1e-2)


def revise(weighting, gradients, losses, labelled=BOTH, step=0, weights=()):
    return weighting.revise(
        lambda task, _: [tf.constant(gradients[task])],
        weights,
        tf.constant(losses),
        tf.constant(labelled),
        tf.constant(step, tf.int64),
    )


def test_gradnorm_by_hand() -> None:
    shared = tf.Variable([0.0, 0.0])
    weighting = GradNormWeighting(num_tasks=2, shared_weights=[shared], alpha=1.0, rate=0.1)
    gradients = [[3.0, 4.0], [0.0, 1.0]]  # n = 5, 1
    # first step: r = 1, 1; G = 5, 1; mean 3; sides +, -; w = 1 - 0.1 * 5 / 3, 1 + 0.1 * 1 / 3,
    # which sum to 28 / 15
    assert revise(weighting, gradients, [2.0, 1.0]) == []
    first = np.array([5 / 6, 31 / 30]) * 15 / 14
    np.testing.assert_allclose(weighting.coefficients(), first, rtol=1e-5)
    np.testing.assert_allclose(weighting.first_losses, [2.0, 1.0])
    # second: L / L(0) = 0.5, 1; r = 2 / 3, 4 / 3; G = 4.4643, 1.1071; mean 2.7857; targets by mean
    # 2 / 3, 4 / 3 against 1.6026, 0.3974: sides +, -
    revise(weighting, gradients, [1.0, 1.0])
    norms = np.array([5.0, 1.0])
    moved = first - 0.1 * np.array([1.0, -1.0]) * norms / np.mean(first * norms)
    np.testing.assert_allclose(weighting.coefficients(), 2 * moved / moved.sum(), rtol=1e-5)


def test_gradnorm_makes_gradients_alike_in_length() -> None:
    shared = tf.Variable([0.0])
    weighting = GradNormWeighting(num_tasks=2, shared_weights=[shared], alpha=0.0, rate=0.01)
    for _ in range(300):
        revise(weighting, [[4.0], [1.0]], [1.0, 1.0])
    # w_1 * 4 = w_2 * 1 and w_1 + w_2 = 2
    np.testing.assert_allclose(weighting.coefficients(), [0.4, 1.6], atol=0.03)


def test_gradnorm_of_a_task_without_labels_waits() -> None:
    weighting = GradNormWeighting(
        num_tasks=3, shared_weights=[tf.Variable([0.0])], alpha=1.0, rate=0.1
    )
    labelled = [True, True, False]
    revise(weighting, [[3.0], [1.0], [0.0]], [1.0, 1.0, 0.0], labelled)
    weights = weighting.coefficients().numpy()
    # mean of 3 and 1: 2; 1 - 0.15, 1 + 0.05, 1: their sum 2.9
    np.testing.assert_allclose(weights, np.array([0.85, 1.05, 1.0]) * 3 / 2.9, rtol=1e-5)
    np.testing.assert_allclose(weighting.first_losses, [1.0, 1.0, 0.0])
    with pytest.raises(ValueError, match="shared_weights: must be those of the last shared layer"):
        GradNormWeighting(num_tasks=2, shared_weights=[], alpha=1.0, rate=0.1)


def test_pcgrad_by_hand() -> None:
    # g1 = (1, 0), g2 = (-1, 1): g1.g2 = -1
    # g1 + 1/2 g2 = (0.5, 0.5); g2 + 1/1 g1 = (0, 1); their sum (0.5, 1.5)
    gradients = tf.constant([[1.0, 0.0, 7.0], [-1.0, 1.0, 0.0]])
    # entry 1 is moved by task 2 alone, so it is private: g1 = (1), g2 = (-1) there; both vanish
    order = tf.constant([[0, 1], [1, 0]])
    np.testing.assert_allclose(without_conflicts(gradients, order), [0.0, 1.0, 7.0])
    gradients = tf.constant([[1.0, 1e-6, 7.0], [-1.0, 1.0, 0.0]])
    np.testing.assert_allclose(without_conflicts(gradients, order), [0.5, 1.5, 7.0], atol=1e-5)
    agreeing = tf.constant([[1.0, 2.0], [3.0, -0.5]])
    np.testing.assert_allclose(without_conflicts(agreeing, order), [4.0, 1.5])


def projected(gradients: np.ndarray, order: np.ndarray) -> np.ndarray:
    """The loop of the paper, task by task."""
    total = np.zeros(gradients.shape[1])
    for task, mine in enumerate(gradients):
        mine = mine.copy()
        for other in order[task]:
            product = mine @ gradients[other]
            if other != task and product < 0:
                mine -= product / (gradients[other] @ gradients[other]) * gradients[other]
        total += mine
    return total


@pytest.mark.parametrize("seed", range(4))
def test_pcgrad_equals_the_loop_of_the_paper(seed) -> None:
    rng = np.random.default_rng(seed)
    gradients = rng.normal(size=(4, 9))
    order = np.array([rng.permutation(4) for _ in range(4)])
    found = without_conflicts(tf.constant(gradients, tf.float32), tf.constant(order, tf.int32))
    np.testing.assert_allclose(found, projected(gradients, order), rtol=1e-4, atol=1e-5)


def test_pcgrad_takes_dense_weights_apart_again_and_leaves_tables_to_the_objective() -> None:
    table, kernel, bias = tf.Variable([[1.0]]), tf.Variable([[0.0], [0.0]]), tf.Variable([0.0])
    weighting = PCGradWeighting(num_tasks=2, tables=[table], task_weights=(1.0, 2.0))
    revised = weighting.revised([table, kernel, bias])
    assert [weight is expected for weight, expected in zip(revised, (kernel, bias), strict=True)]
    by_task = [[[[1.0], [2.0]], None], [[[0.5], [-0.25]], [3.0]]]
    found = weighting.revise(
        lambda task, _: [None if g is None else tf.constant(g) for g in by_task[task]],
        revised,
        tf.zeros([2]),
        BOTH,
        tf.constant(0, tf.int64),
    )
    # 1 * 1 - 2 * 0.25 * 2 * ... : (1, 2) . (1, -0.5) = 0: no conflict; task 2 counts twice
    np.testing.assert_allclose(found[0], [[2.0], [1.5]])
    np.testing.assert_allclose(found[1], [6.0])


def test_the_order_of_pcgrad_depends_on_seed_and_step_alone() -> None:
    weights = [tf.Variable(tf.zeros([6]))]
    rng = np.random.default_rng(0)
    gradients = rng.normal(size=(5, 6)).astype(np.float32)

    def at(step: int, seed: int = 0) -> np.ndarray:
        weighting = PCGradWeighting(num_tasks=5, tables=[], seed=seed)
        labelled = [True] * 5
        return revise(weighting, gradients, [0.0] * 5, labelled, step, weights)[0].numpy()

    np.testing.assert_array_equal(at(3), at(3))
    assert any((at(3) != at(step)).any() for step in range(10))
    assert any((at(step) != at(step, seed=1)).any() for step in range(10))


def test_the_registry() -> None:
    arguments = {"num_tasks": 2, "tables": [], "shared_weights": [tf.Variable([0.0])]}
    for name, expected in WEIGHTINGS.items():
        assert type(make_weighting(name, **arguments)) is expected
    with pytest.raises(
        ValueError, match=r"--task_weighting: must be one of fixed, .*, got 'other'"
    ):
        make_weighting("other", **arguments)
