import numpy as np
import pytest
import tensorflow as tf

from mgoe_tf.layers.cascading_towers import CascadingTowers
from mgoe_tf.layers.prediction_towers import PredictionTowers
from tests import reference
from tests.encoded_rows import randomize
from tests.mgoe_tf.layers.test_prediction_towers import layers_of


def test_hand_worked():
    towers = CascadingTowers(num_tasks=3, units=[])
    towers.build([3, None, 1])
    towers.kernels[0].assign([[[1.0]], [[2.0]], [[0.0]]])
    towers.biases[0].assign([[[0.0]], [[0.5]], [[0.0]]])
    towers.cascade_kernel.assign([[[3.0]], [[-1.0]]])
    np.testing.assert_array_equal(towers.theta, [1.0, 1.0])
    towers.theta.assign([1.0, 0.5])
    # p_1 = 1 * 4 = 4; p_2 = 2 * 5 + 0.5 + 3 * (1 * 4) = 22.5; p_3 = 0 * 6 - (0.5 * 22.5) = -11.25
    logits = towers(tf.constant([[[4.0]], [[5.0]], [[6.0]]]))
    np.testing.assert_allclose(logits[:, 0], [4.0, 22.5, -11.25])


@pytest.mark.parametrize(("num_tasks", "units"), [(1, [4]), (3, []), (3, [4]), (3, [4, 2])])
def test_equals_reference(num_tasks, units):
    x = np.random.default_rng(0).normal(size=(num_tasks, 5, 4)).astype(np.float32)
    towers = CascadingTowers(num_tasks=num_tasks, units=units)
    towers.build(x.shape)
    randomize(towers)
    layers = [layers_of(towers, task) for task in range(num_tasks)]
    for task in range(1, num_tasks):
        kernel, bias = layers[task][0]
        layers[task][0] = (np.vstack([kernel, towers.cascade_kernel[task - 1]]), bias)
    expected = [reference.cascade(x[:, row], layers, towers.theta.numpy()) for row in range(5)]
    np.testing.assert_allclose(towers(x), np.transpose(expected), rtol=1e-4, atol=1e-4)


def test_in_training_it_is_the_same():
    x = np.random.default_rng(0).normal(size=(3, 5, 4)).astype(np.float32)
    towers = CascadingTowers(num_tasks=3, units=[4, 2])
    towers.build(x.shape)
    randomize(towers)
    np.testing.assert_allclose(towers(x), towers(x, training=True), rtol=1e-5, atol=1e-5)


def test_kernel_of_the_cascade_starts_within_the_limit_of_the_whole_kernel():
    towers = CascadingTowers(num_tasks=2, units=[47])
    towers.build([2, None, 12])
    # sqrt(6 / (12 + 1 + 47)) = 0.3162, not sqrt(6 / 48) = 0.354
    assert 0.25 < np.abs(towers.cascade_kernel).max() <= 0.3163


def test_factors_of_the_logit_before_by_task():
    towers = CascadingTowers(num_tasks=3, units=[])
    towers.build([3, None, 1])
    towers.theta.assign([0.25, 0.5])
    assert {t: float(theta) for t, theta in towers.cascade_factors().items()} == {1: 0.25, 2: 0.5}
    plain = PredictionTowers(num_tasks=3, units=[])
    plain.build([3, None, 1])
    assert plain.cascade_factors() == {}
