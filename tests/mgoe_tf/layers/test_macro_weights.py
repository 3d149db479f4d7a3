import numpy as np
import pytest
import tensorflow as tf

from mgoe_tf.layers.macro_weights import MacroWeights
from tests import reference
from tests.mgoe_tf.policies import policy


def test_hand_worked():
    # tau = 0.5: softmax(2 log(1 + w)) = (1 + w)^2 / sum = (1, 9, 16) / 26
    alpha = MacroWeights(temperature=0.5)(tf.constant([[0.0, 2.0, 3.0]]))
    np.testing.assert_allclose(alpha, [[1 / 26, 9 / 26, 16 / 26]], rtol=1e-6)


def test_equals_reference():
    edges = np.random.default_rng(0).poisson(3.0, (7, 5)).astype(np.float32)
    alpha = MacroWeights(temperature=1.3)(edges)
    expected = [reference.macro_weights(row, 1.3) for row in edges]
    np.testing.assert_allclose(alpha, expected, rtol=1e-6)


def test_uniform_edges_give_uniform_weights():
    alpha = MacroWeights(temperature=0.1)(tf.constant([[0.0] * 4, [7.0] * 4]))
    np.testing.assert_allclose(alpha, np.full((2, 4), 0.25), rtol=1e-6)


def test_edges_past_float16_keep_their_value_under_mixed_precision():
    with policy("mixed_float16"):
        alpha = MacroWeights()(tf.constant([[1e6 - 1.0, 3e6 - 1.0]]))
    assert alpha.dtype == tf.float32
    np.testing.assert_allclose(alpha, [[0.25, 0.75]], rtol=1e-5)


def test_refuses_a_temperature_that_is_not_positive():
    with pytest.raises(ValueError, match=r"temperature: must be above 0, got 0\.0"):
        MacroWeights(temperature=0.0)
