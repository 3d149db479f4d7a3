import numpy as np
import pytest
from scipy import sparse
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from input_pipeline.graph.macro_nodes import (
    GroupingOptions,
    assign_new_nodes,
    copreference_activity,
    group_nodes,
    grouping_matrix,
    node_activity,
)
from input_pipeline.graph.projection import Projection, RowPlacement, SpectralOptions
from input_pipeline.graph.unit_rows import unit
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


def test_copreference_activity_is_what_is_shared_with_others():
    # S S^T = [[5, 6, 0], [6, 9, 0], [0, 0, 16]]: u0 and u1 share 6, u2 nothing.
    matrix = sparse.csr_matrix(np.array([[1.0, 2, 0], [0, 3, 0], [0, 0, 4]]))
    assert copreference_activity(matrix).tolist() == [6, 6, 0]


def test_without_preference_nodes_are_placed_by_what_they_touched():
    matrix = sparse.csr_matrix(np.array([[8.0, 0.0], [2.0, 3.0]]))
    binary = grouping_matrix(matrix, preference=False)
    assert binary.toarray().tolist() == [[1, 0], [1, 1]]
    assert grouping_matrix(matrix, preference=True) is matrix


@pytest.mark.parametrize("make", [sparse.csr_matrix, np.asarray])
def test_hand_worked_weighted_centroids(make):
    # Rows: u0 = [8, 0], u1 = [2, 0], u2 = [0, 4]; b = 14 / 3, so activities are
    # 8, 0, 0: thresholds 0.8 quantile = 0 + 0.6 * 8 = 4.8 and 0.2 quantile = 0. So omega = 2, 1, 1.
    rows = np.array([[8.0, 0.0], [2.0, 0.0], [0.0, 4.0]])
    grouping = group_nodes(sparse.csr_matrix(rows), make(rows), GroupingOptions(2), "user")
    assert grouping.baseline == pytest.approx(14 / 3)
    assert grouping.theta_high == pytest.approx(4.8)
    assert grouping.theta_low == 0
    # u1 and u2 are nearest: centroid ([2, 0] + [0, 4]) / 2 = [1, 2], inertia 5 + 5.
    assert grouping.macro.tolist() == [1, 0, 0]
    np.testing.assert_allclose(grouping.centroids, [[1, 2], [8, 0]])
    assert grouping.inertia == pytest.approx(10)


def test_activities_weigh_nodes():
    # Activities 6, 6, 0 as above; the 0.8 and 0.2 quantiles are 6 and 2.4: omega = 1, 1, 0.5.
    matrix = sparse.csr_matrix(np.array([[1.0, 2, 0], [0, 3, 0], [0, 0, 4]]))
    options = GroupingOptions(1, activity="copreference")
    x = np.array([[1.0], [1.0], [4.0]])
    grouping = group_nodes(matrix, x, options, "user")
    assert (grouping.baseline, grouping.theta_high) == (None, 6)
    assert grouping.theta_low == pytest.approx(2.4)
    # (1 + 1 + 0.5 * 4) / 2.5
    assert grouping.centroids[0, 0] == pytest.approx(1.6)


@pytest.mark.parametrize("preference", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_inertia_is_near_the_best_of_several_runs(seed, preference):
    matrix = planted_matrix(seed)
    options = GroupingOptions(20, preference=preference)
    placed_by = grouping_matrix(matrix, options.preference)
    spectral = Projection.of(placed_by, SpectralOptions(dim=16))
    for placement in (RowPlacement(placed_by), spectral.placement("user")):
        positions = placement.positions
        grouping = group_nodes(matrix, positions, options, "user")
        nodes, omega = reference.grouping_weights(matrix.toarray(), preference)
        x = (positions if isinstance(positions, np.ndarray) else positions.toarray())[nodes]
        best = min(
            KMeans(20, n_init=1, random_state=s).fit(x, sample_weight=omega).inertia_
            for s in range(4)
        )
        means = grouping.centroids[grouping.macro[nodes]]
        inertia = (omega * ((x - means) ** 2).sum(axis=1)).sum()
        assert grouping.inertia == pytest.approx(inertia)
        assert inertia <= 1.02 * best


def test_fewer_nodes_than_macro_nodes_leave_empty_ones(caplog):
    matrix = sparse.csr_matrix(np.array([[1.0, 0], [0, 0], [0, 2.0]]))
    grouping = group_nodes(matrix, unit(matrix), GroupingOptions(4), "item")
    assert sorted(grouping.macro.tolist()) == [-1, 0, 1]
    assert grouping.centroids.shape == (4, 2)
    assert not grouping.centroids[2:].any()
    assert grouping.inertia == pytest.approx(0)


def test_new_nodes_go_to_the_nearest_centroid_and_stay():
    history = sparse.csr_matrix(np.array([[3.0, 0], [0, 2.0]]))
    placement = RowPlacement(history)
    grouping = group_nodes(history, placement.positions, GroupingOptions(2), "user")
    # Node 2 is new and nearest the group of node 1; node 3 has only a new column; node 0 stays
    # though its row has moved.
    matrix = sparse.csr_matrix(np.array([[0, 9.0, 0], [0, 2, 0], [1, 5, 0], [0, 0, 7]]))
    macro = assign_new_nodes(grouping.macro, matrix, grouping.centroids, placement)
    assert macro.tolist() == [*grouping.macro, grouping.macro[1], -1]


def test_empty_macro_nodes_attract_nobody():
    history = sparse.csr_matrix(np.ones((1, 9)))
    placement = RowPlacement(history)
    grouping = group_nodes(history, placement.positions, GroupingOptions(5), "user")
    # The new row has one column: its squared distance is 1 from a zero centroid, and 2 - 2 / 3 from
    # the only real one.
    matrix = sparse.csr_matrix(np.stack([np.ones(9), np.eye(9)[0]]))
    assigned = assign_new_nodes(grouping.macro, matrix, grouping.centroids, placement)
    assert assigned.tolist() == [0, 0]


def test_new_nodes_fold_in_at_the_nearest_of_equal_centroids():
    # Users 0 and 1 like what user 2 likes; items 0 to 2 and items 3 to 4 never meet.
    history = sparse.csr_matrix(np.array([[1.0, 2, 0, 0, 0], [0, 1, 1, 0, 0], [0, 0, 0, 1, 3]]))
    placement = Projection.of(history, SpectralOptions()).placement("user")
    centroids = np.zeros((4, 2))
    centroids[1], centroids[2] = placement.positions[2], placement.positions[0]
    centroids[3] = centroids[1]
    rows = np.zeros((6, 6))
    rows[3, [3, 5]] = 1  # known by item 3, of user 2: of the equal ones the lower
    rows[4, 2] = 7
    rows[5, 5] = 1  # a new item alone
    macro = assign_new_nodes(np.array([5, 5, 5]), sparse.csr_matrix(rows), centroids, placement)
    assert macro.tolist() == [5, 5, 5, 1, 2, -1]


@pytest.mark.parametrize("threads", [1, 2])
def test_grouping_is_the_same_to_the_last_bit(threads):
    matrix = planted_matrix(1, nodes=900, columns=400)

    def group():
        positions = Projection.of(matrix, SpectralOptions()).placement("user").positions
        return group_nodes(matrix, positions, GroupingOptions(8), "user")

    first = group()
    with threadpool_limits(threads, "blas"):
        second = group()
    np.testing.assert_array_equal(first.macro, second.macro)
    np.testing.assert_array_equal(first.centroids, second.centroids)
