"""Weights as constants of a traced function."""

import numpy as np
import tensorflow as tf

from export.frozen import frozen


def _reads(function):
    return [op.type for op in function.graph.get_operations() if op.type == "ReadVariableOp"]


def test_a_function_traced_inside_keeps_the_values_of_that_time():
    kernel, table = tf.Variable([[2.0]]), tf.Variable([[1.0], [3.0]])

    def call(ids):
        return tf.gather(table, ids) @ kernel

    def call_inside(ids):
        with frozen([kernel]):
            return call(ids)

    ids = tf.TensorSpec([None], tf.int64)
    inside = tf.function(call_inside).get_concrete_function(ids)
    outside = tf.function(call).get_concrete_function(ids)
    kernel.assign([[10.0]])
    table.assign([[1.0], [4.0]])
    rows = tf.constant([1, 0], tf.int64)
    np.testing.assert_array_equal(inside(rows), [[8.0], [2.0]])
    np.testing.assert_array_equal(outside(rows), [[40.0], [10.0]])
    assert (len(_reads(inside)), len(_reads(outside))) == (0, 1)
    np.testing.assert_array_equal(kernel.numpy(), [[10.0]])


def test_weights_of_mixed_precision_are_frozen_too():
    policy = tf.keras.mixed_precision.Policy("mixed_bfloat16")
    layer = tf.keras.layers.Dense(1, dtype=policy, kernel_initializer="ones")
    layer(tf.zeros([1, 2]))

    def call(x):
        with frozen(layer.variables):
            return layer(x)

    function = tf.function(call).get_concrete_function(tf.TensorSpec([None, 2]))
    layer.kernel.assign([[5.0], [5.0]])
    np.testing.assert_array_equal(tf.cast(function(tf.ones([1, 2])), tf.float32), [[2.0]])
    assert not _reads(function)
