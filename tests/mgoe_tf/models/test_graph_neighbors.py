import numpy as np
import pytest
from scipy import sparse

from mgoe_tf.models import graph_neighbors
from mgoe_tf.models.graph_neighbors import most_similar, sampled


def random_counts(rows: int = 40, columns: int = 25, seed: int = 0) -> sparse.csr_matrix:
    random = np.random.default_rng(seed)
    counts = random.integers(1, 4, (rows, columns)) * (random.random((rows, columns)) < 0.15)
    counts[7] = 0
    return sparse.csr_matrix(counts.astype(float))


def test_similar_rows_by_hand():
    # cosines of row 0 with rows 1, 2, 3: 2 / (sqrt 2 sqrt 2) = 1, 1 / sqrt 2, 0; of row 1 the same
    matrix = sparse.csr_matrix([[1.0, 1, 0], [1, 1, 0], [0, 2, 0], [0, 0, 5]])
    assert most_similar(matrix, 2).tolist() == [[1, 2], [0, 2], [0, 1], [-1, -1]]


@pytest.mark.parametrize("products", [1, 100, 1 << 20])
def test_equals_all_cosines_sorted_whatever_the_blocks(monkeypatch, products):
    monkeypatch.setattr(graph_neighbors, "_PRODUCTS", products)
    counts = random_counts()
    found, dense = most_similar(counts, 6), counts.toarray()
    norms = np.linalg.norm(dense, axis=1)
    with np.errstate(invalid="ignore"):
        cosines = np.nan_to_num(dense @ dense.T / np.outer(norms, norms))
    np.fill_diagonal(cosines, 0)
    for row, expected in enumerate(cosines):
        kept = found[row][found[row] >= 0]
        assert len(kept) == min(6, np.count_nonzero(expected)) == len(set(kept))
        best = np.sort(expected)[::-1][: len(kept)]
        np.testing.assert_allclose(expected[kept], best, atol=2e-6)
        assert (found[row][len(kept) :] == -1).all()
    assert (found[7] == -1).all()


def test_draws_are_of_the_row_without_repetition_and_of_its_seed():
    counts = random_counts()
    found = sampled(counts, 3, np.random.default_rng(1))
    degrees = np.diff(counts.indptr)
    for row, columns in enumerate(found):
        kept = columns[columns >= 0]
        assert len(kept) == len(set(kept)) == min(3, degrees[row])
        assert set(kept) <= set(counts[row].indices)
    np.testing.assert_array_equal(found, sampled(counts, 3, np.random.default_rng(1)))
    assert (found != sampled(counts, 3, np.random.default_rng(2))).any()


def test_every_neighbour_is_drawn_as_often():
    row = sparse.csr_matrix(np.ones((4000, 5)))
    drawn = sampled(row, 2, np.random.default_rng(0))
    # 4000 * 2 / 5 = 1600 of each; five standard deviations of a binomial are 155
    assert np.abs(np.bincount(drawn.ravel(), minlength=5) - 1600).max() < 155


def test_an_empty_graph_has_no_neighbours():
    empty = sparse.csr_matrix((3, 2))
    assert (most_similar(empty, 2) == -1).all()
    assert (sampled(empty, 2, np.random.default_rng(0)) == -1).all()
