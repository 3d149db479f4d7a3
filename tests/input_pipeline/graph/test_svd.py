"""The randomised SVD against numpy's dense one."""

import numpy as np
import pytest
from scipy import sparse
from threadpoolctl import threadpool_limits

from input_pipeline.graph.svd import truncated_svd


def decompose(x, dim, seed=0):
    return truncated_svd(sparse.csr_matrix(x), dim, random=np.random.default_rng(seed))


def test_hand_worked():
    # [[3, 0], [0, -2], [0, 0]] = e0 3 e0^T + (-e1) 2 e1^T; the largest entry of right is positive.
    svd = decompose([[3.0, 0], [0, -2], [0, 0]], 2)
    np.testing.assert_allclose(svd.singular_values, [3, 2])
    np.testing.assert_allclose(svd.left, [[1, 0], [0, -1], [0, 0]], atol=1e-14)
    np.testing.assert_allclose(svd.right, [[1, 0], [0, 1]], atol=1e-14)


@pytest.mark.parametrize("shape", [(30, 12), (12, 30), (14, 14)])
def test_small_matrices_are_decomposed_to_the_last_digits(shape):
    random = np.random.default_rng(1)
    x = random.random(shape) * (random.random(shape) < 0.4)
    for dim in (1, 11):
        svd = decompose(x, dim)
        left, values, right = np.linalg.svd(x)
        left, right = left[:, :dim], right[:dim].T
        signs = np.sign(right[np.abs(right).argmax(axis=0), np.arange(dim)])
        np.testing.assert_allclose(svd.singular_values, values[:dim], rtol=1e-12)
        np.testing.assert_allclose(svd.left, left * signs, atol=1e-9)
        np.testing.assert_allclose(svd.right, right * signs, atol=1e-9)


@pytest.mark.parametrize("shape", [(600, 400), (400, 600)])
def test_large_matrices_are_decomposed_up_to_convergence(shape):
    random = np.random.default_rng(2)
    groups = [random.integers(0, 9, n) for n in shape]
    same = groups[0][:, np.newaxis] == groups[1]
    x = (random.random(shape) < np.where(same, 0.3, 0.02)).astype(float)
    svd = decompose(x, 32)
    exact = np.linalg.svd(x, compute_uv=False)[:32]
    # Nine groups stand out, the rest is noise, whose values lie close together.
    np.testing.assert_allclose(svd.singular_values[:9], exact[:9], rtol=1e-6)
    np.testing.assert_allclose(svd.singular_values, exact, rtol=0.03)
    for vectors in (svd.left, svd.right):
        np.testing.assert_allclose(vectors.T @ vectors, np.eye(32), atol=1e-12)
    if shape[0] > shape[1]:
        np.testing.assert_allclose(x @ svd.right, svd.left * svd.singular_values, atol=1e-11)
    else:
        np.testing.assert_allclose(x.T @ svd.left, svd.right * svd.singular_values, atol=1e-11)


def test_directions_that_are_not_there_are_zero():
    x = np.outer([1.0, 2, 0, 4], [3.0, 0, 1])
    svd = decompose(x, 3)
    np.testing.assert_allclose(svd.singular_values, [np.sqrt(21 * 10), 0, 0])
    assert not svd.left[:, 1:].any()
    assert not svd.right[:, 1:].any()


def test_scores_beyond_single_precision():
    x = np.array([[1e200, 1e180], [2e200, 0]])
    svd = decompose(x, 1)
    assert svd.singular_values[0] == pytest.approx(np.sqrt(5) * 1e200)


def test_a_seed_gives_the_same_bits_with_any_number_of_threads():
    random = np.random.default_rng(3)
    x = random.random((3_000, 2_000)) * (random.random((3_000, 2_000)) < 0.01)
    found = []
    for threads in (1, 2):
        with threadpool_limits(threads, "blas"):
            found.append(decompose(x, 64))
    np.testing.assert_array_equal(found[0].left, found[1].left)
    np.testing.assert_array_equal(found[0].right, found[1].right)
    assert (decompose(x, 64, seed=1).left != found[0].left).any()


def test_faults():
    with pytest.raises(ValueError, match=r"at least one entry, got none of \(2, 3\)"):
        decompose(np.zeros((2, 3)), 1)
    for dim in (0, 3):
        with pytest.raises(ValueError, match=rf"from 1 to min\(2, 3\), got {dim}"):
            decompose(np.ones((2, 3)), dim)
