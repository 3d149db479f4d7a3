import numpy as np
import pytest
import tensorflow as tf

from mgoe_tf.layers.gate_units import GateUnits
from tests import reference
from tests.encoded_rows import randomize


def gate_of(gates: GateUnits, index: int, z: np.ndarray) -> np.ndarray:
    """One gate of one row."""
    first, second = [
        (kernel.numpy()[index], bias.numpy()[index, 0])
        for kernel, bias in zip(gates.kernels, gates.biases, strict=True)
    ]
    hidden = reference.mlp(z, [first])
    return gates.gamma / (1.0 + np.exp(-(hidden @ second[0] + second[1])))


def test_hand_worked():
    gates = GateUnits(num_gates=1, units=1, outputs=2, gamma=4.0)
    gates.build([None, 2])
    gates.kernels[0].assign([[[1.0], [-1.0]]])
    gates.biases[0].assign([[[0.5]]])
    gates.kernels[1].assign([[[np.log(3.0), 0.0]]])
    gates.biases[1].assign([[[0.0, -np.log(3.0)]]])
    # hidden = relu(2 - 1.5 + 0.5) = 1: 4 (3/4, 1/4) = (3, 1)
    np.testing.assert_allclose(gates(tf.constant([[2.0, 1.5]])), [[[3.0, 1.0]]], rtol=1e-6)
    # hidden = relu(-1 + 0.5) = 0: 4 (1/2, 1/4) = (2, 1)
    np.testing.assert_allclose(gates(tf.constant([[0.0, 1.0]])), [[[2.0, 1.0]]], rtol=1e-6)


def test_equals_reference():
    x = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    gates = GateUnits(num_gates=3, units=6, outputs=2)
    gates.build(x.shape)
    randomize(gates)
    expected = [[gate_of(gates, index, row) for row in x] for index in range(3)]
    np.testing.assert_allclose(gates(x), expected, rtol=1e-4)


def test_refusals():
    sizes = {"num_gates": 1, "units": 1, "outputs": 1}
    for name in sizes:
        with pytest.raises(ValueError, match=f"{name}: must be at least 1, got 0"):
            GateUnits(**sizes | {name: 0})
    with pytest.raises(ValueError, match=r"gamma: must be above 0, got 0\.0"):
        GateUnits(**sizes, gamma=0.0)
