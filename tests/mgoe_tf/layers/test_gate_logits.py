import numpy as np
import pytest
import tensorflow as tf

from mgoe_tf.layers.gate_logits import GateLogits
from mgoe_tf.layers.task_gates import TaskGates
from tests.encoded_rows import randomize


@pytest.mark.parametrize("shape", [[7, 5], [2, 7, 5]], ids=["shared", "by task"])
@pytest.mark.parametrize("arguments", [{}, {"use_bias": True, "units": (6,)}])
def test_their_softmax_is_the_gates(shape, arguments):
    inputs = tf.constant(np.random.default_rng(0).normal(size=shape), tf.float32)
    gates = TaskGates(num_tasks=2, num_experts=3, temperature=0.5, **arguments)
    logits = GateLogits(num_tasks=2, num_experts=3, **arguments)
    for layer in (gates, logits):
        layer.build(inputs.shape)
        randomize(layer)
    np.testing.assert_allclose(
        tf.nn.softmax(logits(inputs) / 0.5), gates(inputs), rtol=1e-5, atol=1e-7
    )
    assert logits(inputs).shape == [2, 7, 3]
