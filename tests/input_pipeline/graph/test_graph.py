"""Hand-worked graphs; whole data sets are compared in ../test_prepare.py."""

import numpy as np
import pytest
from scipy import sparse

from input_pipeline.graph import tiled_matrix
from input_pipeline.graph.macro_edges import macro_edges, one_hot
from input_pipeline.graph.merging_matrix import (
    Pairs,
    behavior_counts,
    box_cox,
    merging_matrix,
    ranks,
    ranks_of_scores,
)
from input_pipeline.graph.neighbors import latest_neighbors
from input_pipeline.graph.task_table import task_table
from tests.reference_preparation import rank_of_sets

# u0: click on i0, click and buy on i1. u1: fav on i1. Tasks: click, fav, buy.
PAIRS = Pairs(
    user=np.array([0, 0, 1], np.int32),
    item=np.array([0, 1, 1], np.int32),
    behaviors=np.array([0b001, 0b101, 0b010], np.uint32),
    latest=np.zeros((3, 3), np.int64),
)


def test_strict_levels_read_the_set_as_a_binary_number():
    assert ranks(np.array([0b0001, 0b0010, 0b0011, 0b1111], np.uint32), (1, 2, 3, 4)).tolist() == [
        1, 2, 3, 15,
    ]  # fmt: skip


def test_tied_levels_share_ranks():
    # fav and cart tie: {click} 1, {fav} = {cart} 2, {click, fav} 3, {fav, cart} 4, all three 5.
    sets = np.array([0b001, 0b010, 0b100, 0b011, 0b110, 0b111], np.uint32)
    assert ranks(sets, (1, 2, 2)).tolist() == [1, 2, 2, 3, 4, 5]


@pytest.mark.parametrize("levels", [(3, 1, 2), (1, 1, 1), (5, 5, 1, 9), (2, 1, 2, 1, 3)])
def test_ranks_are_dense_over_all_sets(levels):
    expected = rank_of_sets(levels)
    sets = np.arange(1, 2 ** len(levels), dtype=np.uint32)
    members = [frozenset(t for t in range(len(levels)) if s >> t & 1) for s in sets.tolist()]
    assert ranks(sets, levels).tolist() == [expected[s] for s in members]


def test_merging_matrix():
    # rho: {click} 1, {click, buy} 5, {fav} 2; s = (rho + 1)^2 / 2 - 1 / 2. u2, i2: nothing.
    matrix = merging_matrix(PAIRS, (1, 2, 3), 2.0, 3, 3)
    np.testing.assert_allclose(matrix.toarray(), [[1.5, 17.5, 0], [0, 4, 0], [0, 0, 0]], rtol=1e-14)


def test_box_cox():
    rho = np.array([1, 3, 15])
    # Exactly rho, so that edges of the default are whole numbers.
    assert box_cox(rho, 1.0).tolist() == [1, 3, 15]
    # (2^-1 - 1) / -1, (4^-1 - 1) / -1, (16^-1 - 1) / -1.
    np.testing.assert_allclose(box_cox(rho, -1.0), [0.5, 0.75, 0.9375], rtol=1e-15)
    np.testing.assert_allclose(box_cox(rho, 0.5), [2 * (2**0.5 - 1), 2, 6], rtol=1e-15)
    logarithms = [np.log(2), np.log(4), np.log(16)]
    for beta in (0.0, 1e-18, -1e-18, 5e-324, 1e-16):
        np.testing.assert_allclose(box_cox(rho, beta), logarithms, rtol=1e-15)
    # To the next order, ln(2) + beta ln(2)^2 / 2: what a difference of powers would not give.
    found = box_cox(np.array([1]), 1e-9)[0]
    assert found == pytest.approx(np.log(2) + 1e-9 * np.log(2) ** 2 / 2, rel=1e-15)


def test_pairs_without_a_behaviour_are_not_stored():
    pairs = Pairs(PAIRS.user, PAIRS.item, PAIRS.behaviors * np.uint32([1, 0, 1]), PAIRS.latest)
    assert merging_matrix(pairs, (1, 2, 3), 1.0, 2, 2).nnz == 2


def test_scores_and_edges_out_of_range_are_refused():
    none = np.zeros((1, 2), np.int64)
    pairs = Pairs(np.array([0, 0]), np.array([0, 1]), np.array([3, 3], np.uint32), none)
    # 4^63 / 63 = 1.35e36 fits in float32; two hops sum its squares.
    matrix = merging_matrix(pairs, (1, 2), 63.0, 1, 2)
    with pytest.raises(ValueError, match=r"--beta: macro edges must not exceed 3\.4e\+38, got"):
        macro_edges(matrix, one_hot(np.array([0]), 1), one_hot(np.array([0, 0]), 1))
    # 4^67 / 67 = 3.25e38, 4^68 / 68 = 1.28e39.
    assert merging_matrix(pairs, (1, 2), 67.0, 1, 2).data[0] == pytest.approx(4.0**67 / 67)
    with pytest.raises(
        ValueError, match=r"--beta: scores must not exceed 3\.4e\+38, got 1\.28e\+39"
    ):
        merging_matrix(pairs, (1, 2), 68.0, 1, 2)
    with pytest.raises(ValueError, match=r"--beta: scores must not exceed .*, got inf"):
        merging_matrix(pairs, (1, 2), 700.0, 1, 2)
    with pytest.raises(ValueError, match=r"--beta: scores must be at least 1\.18e-38, got 1e-40"):
        merging_matrix(pairs, (1, 2), -1e40, 1, 2)


