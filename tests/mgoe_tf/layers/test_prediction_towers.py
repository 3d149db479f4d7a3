import numpy as np
import pytest
import tensorflow as tf

from mgoe_tf.layers.prediction_towers import PredictionTowers
from tests import reference
from tests.encoded_rows import randomize


def layers_of(towers: PredictionTowers, task: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """One tower's layers for the reference."""
    return [
        (kernel[task].numpy(), bias[task, 0].numpy())
        for kernel, bias in zip(towers.kernels, towers.biases, strict=True)
    ]


def test_hand_worked():
    towers = PredictionTowers(num_tasks=1, units=[2])
    towers.build([1, None, 1])
    towers.kernels[0].assign([[[1.0, -1.0]]])
    towers.biases[0].assign([[[0.5, 0.0]]])
    towers.kernels[1].assign([[[2.0], [7.0]]])
    towers.biases[1].assign([[[-1.0]]])
    # hidden = relu(3 + 0.5, -3) = (3.5, 0); 2 * 3.5 - 1 = 6: the last layer is not activated
    np.testing.assert_allclose(towers(tf.constant([[[3.0]]])), [[6.0]])
    # hidden = relu(-1 + 0.5, 1) = (0, 1); 7 * 1 - 1 = 6
    np.testing.assert_allclose(towers(tf.constant([[[-1.0]]])), [[6.0]])


@pytest.mark.parametrize("units", [[], [4], [4, 3]])
def test_equals_reference(units):
    x = np.random.default_rng(0).normal(size=(3, 5, 4)).astype(np.float32)
    towers = PredictionTowers(num_tasks=3, units=units)
    towers.build(x.shape)
    randomize(towers)
    expected = [
        [reference.tower(row, layers_of(towers, task)) for row in x[task]] for task in range(3)
    ]
    np.testing.assert_allclose(towers(x), expected, rtol=1e-4, atol=1e-5)


def test_one_input_for_all_tasks_is_the_same_for_each():
    x = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    towers = PredictionTowers(num_tasks=3, units=[4, 3])
    towers.build(x.shape)
    randomize(towers)
    np.testing.assert_allclose(towers(x), towers(np.stack([x] * 3)), rtol=1e-4, atol=1e-6)


def test_refusals():
    with pytest.raises(ValueError, match=r"units: must be widths of at least 1, got \[4, 0\]"):
        PredictionTowers(num_tasks=1, units=[4, 0])
    with pytest.raises(ValueError, match="num_tasks: must be at least 1, got 0"):
        PredictionTowers(num_tasks=0, units=[])
    with pytest.raises(ValueError, match=r"dropout: must be in \[0, 1\), got -0\.1"):
        PredictionTowers(num_tasks=1, units=[], dropout=-0.1)
