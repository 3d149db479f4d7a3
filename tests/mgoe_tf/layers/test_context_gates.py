import numpy as np
import pytest
import tensorflow as tf

from mgoe_tf.layers.context_gates import ContextGates


def test_by_hand():
    gates = ContextGates(num_experts=2, context_dim=1)
    inputs = tf.constant([[4.0, 1.0], [6.0, -1.0]])
    gates(inputs)
    # of each expert [G, F]; sigmoid(ln 3) = 3/4, sigmoid(-ln 3) = 1/4
    gates.kernel.assign([[[np.log(3), 0.0]], [[0.0, -np.log(3)]]])
    np.testing.assert_allclose(
        gates(inputs),
        [[[3.0, 0.5], [1.5, -0.5]], [[2.0, 0.25], [3.0, -0.75]]],
        rtol=1e-6,
    )


@pytest.mark.parametrize("name", ["num_experts", "context_dim"])
def test_arguments_are_checked(name):
    with pytest.raises(ValueError, match=f"{name}: must be at least 1, got 0"):
        ContextGates(**{"num_experts": 1, "context_dim": 1, name: 0})
