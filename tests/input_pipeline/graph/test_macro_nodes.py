import numpy as np
import pytest
from scipy import sparse
from sklearn.cluster import KMeans

from input_pipeline.graph.macro_nodes import (
    GroupingOptions,
    assign_new_nodes,
    group_nodes,
    node_activity,
)
from tests import reference_preparation as reference


def planted_matrix(seed, nodes=120, columns=60, groups=6):
    """Nodes of a group share the columns that they use."""
    random = np.random.default_rng(seed)
    same = random.integers(0, groups, (nodes, 1)) == random.integers(0, groups, columns)
    chosen = random.random((nodes, columns)) < np.where(same, 0.3, 0.02)
    return sparse.csr_matrix(chosen * random.integers(1, 16, (nodes, columns)).astype(float))


def test_activity_sums_scores_above_the_baseline():
    matrix = sparse.csr_matrix(np.array([[1.0, 5.0, 3.0], [0.0, 3.0, 0.0]]))
    assert node_activity(matrix, 3.0).tolist() == [5, 0]
    assert node_activity(matrix, 0.0).tolist() == [9, 3]


def test_hand_worked_weighted_centroids():
    # Rows (not normalised): u0 = [8, 0], u1 = [2, 0], u2 = [0, 4]; b = 14 / 3, so activities are
    # 8, 0, 0: thresholds 0.8 quantile = 0 + 0.6 * 8 = 4.8 and 0.2 quantile = 0. So omega = 2, 1, 1.
    matrix = sparse.csr_matrix(np.array([[8.0, 0.0], [2.0, 0.0], [0.0, 4.0]]))
    grouping = group_nodes(matrix, GroupingOptions(2, normalize_rows=False), "user")
    assert grouping.baseline == pytest.approx(14 / 3)
    assert grouping.theta_high == pytest.approx(4.8)
    assert grouping.theta_low == 0
    # u1 and u2 are nearest: centroid ([2, 0] + [0, 4]) / 2 = [1, 2], inertia 5 + 5.
    assert grouping.macro.tolist() == [1, 0, 0]
    np.testing.assert_allclose(grouping.centroids, [[1, 2], [8, 0]])
    assert grouping.inertia == pytest.approx(10)


@pytest.mark.parametrize("preference", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_inertia_is_near_the_best_of_several_runs(seed, preference):
    matrix = planted_matrix(seed)
    grouping = group_nodes(matrix, GroupingOptions(20, preference=preference), "user")
    nodes, x, omega = reference.grouping_inputs(matrix.toarray(), preference)
    best = min(
        KMeans(20, n_init=1, random_state=s).fit(x, sample_weight=omega).inertia_ for s in range(4)
    )
    means = grouping.centroids[grouping.macro[nodes]]
    inertia = (omega * ((x - means) ** 2).sum(axis=1)).sum()
    assert grouping.inertia == pytest.approx(inertia)
    assert inertia <= 1.02 * best


def test_fewer_nodes_than_macro_nodes_leave_empty_ones(caplog):
    matrix = sparse.csr_matrix(np.array([[1.0, 0], [0, 0], [0, 2.0]]))
    grouping = group_nodes(matrix, GroupingOptions(4), "item")
    assert sorted(grouping.macro.tolist()) == [-1, 0, 1]
    assert grouping.centroids.shape == (4, 2)
    assert not grouping.centroids[2:].any()
    assert grouping.inertia == pytest.approx(0)


def test_new_nodes_go_to_the_nearest_centroid_and_stay():
    options = GroupingOptions(2)
    grouping = group_nodes(sparse.csr_matrix(np.array([[3.0, 0], [0, 2.0]])), options, "user")
    # Node 2 is new and nearest the group of node 1; node 3 has only a new column; node 0 stays
    # though its row has moved.
    matrix = sparse.csr_matrix(np.array([[0, 9.0, 0], [0, 2, 0], [1, 5, 0], [0, 0, 7]]))
    macro = assign_new_nodes(grouping.macro, matrix, grouping, options)
    assert macro.tolist() == [*grouping.macro, grouping.macro[1], -1]


def test_empty_macro_nodes_attract_nobody():
    options = GroupingOptions(5)
    grouping = group_nodes(sparse.csr_matrix(np.ones((1, 9))), options, "user")
    # The new row has one column: its squared distance is 1 from a zero centroid, and 2 - 2 / 3 from
    # the only real one.
    matrix = sparse.csr_matrix(np.stack([np.ones(9), np.eye(9)[0]]))
    assert assign_new_nodes(grouping.macro, matrix, grouping, options).tolist() == [0, 0]


def test_wide_rows_are_projected_and_centroids_sparse():
    matrix = planted_matrix(0, nodes=200, columns=400)
    options = GroupingOptions(6, projection_columns=100, projection_dim=128)
    grouping = group_nodes(matrix, options, "user")
    full = group_nodes(matrix, GroupingOptions(6), "user")
    assert sparse.issparse(grouping.centroids)
    nodes, x, omega = reference.grouping_inputs(matrix.toarray())
    means = grouping.centroids.toarray()[grouping.macro[nodes]]
    assert grouping.inertia == pytest.approx((omega * ((x - means) ** 2).sum(axis=1)).sum())
    assert grouping.inertia < 1.15 * full.inertia
    again = assign_new_nodes(np.full(0, -1), matrix, grouping, options)
    assert (again == grouping.macro).mean() > 0.8


def test_grouping_is_the_same_to_the_last_bit():
    first, second = (group_nodes(planted_matrix(1), GroupingOptions(8), "user") for _ in range(2))
    np.testing.assert_array_equal(first.macro, second.macro)
    np.testing.assert_array_equal(first.centroids, second.centroids)
