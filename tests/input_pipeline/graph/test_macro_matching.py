"""New macro nodes under the numbers of old ones."""

import numpy as np
import pytest
from scipy import sparse

from input_pipeline.graph.macro_matching import centers, matching, renumbered
from input_pipeline.graph.macro_nodes import Grouping


def test_centers_are_means_of_members():
    positions = np.array([[1.0, 0.0], [3.0, 2.0], [5.0, 5.0], [7.0, 7.0]])
    macro = np.array([1, 1, -1, 0], np.int32)
    expected = [[7.0, 7.0], [2.0, 1.0], [0.0, 0.0]]
    np.testing.assert_array_equal(centers(positions, macro, 3), expected)
    np.testing.assert_array_equal(centers(sparse.csr_matrix(positions), macro, 3), expected)


def test_the_sum_of_distances_is_least():
    # The nearest old one of both 9 and 11 is 10. 9 -> 0 and 11 -> 10 cost 81 + 1; 9 -> 10 and
    # 11 -> 0 cost 1 + 121.
    old, new = np.array([[0.0], [10.0]]), np.array([[11.0], [9.0]])
    assert matching(old, new).tolist() == [1, 0]
    old, new = np.array([[0.0], [10.0], [20.0]]), np.array([[19.0], [1.0], [12.0]])
    assert matching(old, new).tolist() == [2, 0, 1]
    with pytest.raises(ValueError, match=r"must be of the shape \(3, 1\) of old, got \(2, 1\)"):
        matching(old, new[:2])


def test_numbers_are_those_of_the_matching():
    grouping = Grouping(np.array([0, 2, -1, 1], np.int32), np.eye(3), 1.0, None, 0.0, 0.0)
    found = renumbered(grouping, np.array([2, 0, 1]))
    assert found.macro.tolist() == [2, 1, -1, 0]
    assert found.macro.dtype == np.int32
    np.testing.assert_array_equal(found.centroids[2], [1, 0, 0])
    np.testing.assert_array_equal(found.centroids[0], [0, 1, 0])
