import numpy as np
import tensorflow as tf

from mgoe_tf.layers.split_rows import SplitRows, for_all_tasks, product


def test_hand_worked():
    # users (1), (2); items (10, 0), (0, 100) of the first, (1, 1), (0, 0) of the second; the kernel
    # adds 3 x_u, 1 and 2 times the item's numbers, 5 times the context, and half of all that.
    rows = SplitRows(
        tf.constant([[1.0], [2.0]]),
        tf.constant([[[10.0, 0.0], [0.0, 100.0]], [[1.0, 1.0], [0.0, 0.0]]]),
        tf.constant([[0.0], [1000.0]]),
    )
    kernel = tf.constant([[3.0], [1.0], [2.0], [5.0]])
    # 3 + 10, 3 + 200; 6 + 3 + 5000, 6 + 5000
    expected = np.array([[13.0], [203.0], [5009.0], [5006.0]])
    np.testing.assert_allclose(
        product(rows, tf.concat([kernel, kernel / 2], axis=1)), expected * [1.0, 0.5]
    )
    without = SplitRows(rows.user, rows.items)
    np.testing.assert_allclose(product(without, kernel[:3]), expected % 5000)


def test_rows_side_by_side_are_multiplied_as_they_are():
    rows, kernel = tf.constant([[1.0, 2.0]]), tf.constant([[10.0], [1.0]])
    np.testing.assert_array_equal(product(rows, kernel), [[12.0]])
    assert for_all_tasks(rows).shape == [1, 1, 2]
