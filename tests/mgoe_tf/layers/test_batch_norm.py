"""Batch normalisation against its definition, its moving statistics, and several replicas."""

import numpy as np
import pytest
import tensorflow as tf

from mgoe_tf.layers.batch_norm import BatchNorm
from mgoe_tf.training.options import TrainOptions
from mgoe_tf.training.trainer import make_strategy
from tests.encoded_rows import randomize


def test_hand_worked():
    layer = BatchNorm(epsilon=1.0, momentum=0.5)
    layer.build([None, 1])
    layer.gamma.assign([[4.0]])
    layer.beta.assign([[7.0]])
    # mean 3, variance ((-2)^2 + 0 + 2^2) / 3 = 8 / 3; with epsilon 11 / 3
    rows = tf.constant([[1.0], [3.0], [5.0]])
    found = layer(rows, training=True)
    far = 4 * 2 / np.sqrt(11 / 3)
    np.testing.assert_allclose(found, [[7 - far], [7.0], [7 + far]], rtol=1e-6)
    # half of 0 and 3, half of 1 and 8 / 3
    np.testing.assert_allclose(layer.moving_mean, [[1.5]], rtol=1e-6)
    np.testing.assert_allclose(layer.moving_variance, [[11 / 6]], rtol=1e-6)
    # (2 - 1.5) / sqrt(11 / 6 + 1) * 4 + 7, whatever else is in the batch
    alone = 7 + 4 * 0.5 / np.sqrt(17 / 6)
    np.testing.assert_allclose(layer(tf.constant([[2.0]])), [[alone]], rtol=1e-6)
    np.testing.assert_allclose(layer(tf.constant([[2.0], [900.0]]))[0], [alone], rtol=1e-6)
    np.testing.assert_allclose(layer.moving_mean, [[1.5]], rtol=1e-6)


def test_equals_keras():
    ours, theirs = BatchNorm(), tf.keras.layers.BatchNormalization(epsilon=1e-5, momentum=0.9)
    ours.build([None, 3])
    theirs.build([None, 3])
    randomize(ours)
    theirs.gamma.assign(ours.gamma[0])
    theirs.beta.assign(ours.beta[0])
    for seed in range(3):
        rows = tf.random.stateless_normal([9, 3], [seed, 1], mean=5.0, stddev=2.0)
        np.testing.assert_allclose(
            ours(rows, training=True), theirs(rows, training=True), rtol=1e-4, atol=1e-5
        )
    np.testing.assert_allclose(ours.moving_mean[0], theirs.moving_mean, rtol=1e-5)
    np.testing.assert_allclose(ours.moving_variance[0], theirs.moving_variance, rtol=1e-5)
    np.testing.assert_allclose(ours(rows), theirs(rows, training=False), rtol=1e-4, atol=1e-5)


def test_a_stack_is_as_many_layers():
    rows = tf.random.stateless_normal([4, 7, 3], [1, 2], stddev=3.0)
    stack = BatchNorm()
    stack.build(rows.shape)
    randomize(stack)
    found, again = stack(rows, training=True), stack(rows)
    for number in range(4):
        layer = BatchNorm()
        layer.build([None, 3])
        layer.gamma.assign(stack.gamma[number])
        layer.beta.assign(stack.beta[number])
        np.testing.assert_allclose(layer(rows[number], training=True), found[number], rtol=1e-5)
        np.testing.assert_allclose(layer(rows[number]), again[number], rtol=1e-5)


def test_rows_far_from_zero_keep_their_variance():
    rows = tf.constant([[10000.0], [10001.0], [10002.0]])
    expected = np.array([[-1.0], [0.0], [1.0]]) / np.sqrt(2 / 3)
    np.testing.assert_allclose(BatchNorm()(rows, training=True), expected, atol=1e-4)


def test_outputs_have_the_dtype_of_the_inputs():
    # The variance of these is past float16's range.
    rows = tf.constant([[-600.0], [600.0]], tf.float16)
    layer = BatchNorm(dtype="mixed_float16")
    found = layer(rows, training=True)
    assert found.dtype == tf.float16
    np.testing.assert_allclose(found, [[-1.0], [1.0]], rtol=1e-3)
    assert all(weight.dtype == tf.float32 for weight in layer.weights)


def test_without_weights_of_its_own():
    layer = BatchNorm(affine=False)
    np.testing.assert_allclose(layer(tf.constant([[1.0], [3.0]]), training=True), [[-1.0], [1.0]],
                               rtol=1e-4)  # fmt: skip
    assert layer.trainable_weights == []
    assert len(layer.non_trainable_weights) == 2


def replicated(jit_compile: bool):
    """Outputs, gradients and moving statistics of 11 and 10 rows on two replicas, and of all 21."""
    rows = np.random.default_rng(0).normal(3.0, 2.0, [21, 2]).astype(np.float32)

    def steps(strategy):
        with strategy.scope():
            layer = BatchNorm()
            layer.build([None, 2])
        dataset = tf.data.Dataset.from_tensor_slices(rows).batch(21)

        def forward(values):
            return tf.reduce_sum(layer(values, training=True) ** 3)

        inner = tf.function(forward, jit_compile=True) if jit_compile else forward

        def step(values):
            with tf.GradientTape() as tape:
                tape.watch(values)
                total = inner(values)
            return tape.gradient(total, values)

        batch = next(iter(strategy.experimental_distribute_dataset(dataset)))
        gradient = tf.function(lambda values: strategy.run(step, args=(values,)))(batch)
        parts = strategy.experimental_local_results(gradient)
        return np.concatenate(parts), layer

    gradient, layer = steps(make_strategy(TrainOptions(distribution="mirrored")))
    expected, single = steps(tf.distribute.get_strategy())
    return rows, gradient, expected, layer, single


def test_replicas_share_their_statistics():
    _, gradient, expected, layer, single = replicated(jit_compile=False)
    np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-4)
    for name in ("moving_mean", "moving_variance"):
        np.testing.assert_allclose(
            tf.convert_to_tensor(getattr(layer, name)), getattr(single, name), rtol=1e-5
        )


def test_replicas_compiled_by_themselves_have_their_own():
    rows, gradient, expected, layer, _ = replicated(jit_compile=True)
    assert not np.allclose(gradient, expected, rtol=1e-2)
    means = [rows[:11].mean(axis=0), rows[11:].mean(axis=0)]
    np.testing.assert_allclose(
        tf.convert_to_tensor(layer.moving_mean)[0], 0.1 * np.mean(means, axis=0), rtol=1e-5
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"epsilon": 0.0}, "epsilon: must be above 0, got 0.0"),
        ({"momentum": 1.0}, r"momentum: must be in \[0, 1\), got 1.0"),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        BatchNorm(**arguments)
