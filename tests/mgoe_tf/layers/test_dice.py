import numpy as np
import pytest
import tensorflow as tf

from mgoe_tf.layers.dice import Dice


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_hand_worked():
    layer = Dice()
    layer.build([None, 1])
    layer.alpha.assign([[0.5]])
    # mean 2, variance (1 + 0 + 1) / 3: 1 above the mean is sqrt(3 / 2) deviations
    rows = tf.constant([[1.0], [2.0], [3.0]])
    far = sigmoid(np.sqrt(1.5))
    expected = [1 * (0.5 + 0.5 * (1 - far)), 2 * 0.75, 3 * (0.5 + 0.5 * far)]
    np.testing.assert_allclose(layer(rows, training=True)[:, 0], expected, rtol=1e-5)
    # Moving statistics: a tenth of 2; 0.9 + a tenth of 2 / 3.
    share = sigmoid((4 - 0.2) / np.sqrt(0.9 + 0.2 / 3))
    found = layer(tf.constant([[4.0], [100.0]]))
    np.testing.assert_allclose(found[0], [4 * (0.5 + 0.5 * share)], rtol=1e-5)
    np.testing.assert_allclose(layer(tf.constant([[4.0]])), found[:1], rtol=1e-6)


def test_batch_statistics_make_a_row_depend_on_others_and_one_alone_nan():
    layer = Dice(batch_statistics=True)
    rows = tf.constant([[1.0], [2.0], [3.0]])
    # The unbiased deviation of 1, 2, 3 is 1.
    expected = [sigmoid(-1), 2 * 0.5, 3 * sigmoid(1)]
    for training in (False, True):
        np.testing.assert_allclose(layer(rows, training=training)[:, 0], expected, rtol=1e-6)
    assert not np.allclose(layer(rows[:2])[0], layer(rows)[0])
    assert np.isnan(layer(rows[:1])).all()
    assert layer.non_trainable_weights == []


@pytest.mark.parametrize("batch_statistics", [False, True])
def test_a_stack_is_as_many_layers(batch_statistics):
    rows = tf.random.stateless_normal([3, 5, 2], [0, 1])
    stack = Dice(batch_statistics=batch_statistics)
    stack.build(rows.shape)
    stack.alpha.assign([[[0.1]], [[0.2]], [[0.3]]])
    found = stack(rows, training=True)
    for number in range(3):
        layer = Dice(batch_statistics=batch_statistics)
        layer.build([None, 2])
        layer.alpha.assign(stack.alpha[number])
        np.testing.assert_allclose(found[number], layer(rows[number], training=True), rtol=1e-5)
