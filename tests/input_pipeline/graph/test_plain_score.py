import numpy as np
import pytest

from input_pipeline.graph.balance import balance
from input_pipeline.graph.plain_score import plain_score


def test_hand_worked_balance():
    # Shares 1/2, 1/4, 1/4: entropy 1.5 ln 2, 2^1.5 nodes.
    found = balance(np.array([4, 0, 2, 2]))
    assert found.largest_share == 0.5
    assert found.effective_number == pytest.approx(2**1.5)
    assert balance(np.array([7, 7, 7])).effective_number == pytest.approx(3)
    assert balance(np.array([0, 9])).effective_number == pytest.approx(1)
    none = balance(np.zeros(3, int))
    assert (none.largest_share, none.effective_number) == (0, 0)


# One macro node of users, two of items. u1 is cold.
USER_EDGES = np.array([[3.0, 1.0], [0.0, 0.0], [1.0, 0.0]], np.float32)
ITEM_EDGES = np.array([[2.0], [7.0]], np.float32)
USER_MACRO, ITEM_MACRO = np.array([0, -1, 0]), np.array([1, 0])


def test_hand_worked_scores():
    scores = plain_score(
        USER_EDGES, ITEM_EDGES, USER_MACRO, ITEM_MACRO, np.array([0, 2]), np.array([0, 1])
    )
    # u0, i0 of macro node 1: edge 1, row 4, column 1; edge 2, row 2, column 9.
    # u2, i1 of macro node 0: edge 1, row 1, column 4; edge 7, row 7, column 9.
    np.testing.assert_allclose(
        scores,
        [np.log(2 / (5 * 2)) + np.log(3 / (3 * 10)), np.log(2 / (2 * 5)) + np.log(8 / (8 * 10))],
    )


def test_cold_nodes_have_no_score():
    with pytest.raises(ValueError, match="pairs must be of warm users and items, got 1 others"):
        plain_score(
            USER_EDGES, ITEM_EDGES, USER_MACRO, ITEM_MACRO, np.array([0, 1]), np.array([0, 1])
        )
