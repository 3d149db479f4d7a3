import numpy as np
import pytest
from scipy import sparse
from sklearn.cluster import KMeans

from input_pipeline.graph.kmeans import kmeans


def cluster(rows, weights=None, num_clusters=2, seed=0):
    x = sparse.csr_matrix(np.asarray(rows, float))
    weights = np.ones(x.shape[0]) if weights is None else np.asarray(weights, float)
    random = np.random.default_rng(seed)
    return kmeans(x, weights, num_clusters, restarts=3, random=random)


def means_of(x, weights, labels, num_clusters):
    return np.stack(
        [
            np.average(x[labels == k], axis=0, weights=weights[labels == k])
            for k in range(num_clusters)
        ]
    )


def test_hand_worked_weights_move_the_border():
    # 0 and 4 with weight 1 and 10 with weight w: {0}, {4, 10} costs w / (1 + w) * 36 and
    # {0, 4}, {10} costs 8. So the border moves where 36 w / (1 + w) = 8, at w = 2 / 7.
    light, heavy = (cluster([[0], [4], [10]], [1, 1, w]).tolist() for w in (0.2, 0.4))
    assert light[0] != light[1] == light[2]
    assert heavy[0] == heavy[1] != heavy[2]


@pytest.mark.parametrize("seed", range(3))
def test_result_is_a_fixed_point_near_the_best_of_scikit_learn(seed):
    random = np.random.default_rng(seed)
    x = random.random((300, 40)) * (random.random((300, 40)) < 0.1)
    weights = random.choice([0.5, 1.0, 2.0], 300)
    labels = cluster(x, weights, 12, seed)
    means = means_of(x, weights, labels, 12)
    distances = ((x[:, np.newaxis] - means) ** 2).sum(axis=2)
    np.testing.assert_array_equal(distances.argmin(axis=1), labels)
    inertia = (weights * distances.min(axis=1)).sum()
    best = KMeans(12, n_init=10, random_state=seed).fit(x, sample_weight=weights).inertia_
    assert inertia <= 1.01 * best


def test_equal_rows_share_a_cluster_and_leave_others_empty():
    labels = cluster([[1, 0]] * 5 + [[0, 1]] * 4, num_clusters=4)
    assert len(set(labels[:5])) == len(set(labels[5:])) == 1
    assert labels[0] != labels[5]


def test_rows_without_entries_are_rows_too():
    labels = cluster([[0, 0], [0, 0], [3, 4]])
    assert labels[0] == labels[1] != labels[2]


def test_more_clusters_than_rows_are_refused():
    with pytest.raises(ValueError, match="from 1 to the number of rows, 2, got 3"):
        cluster([[1, 0], [0, 1]], num_clusters=3)
