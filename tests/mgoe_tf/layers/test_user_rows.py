"""Values of users laid out by rows."""

import numpy as np
import tensorflow as tf

from mgoe_tf.layers.user_rows import by_row


def test_values_are_repeated_along_their_axis():
    values = tf.constant([[[1.0], [2.0]], [[3.0], [4.0]]])  # [T, R, 1]
    rows = tf.constant([1, 0, 1])
    expected = [[[2.0], [1.0], [2.0]], [[4.0], [3.0], [4.0]]]
    np.testing.assert_array_equal(by_row(values, rows, axis=1), expected)


def test_without_shared_users_nothing_changes():
    values = tf.constant([1.0, 2.0])
    assert by_row(values, None) is values
