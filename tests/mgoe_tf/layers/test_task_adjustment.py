import numpy as np
import pytest
import tensorflow as tf

from mgoe_tf.layers.task_adjustment import TaskAdjustment
from tests import reference


def test_hand_worked():
    # T = 2, K = 2; L = [[e - 1, 0], [0, e^3 - 1]]: logs (1, 0) with mean 0.5, (0, 3) with mean 1.5.
    table = np.array([[np.e - 1, 0, 0, np.e**3 - 1]] * 3, np.float32)
    layer = TaskAdjustment(num_tasks=2)
    logits = tf.constant([[10.0] * 3, [20.0] * 3])
    adjusted = layer(logits, table, tf.constant([0, 1, -1], tf.int64))
    # kappa = 0.1. m = 0: 0.1 * (1 - 0.5), 0.1 * (0 - 1.5); m = 1: 0.1 * (0 - 0.5), 0.1 * (3 - 1.5);
    # cold: 0.
    np.testing.assert_allclose(adjusted[0], [10.05, 9.95, 10.0], rtol=1e-6)
    np.testing.assert_allclose(adjusted[1], [19.85, 20.15, 20.0], rtol=1e-6)


def test_terms_of_every_macro_node_end_with_a_cold_one():
    table = np.array([[np.e - 1, 0, 0, np.e**3 - 1]], np.float32)
    layer = TaskAdjustment(num_tasks=2)
    layer.build(None)
    expected = [[[0.05, -0.05, 0.0], [-0.15, 0.15, 0.0]]]
    np.testing.assert_allclose(layer.terms_by_macro_node(table), expected, rtol=1e-6)


def test_equals_reference():
    rng = np.random.default_rng(0)
    counts = rng.poisson(2.0, (6, 3, 4)).astype(np.float32)
    macro = np.array([-1, 0, 1, 2, 3, 3])
    layer = TaskAdjustment(num_tasks=3)
    logits = rng.normal(size=(3, 6)).astype(np.float32)
    layer.build(logits.shape)
    layer.kappa.assign([0.5, -1.0, 2.0])
    rows = zip(counts, macro, strict=True)
    expected = logits.T + [
        np.array([0.5, -1.0, 2.0]) * reference.advantage(count, m) for count, m in rows
    ]
    adjusted = layer(logits, counts.reshape(6, 12), macro)
    np.testing.assert_allclose(tf.transpose(adjusted), expected, rtol=1e-5, atol=1e-5)


def test_no_history_adjusts_nothing():
    logits = tf.constant([[1.0], [2.0]])
    adjusted = TaskAdjustment(num_tasks=2)(logits, tf.zeros([1, 6]), tf.constant([2]))
    np.testing.assert_array_equal(adjusted, logits)


def test_refuses_no_tasks():
    with pytest.raises(ValueError, match="num_tasks: must be at least 1, got 0"):
        TaskAdjustment(num_tasks=0)
