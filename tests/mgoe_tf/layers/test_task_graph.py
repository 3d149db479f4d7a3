import numpy as np
import pytest
import tensorflow as tf

from mgoe_tf.layers.task_graph import TaskGraph
from tests.encoded_rows import randomize

PRIOR = [[1.0, 0.8, 0.3], [0.8, 1.0, 0.5], [0.3, 0.5, 1.0]]


def graph_of(gates, **arguments) -> TaskGraph:
    graph = TaskGraph(**{"prior": PRIOR, "rank": 2, "num_layers": 2, **arguments})
    graph.build(gates.shape)
    randomize(graph)
    return graph


def random_gates(seed: int = 0) -> np.ndarray:
    """[T, B, X], all unequal."""
    return np.random.default_rng(seed).normal(0.0, 2.0, [3, 7, 4]).astype(np.float32)


def test_hand_worked():
    graph = TaskGraph(prior=[[1.0, 0.0], [0.0, 1.0]], rank=1, num_layers=1, slope=0.2)
    graph.build([2, None, 1])
    # A + R R^T = [[2, 1], [1, 2]]: each row's softmax is 1 / (1 + e^-1) = 0.731059 and 0.268941
    graph.factor.assign([[1.0], [1.0]])
    near, far = 1 / (1 + np.exp(-1.0)), 1 / (1 + np.exp(1.0))
    np.testing.assert_allclose(graph.adjacency(), [[near, far], [far, near]], rtol=1e-6)
    # first row 1 and -1; second 2 and 2
    found = graph(tf.constant([[[1.0], [2.0]], [[-1.0], [2.0]]]))
    np.testing.assert_allclose(
        found, [[[near - far], [2.0]], [[0.2 * (far - near)], [2.0]]], rtol=1e-6
    )


def test_equals_its_definition():
    gates = random_gates()
    graph = graph_of(gates)
    factor = graph.factor.numpy().astype(np.float64)
    similarity = np.array(PRIOR) + factor @ factor.T
    adjacency = np.exp(similarity) / np.exp(similarity).sum(axis=1, keepdims=True)
    expected = gates.astype(np.float64)
    for _ in range(2):
        passed = np.einsum("ts,sbx->tbx", adjacency, expected)
        expected = np.where(passed > 0, passed, 0.2 * passed)
    np.testing.assert_allclose(graph(tf.constant(gates)), expected, rtol=1e-4, atol=1e-5)


def test_no_row_and_no_expert_is_mixed_with_another():
    gates = random_gates()
    graph = graph_of(gates)
    whole = graph(tf.constant(gates)).numpy()
    for row in (0, 6):
        alone = graph(tf.constant(gates[:, row : row + 1]))
        np.testing.assert_allclose(alone[:, 0], whole[:, row], rtol=1e-5)
    changed = gates.copy()
    changed[1, 3, 2] += 1.0
    moved = graph(tf.constant(changed)).numpy() != whole
    assert moved[:, 3, 2].all()
    moved[:, 3, 2] = False
    assert not moved.any()


def test_permuting_tasks_permutes_what_comes_out():
    gates, order = random_gates(), [2, 0, 1]
    graph = graph_of(gates)
    other = graph_of(gates, prior=np.array(PRIOR)[np.ix_(order, order)])
    other.factor.assign(tf.gather(graph.factor, order))
    found = other(tf.constant(gates[order])).numpy()
    np.testing.assert_allclose(found, graph(tf.constant(gates)).numpy()[order], rtol=1e-5)


@pytest.mark.parametrize("arguments", [{"num_layers": 0}, {"num_layers": 0, "rank": 0}])
def test_without_layers_gates_stay_as_they_are(arguments):
    gates = random_gates()
    graph = graph_of(gates, **arguments)
    np.testing.assert_array_equal(graph(tf.constant(gates)), gates)
    assert graph.trainable_variables == []


def test_what_is_learnt_begins_small_and_has_a_gradient():
    tf.keras.utils.set_random_seed(0)
    graph = TaskGraph(prior=PRIOR, rank=16, num_layers=2)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(graph(tf.constant(random_gates())) ** 2)
    gradient = tape.gradient(total, graph.factor).numpy()
    assert (np.abs(gradient).sum(axis=1) > 0).all()
    learnt = graph.factor.numpy() @ graph.factor.numpy().T
    assert 0 < np.abs(learnt).max() < 0.5
    graph.factor.assign(tf.zeros_like(graph.factor))
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(graph(tf.constant(random_gates())) ** 2)
    assert not tape.gradient(total, graph.factor).numpy().any()


def test_graph_is_float32_in_mixed_precision():
    graph = TaskGraph(prior=PRIOR, rank=2, num_layers=1, dtype="mixed_float16")
    assert graph(tf.zeros([3, 2, 4], tf.float16)).dtype == tf.float32


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prior": [[1.0, 0.5]]}, r"prior: must be a square matrix, got one of shape \[1, 2\]"),
        ({"prior": []}, r"prior: must be a square matrix, got one of shape \[0\]"),
        ({"rank": -1}, "rank: must be at least 0, got -1"),
        ({"num_layers": -2}, "num_layers: must be at least 0, got -2"),
        ({"slope": -0.1}, r"slope: must be at least 0, got -0\.1"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        TaskGraph(**{"prior": PRIOR, "rank": 2, "num_layers": 2, **arguments})
