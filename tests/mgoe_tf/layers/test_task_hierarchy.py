import numpy as np
import pytest
import tensorflow as tf

from mgoe_tf.layers.task_hierarchy import TaskHierarchy, in_order


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def products(logits: np.ndarray, parents) -> np.ndarray:
    """The probabilities, in float64."""
    found = sigmoid(logits.astype(np.float64))
    for task in in_order(parents):
        if parents[task] is not None:
            found[task] *= found[parents[task]]
    return found


def test_hand_worked():
    hierarchy = TaskHierarchy(parents=[None, 0])
    # sigmoid(log 3) = 3/4, sigmoid(log 2) = 2/3: 3/4 * 2/3 = 1/2, whose logit is 0
    logits = hierarchy(tf.constant([[np.log(3.0)], [np.log(2.0)]], tf.float32))
    np.testing.assert_allclose(logits, [[np.log(3.0)], [0.0]], atol=1e-6)


@pytest.mark.parametrize(
    "parents", [[None], [None, None], [None, 0, 0, 0], [None, 0, 1, 2], [2, None, 1, 0]]
)
def test_is_the_product_of_probabilities(parents):
    logits = np.random.default_rng(0).normal(0.0, 3.0, (len(parents), 500)).astype(np.float32)
    found = TaskHierarchy(parents=parents)(logits).numpy()
    np.testing.assert_allclose(
        sigmoid(found.astype(np.float64)), products(logits, parents), rtol=1e-5
    )
    for task, parent in enumerate(parents):
        if parent is None:
            np.testing.assert_array_equal(found[task], logits[task])
        else:
            assert (found[task] < found[parent]).all()


@pytest.mark.parametrize("size", [60.0, 1e4, 1e30])
@pytest.mark.parametrize("label", [0.0, 1.0])
def test_loss_and_gradients_are_finite_at_any_logit(size, label):
    corners = np.array(np.meshgrid(*[[-size, 0.0, size]] * 3)).reshape(3, -1)
    logits = tf.Variable(corners, dtype=tf.float32)
    with tf.GradientTape() as tape:
        found = TaskHierarchy(parents=[None, 0, 1])(logits)
        losses = tf.nn.sigmoid_cross_entropy_with_logits(label * tf.ones_like(found), found)
    assert np.isfinite(found).all()
    assert np.isfinite(losses).all()
    assert np.isfinite(tape.gradient(losses, logits)).all()


def test_is_exact_where_products_of_float32_are_0_or_1():
    # p = sigmoid(60)^2 = 1 - 2 e^-60 and sigmoid(-60)^2 = e^-120
    found = TaskHierarchy(parents=[None, 0])(tf.constant([[60.0, -60.0], [60.0, -60.0]]))
    np.testing.assert_allclose(found[1], [60.0 - np.log(2.0), -120.0], rtol=1e-6)


def test_gradient_of_a_child_reaches_its_parent():
    # d/ds_parent of -log(sigmoid(s_parent) sigmoid(s)) is sigmoid(s_parent) - 1
    logits = tf.Variable([[0.3], [-1.2]])
    with tf.GradientTape() as tape:
        found = TaskHierarchy(parents=[None, 0])(logits)[1]
        loss = tf.nn.sigmoid_cross_entropy_with_logits(tf.ones_like(found), found)
    expected = sigmoid(np.array([[0.3], [-1.2]])) - 1.0
    np.testing.assert_allclose(tape.gradient(loss, logits), expected, rtol=1e-5)


def test_is_float32_in_half_precision():
    hierarchy = TaskHierarchy(parents=[None, 0], dtype="mixed_float16")
    assert hierarchy(tf.zeros([2, 3])).dtype == tf.float32


def test_refusals():
    with pytest.raises(ValueError, match=r"parents: must be None or numbers below 2, got \[0, 2\]"):
        TaskHierarchy(parents=[0, 2])
    with pytest.raises(ValueError, match=r"parents: must not go round in a circle, got \[1, 0\]"):
        TaskHierarchy(parents=[1, 0])
