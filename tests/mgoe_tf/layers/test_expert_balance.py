import numpy as np
import tensorflow as tf

from mgoe_tf.layers.expert_balance import load_imbalance


def test_hand_worked():
    # I = (0.8 + 0.4 + 0.5 + 0.5, 0.2 + 0.6 + 0.5 + 0.5) = (2.2, 1.8): 0.2^2 / 2^2
    gates = tf.constant([[[0.8, 0.2], [0.4, 0.6]], [[0.5, 0.5], [0.5, 0.5]]])
    np.testing.assert_allclose(load_imbalance(gates), 0.01, rtol=1e-5)


def test_ends_of_its_range():
    assert float(load_imbalance(tf.fill([2, 3, 4], 0.25))) == 0
    # all on one of four: I = (4, 0, 0, 0) / 4, mean 1 / 4, variance 3 / 16
    one = tf.one_hot(tf.zeros([2, 3], tf.int32), 4)
    np.testing.assert_allclose(load_imbalance(one), 3.0, rtol=1e-6)
