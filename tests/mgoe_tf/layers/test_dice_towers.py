import numpy as np
import pytest
import tensorflow as tf

from mgoe_tf.layers.dice_towers import DiceTowers
from tests.mgoe_tf.layers.test_task_bottoms import randomize_all


def tower(x: np.ndarray, towers: DiceTowers, task: int) -> float:
    """One task's tower of one row, with moving statistics."""
    layers = zip(towers.kernels, towers.biases, strict=True)
    outputs = [(kernel[task].numpy(), bias[task, 0].numpy()) for kernel, bias in layers]
    for (kernel, bias), dice in zip(outputs[:-1], towers.activations, strict=True):
        x = x @ kernel + bias
        mean, variance = (
            weight[task, 0].numpy() for weight in (dice.norm.moving_mean, dice.norm.moving_variance)
        )
        share = 1 / (1 + np.exp(-(x - mean) / np.sqrt(variance + 1e-5)))
        x = share * x + float(dice.alpha[task, 0, 0]) * (1 - share) * x
    kernel, bias = outputs[-1]
    return (x @ kernel + bias).item()


def test_equals_reference():
    x = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    towers = DiceTowers(num_tasks=3, units=[5, 2])
    towers(x)
    randomize_all(towers)
    expected = [[tower(row, towers, task) for row in x] for task in range(3)]
    np.testing.assert_allclose(towers(x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_drops_in_training_alone(dropout):
    towers = DiceTowers(num_tasks=2, units=[8], dropout=dropout, batch_statistics=True)
    x = tf.random.stateless_normal([6, 4], [0, 1])
    np.testing.assert_array_equal(towers(x), towers(x))
    assert np.array_equal(towers(x, training=True), towers(x)) is (dropout == 0.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_tasks": 0, "units": [1]}, "num_tasks: must be at least 1, got 0"),
        ({"num_tasks": 1, "units": []}, r"units: must be one or more widths .*, got \[\]"),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        DiceTowers(**arguments)