def test_macro_edges():
    # E = [[1, 5], [0, 2]]; items: i0 in macro node 1, i1 cold; users: both in macro node 0.
    matrix = sparse.csr_matrix(np.array([[1.0, 5.0], [0.0, 2.0]]))
    p_user = one_hot(np.array([0, 0]), 2)
    p_item = one_hot(np.array([1, -1]), 2)
    user, item = macro_edges(matrix, p_user, p_item)
    # One hop: u0 has 1 on macro node 1; u1 only the cold item. The items' is E^T P_U.
    assert user[0].tolist() == [[0, 1], [0, 0]]
    assert item[0].tolist() == [[1, 0], [7, 0]]
    # Two hops: u0 1 * 1 + 5 * 7 = 36, u1 2 * 7 = 14; i0 1 * 1, i1 5 * 1.
    assert user[1].tolist() == [[36, 0], [14, 0]]
    assert item[1].tolist() == [[0, 1], [0, 5]]
    assert {edges.dtype for edges in (*user, *item)} == {np.dtype(np.float32)}


def test_tiles_give_the_product(monkeypatch):
    # Tiles of 3 rows and 2 columns.
    monkeypatch.setattr(tiled_matrix, "_PRODUCT_BYTES", 3 * 4 * 8)
    monkeypatch.setattr(tiled_matrix, "_DENSE_BYTES", 2 * 4 * 8)
    random = np.random.default_rng(0)
    for shape in ((7, 5), (3, 2), (6, 4), (1, 9), (9, 1), (0, 3)):
        matrix = random.integers(0, 3, shape).astype(float)
        dense = random.integers(0, 9, (shape[1], 4)).astype(np.float32)
        product = tiled_matrix.TiledMatrix(sparse.csr_matrix(matrix), width=4) @ dense
        assert (product == matrix @ dense).all()
        assert product.shape == (shape[0], 4)
        assert product.dtype == float


def test_task_table_counts_items():
    table = task_table(PAIRS, np.array([1, 0]), 2, 3, 2)
    # u0 clicked i0 (macro 1) and i1 (macro 0) and bought i1; u1 liked i1.
    assert table[0].tolist() == [[1, 1], [0, 0], [1, 0]]
    assert table[1].tolist() == [[0, 0], [1, 0], [0, 0]]


def test_cold_items_are_not_counted():
    assert task_table(PAIRS, np.array([-1, -1]), 2, 3, 2).sum() == 0


def test_neighbors_newest_first_ties_by_smaller_id():
    neighbors = latest_neighbors(
        node=np.array([0, 0, 0, 0, 2], np.int32),
        neighbor=np.array([0, 1, 2, 3, 1], np.int32),
        time=np.array([5, 9, 9, 1, 4]),
        weight=np.array([1.0, 2.0, 3.0, 4.0, 5.0]),
        # Neighbour 2 has a smaller raw id than neighbour 1.
        neighbor_codes=np.array([10, 30, 20, 40]),
        num_nodes=3,
        max_neighbors=3,
    )
    assert neighbors.indptr.tolist() == [0, 3, 3, 4]
    assert neighbors.rows.tolist() == [2, 1, 0, 1]
    assert neighbors.weights.tolist() == [3, 2, 1, 5]


@pytest.mark.parametrize("unit", [1, 10**15, 10**18])
def test_neighbors_of_a_random_log_are_in_the_order_of_three_keys(unit):
    # With the largest unit, times and codes do not fit into one number; with the next, places
    # do not fit beside them.
    random = np.random.default_rng(0)
    pairs = random.permutation(40 * 50)[:600]
    node, neighbor = (pairs // 50).astype(np.int32), (pairs % 50).astype(np.int32)
    time = random.integers(-4, 5, 600) * unit
    codes = random.permutation(50)
    neighbors = latest_neighbors(node, neighbor, time, np.ones(600), codes, 40, 600)
    order = sorted(range(600), key=lambda p: (node[p], -int(time[p]), codes[neighbor[p]]))
    assert neighbors.rows.tolist() == neighbor[order].tolist()


@pytest.mark.parametrize("beta", [1.0, 0.0, 1e-30, 0.3, 2.5, -0.7, -6.0])
def test_ranks_are_found_back_from_their_scores(beta):
    # at -6 the scores of 250 and 251 are one number
    expected = np.arange(1, 100 if beta < -1 else 256)
    np.testing.assert_array_equal(ranks_of_scores(box_cox(expected, beta), beta), expected)


@pytest.mark.parametrize(("score", "beta"), [(1.5, 1.0), (0.9, -2.0), (np.inf, 0.5), (3.1, 0.0)])
def test_a_score_of_no_rank_is_refused(score, beta):
    with pytest.raises(ValueError, match=f"--beta={beta}: no rank has the score {score}"):
        ranks_of_scores(np.array([score]), beta)


def test_behaviours_are_counted_from_ranks():
    # levels 1, 2, 2, 3: digits of one, two and one behaviours
    sets = np.arange(16, dtype=np.uint32)
    found = behavior_counts(ranks(sets, [1, 2, 2, 3]), [1, 2, 2, 3])
    assert found.tolist() == [bin(one).count("1") for one in range(16)]
