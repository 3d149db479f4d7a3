import numpy as np
import pytest
import tensorflow as tf

from mgoe_tf.layers.initializers import StackedGlorotUniform


def test_limit_follows_the_last_two_axes_and_the_matrices_differ():
    # sqrt(6 / (30 + 20)) = 0.3464 for every matrix of the stack
    values = StackedGlorotUniform(seed=1)([5, 30, 20]).numpy()
    assert np.abs(values).max(axis=(1, 2)) == pytest.approx([0.3464] * 5, rel=0.02)
    assert len({matrix.tobytes() for matrix in values}) == 5


def test_rows_of_a_larger_kernel_take_its_fan_in():
    # sqrt(6 / (52 + 8)) = 0.3162
    values = StackedGlorotUniform(fan_in=52)([100, 1, 8]).numpy()
    assert np.abs(values).max() == pytest.approx(0.3162, rel=0.02)


def test_seeds():
    def draw():
        tf.keras.utils.set_random_seed(3)
        return StackedGlorotUniform()([2, 4]).numpy()

    np.testing.assert_array_equal(draw(), draw())
    initializer = StackedGlorotUniform.from_config(StackedGlorotUniform(seed=5).get_config())
    assert initializer.seed == 5
