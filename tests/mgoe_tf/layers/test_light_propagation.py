import numpy as np
import pytest
import tensorflow as tf
from scipy import sparse

from mgoe_tf.layers.light_propagation import LightPropagation, normalized


def random_graph(users: int = 7, items: int = 5, seed: int = 0) -> sparse.csr_matrix:
    """The last user and the last item have no neighbour."""
    random = np.random.default_rng(seed)
    weights = random.integers(1, 5, (users, items)) * (random.random((users, items)) < 0.5)
    weights[-1], weights[:, -1] = 0, 0
    return sparse.csr_matrix(weights.astype(float))


def adjacency(weights: sparse.csr_matrix) -> np.ndarray:
    """D^(-1/2) [[0, R], [R^T, 0]] D^(-1/2), entry by entry."""
    whole = sparse.bmat([[None, weights], [weights.T, None]]).toarray()
    degrees = whole.sum(axis=1)
    found = np.zeros_like(whole)
    for row, column in zip(*np.nonzero(whole), strict=True):
        found[row, column] = whole[row, column] / np.sqrt(degrees[row] * degrees[column])
    return found


def test_weights_are_divided_by_the_roots_of_both_degrees():
    # user 0 has 1 + 3, user 1 has 12; item 0 has 1, item 1 has 3 + 12; user 2 has nothing
    found = normalized(sparse.csr_matrix([[1.0, 3.0], [0.0, 12.0], [0.0, 0.0]])).toarray()
    expected = [[1 / np.sqrt(4 * 1), 3 / np.sqrt(4 * 15)], [0, 12 / np.sqrt(12 * 15)], [0, 0]]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_row_sums_are_those_of_the_whole_adjacency():
    weights = random_graph()
    found = normalized(weights)
    rows = adjacency(weights).sum(axis=1)
    np.testing.assert_allclose(found.sum(axis=1).A1, rows[:7], rtol=1e-6)
    np.testing.assert_allclose(found.sum(axis=0).A1, rows[7:], rtol=1e-6)
    assert not found.toarray()[-1].any()


@pytest.mark.parametrize("layers", [1, 2, 4])
def test_layers_are_powers_of_the_adjacency(layers):
    weights, whole = random_graph(), adjacency(random_graph())
    random = np.random.default_rng(1)
    start = random.normal(size=(12, 3)).astype(np.float32)
    expected = sum(np.linalg.matrix_power(whole, power) @ start for power in range(1, layers + 1))
    found = LightPropagation(weights, layers)(tf.constant(start[:7]), tf.constant(start[7:]))
    np.testing.assert_allclose(np.concatenate(found), expected, rtol=1e-5, atol=1e-6)


def test_gradients_go_back_over_the_same_edges():
    weights, whole = random_graph(), adjacency(random_graph())
    random = np.random.default_rng(2)
    users, items = (tf.Variable(random.normal(size=(n, 2)), dtype=tf.float32) for n in (7, 5))
    direction = random.normal(size=(12, 2)).astype(np.float32)
    with tf.GradientTape() as tape:
        found = tf.concat(LightPropagation(weights, 2)(users, items), axis=0)
        total = tf.reduce_sum(found * direction)
    gradient = np.concatenate(tape.gradient(total, [users, items]))
    # the adjacency is symmetric
    expected = (whole + whole @ whole) @ direction
    np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-6)


def test_at_least_one_layer():
    with pytest.raises(ValueError, match="num_layers: must be at least 1, got 0"):
        LightPropagation(random_graph(), 0)
