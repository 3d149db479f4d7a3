import functools

import numpy as np
import pytest
from scipy import sparse
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from input_pipeline.graph import kmeans as kmeans_module
from input_pipeline.graph.kmeans import kmeans
from input_pipeline.graph.node_rows import DenseRows, SparseRows


def sparse_rows(x, num_clusters):
    return SparseRows(sparse.csr_matrix(x), num_clusters)


def dense_rows(x, num_clusters):
    return DenseRows(x)


@pytest.fixture(params=[sparse_rows, dense_rows])
def cluster(request):
    return functools.partial(cluster_rows, request.param)


def cluster_rows(make_rows, rows, weights=None, num_clusters=2, seed=0):
    x = make_rows(np.asarray(rows, float), num_clusters)
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


def test_hand_worked_weights_move_the_border(cluster):
    # 0 and 4 with weight 1 and 10 with weight w: {0}, {4, 10} costs w / (1 + w) * 36 and
    # {0, 4}, {10} costs 8. So the border moves where 36 w / (1 + w) = 8, at w = 2 / 7.
    light, heavy = (cluster([[0], [4], [10]], [1, 1, w]).tolist() for w in (0.2, 0.4))
    assert light[0] != light[1] == light[2]
    assert heavy[0] == heavy[1] != heavy[2]


@pytest.mark.parametrize("seed", range(3))
def test_result_is_a_fixed_point_near_the_best_of_scikit_learn(cluster, seed):
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


def test_equal_rows_share_a_cluster_and_leave_others_empty(cluster):
    labels = cluster([[1, 0]] * 5 + [[0, 1]] * 4, num_clusters=4)
    assert len(set(labels[:5])) == len(set(labels[5:])) == 1
    assert labels[0] != labels[5]


def test_rows_without_entries_are_rows_too(cluster):
    labels = cluster([[0, 0], [0, 0], [3, 4]])
    assert labels[0] == labels[1] != labels[2]


def test_more_clusters_than_rows_are_refused(cluster):
    with pytest.raises(ValueError, match="from 1 to the number of rows, 2, got 3"):
        cluster([[1, 0], [0, 1]], num_clusters=3)


@pytest.mark.parametrize(
    ("make_rows", "limit", "numbers"),
    # Of some 10,000 entries, and of 200,000 numbers.
    [(sparse_rows, "_SAMPLE_ENTRIES", 3_000), (dense_rows, "_SAMPLE_NUMBERS", 60_000)],
)
def test_search_in_a_sample_ends_near_the_search_in_all_rows(
    monkeypatch, make_rows, limit, numbers
):
    random = np.random.default_rng(0)
    same = random.integers(0, 8, (2_000, 1)) == random.integers(0, 8, 100)
    x = (random.random((2_000, 100)) < np.where(same, 0.3, 0.02)).astype(float)
    weights = random.choice([0.5, 1.0, 2.0], 2_000)
    inertias = []
    monkeypatch.setattr(kmeans_module, "_MIN_SWAPS", 100)
    for searched in (10**9, numbers):
        monkeypatch.setattr(
            {sparse_rows: SparseRows, dense_rows: DenseRows}[make_rows], limit, searched
        )
        labels = cluster_rows(make_rows, x, weights, 8)
        distances = ((x[:, np.newaxis] - means_of(x, weights, labels, 8)) ** 2).sum(axis=2)
        np.testing.assert_array_equal(distances.argmin(axis=1), labels)
        inertias.append((weights * distances.min(axis=1)).sum())
    assert inertias[1] <= 1.01 * inertias[0]


def test_sparse_and_dense_rows_do_the_same():
    random = np.random.default_rng(0)
    x = random.random((30, 7)) * (random.random((30, 7)) < 0.4)
    x[:, 3] = 0
    some, labels = np.array([4, 4, 17, 0]), np.array([1, 0, 1, 2])
    for rows in (sparse_rows(x, 3), dense_rows(x, 3)):
        np.testing.assert_allclose(rows.lengths, (x**2).sum(axis=1))
        columns = rows.columns_of([5, 2])
        np.testing.assert_array_equal(columns, x[[5, 2]].T)
        np.testing.assert_allclose(rows.times(columns), x @ x[[5, 2]].T)
        sums = np.ones((7, 3))
        rows.add_to(sums, some, labels, np.array([1.0, -1.0, 2.0, 0.5]))
        expected = 1 + np.stack([-x[4], x[4] + 2 * x[17], 0.5 * x[0]], axis=1)
        np.testing.assert_allclose(sums, expected)
        sample, kept = rows.sample(some)
        np.testing.assert_array_equal(sample.columns_of([0, 2]), x[[4, 17]].T[kept])
        assert rows.single().times(columns.astype(np.float32)).dtype == np.float32


def test_labels_do_not_depend_on_the_number_of_threads():
    random = np.random.default_rng(0)
    x = random.standard_normal((3_000, 64))
    found = []
    for threads in (1, 2):
        with threadpool_limits(threads, "blas"):
            found.append(cluster_rows(dense_rows, x, num_clusters=20).tolist())
    assert found[0] == found[1]
