"""What is drawn, how often, and that a checkpoint has the state of it."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import sparse

from mgoe_tf.layers.pair_draws import PairDraws

# Graph 0 has 2 users and 3 items, graph 1 a user and 2 items, of whom nothing is known; graph 2 has
# a user who did something on both items.
GRAPHS = [
    sparse.csr_matrix([[1.0, 3.0, 0.0], [0.0, 0.0, 4.0]]),
    sparse.csr_matrix((1, 2)),
    sparse.csr_matrix([[1.0, 2.0]]),
]
STARTS = {"user": [1, 3, 4], "item": [1, 4, 6]}


@pytest.fixture
def draws() -> PairDraws:
    tf.keras.utils.set_random_seed(3)
    return PairDraws(graphs=GRAPHS, starts=STARTS)


def test_pairs_come_by_their_weight_and_others_evenly(draws):
    found = draws(tf.fill([8000], 2))
    # User 1 did something on 2 of 3 items, and in (2/3)^4 of the cases all tries are of those.
    shares = np.array([1, 3, 4]) / 8 * (1 - np.array([2 / 3, 2 / 3, 1 / 3]) ** 4)
    assert found.valid.numpy().mean() == pytest.approx(shares.sum(), abs=0.02)
    rows = np.stack([part.numpy() for part in found[:3]], axis=1)[found.valid.numpy()]
    pairs, counts = np.unique(rows[:, :2], axis=0, return_counts=True)
    assert pairs.tolist() == [[1, 1], [1, 2], [2, 3]]
    np.testing.assert_allclose(counts / 8000, shares, atol=0.02)
    assert set(rows[rows[:, 0] == 1, 2]) == {3}  # all that user 1 left
    others, counts = np.unique(rows[rows[:, 0] == 2, 2], return_counts=True)
    assert others.tolist() == [1, 2]
    np.testing.assert_allclose(counts / counts.sum(), [0.5, 0.5], atol=0.03)


def test_items_are_of_the_graph_of_each_row(draws):
    found = draws(tf.constant([1, 2, 3] * 20))
    assert set(found.users.numpy()) <= {0, 1, 2}
    assert set(found.negatives.numpy()) <= {0, 1, 2, 3}


@pytest.mark.parametrize("item", [0, 4, 5, 6, 7])
def test_no_pair_where_there_is_none(draws, item):
    """No graph; a graph without pairs; a user who has done everything."""
    for part in draws(tf.fill([50], item)):
        assert not part.numpy().any()


def test_draws_go_on_from_a_checkpoint(draws, tmp_path):
    items = tf.fill([30], 1)
    draws(items)
    path = tf.train.Checkpoint(draws=draws).save(str(tmp_path / "state"))
    expected = [draws(items).users.numpy() for _ in range(2)]
    assert (expected[0] != expected[1]).any()
    other = PairDraws(graphs=GRAPHS, starts=STARTS)
    tf.train.Checkpoint(draws=other).restore(path)
    np.testing.assert_array_equal([other(items).users.numpy() for _ in range(2)], expected)
