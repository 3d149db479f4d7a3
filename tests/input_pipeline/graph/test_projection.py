import dataclasses

import numpy as np
import pytest
from scipy import sparse

from input_pipeline.graph.macro_nodes import GroupingOptions
from input_pipeline.graph.projection import Projection, RowPlacement, SpectralOptions
from input_pipeline.graph.unit_rows import unit
from input_pipeline.preparation_options import PreparationOptions


def random_matrix(shape=(40, 25), seed=0):
    random = np.random.default_rng(seed)
    matrix = random.integers(1, 16, shape) * (random.random(shape) < 0.2)
    return sparse.csr_matrix(matrix.astype(float))


def test_unit_rows():
    rows = np.array([[3.0, 4.0], [0.0, 0.0]])
    assert unit(rows).tolist() == [[0.6, 0.8], [0, 0]]
    assert unit(sparse.csr_matrix(rows)).toarray().tolist() == [[0.6, 0.8], [0, 0]]


def test_rows_are_cut_to_the_columns_of_history():
    placement = RowPlacement(sparse.csr_matrix(np.array([[3.0, 4.0], [0.0, 0.0]])))
    assert placement.positions.toarray().tolist() == [[0.6, 0.8], [0, 0]]
    places = placement.place(sparse.csr_matrix(np.array([[0.0, 5.0, 7.0], [0.0, 0.0, 1.0]])))
    assert places.toarray().tolist() == [[0, 1], [0, 0]]


def test_hand_worked_places():
    # Users 0 and 1 like items 0 and 1 alike; user 2 item 2. S S^T = [[2, 2, 0], [2, 2, 0],
    # [0, 0, 9]]: values 3 (user 2) and 2, the third dimension is cut off.
    history = sparse.csr_matrix(np.array([[1.0, 1, 0], [1, 1, 0], [0, 0, 3]]))
    projection = Projection.of(history, SpectralOptions(scale="none", power=1))
    np.testing.assert_allclose(projection.singular_values, [3, 2])
    root = np.sqrt(0.5)
    np.testing.assert_allclose(projection.user, [[0, root], [0, root], [1, 0]], atol=1e-7)
    users = projection.placement("user")
    np.testing.assert_allclose(users.positions, [[0, 1], [0, 1], [1, 0]], atol=1e-7)
    # s_v B = [4, 3 root] for [3, 0, 4]; with p = 2 times Sigma: [12, 6 root].
    row = sparse.csr_matrix([[3.0, 0, 4]])
    np.testing.assert_allclose(users.place(row), unit(np.array([[4, 3 * root]])), atol=1e-7)
    square = Projection.of(history, SpectralOptions(scale="none", power=2)).placement("user")
    np.testing.assert_allclose(square.place(row), unit(np.array([[12, 6 * root]])), atol=1e-7)


def test_degrees_of_the_other_side_weigh_what_a_later_node_did():
    # D_U = 2, 2, 3 and D_I = 2, 2, 3: S' = [[1/2, 1/2, 0], [1/2, 1/2, 0], [0, 0, 1]].
    history = sparse.csr_matrix(np.array([[1.0, 1, 0], [1, 1, 0], [0, 0, 3]]))
    projection = Projection.of(history, SpectralOptions(dim=2, scale="degree", power=1))
    np.testing.assert_allclose(projection.singular_values, [1, 1])
    assert projection.item_degree.tolist() == [2, 2, 3]
    places = projection.placement("user").place(sparse.csr_matrix([[3.0, 0, 4]]))
    # The two dimensions may be turned: compare with the places of users 0 and 2. The lengths
    # along them are 3 / sqrt(2) * sqrt(1 / 2) and 4 / sqrt(3).
    along = places @ projection.placement("user").positions[[0, 2]].T
    np.testing.assert_allclose(along, unit(np.array([[1.5, 4 / np.sqrt(3)]])), atol=1e-6)


def test_mean_degrees_are_added():
    # D_U = 2, 2, 4 with mean 8 / 3, D_I = 2, 2, 4 likewise.
    history = sparse.csr_matrix(np.array([[1.0, 1, 0], [1, 1, 0], [0, 0, 4]]))
    projection = Projection.of(history, SpectralOptions(dim=2, scale="regularized"))
    np.testing.assert_allclose(projection.item_degree, [14 / 3, 14 / 3, 20 / 3])
    # S' = [[3/14, 3/14, 0], [3/14, 3/14, 0], [0, 0, 3/5]]: the larger island is the stronger one.
    np.testing.assert_allclose(projection.singular_values, [3 / 5, 3 / 7])


@pytest.mark.parametrize("scale", ["none", "degree", "regularized"])
@pytest.mark.parametrize("power", [1, 2])
def test_a_node_of_history_folds_in_where_it_is(scale, power):
    matrix = random_matrix()
    projection = Projection.of(matrix, SpectralOptions(dim=12, scale=scale, power=power))
    for owner, rows in (("user", matrix), ("item", matrix.T.tocsr())):
        placement = projection.placement(owner)
        np.testing.assert_allclose(placement.place(rows), placement.positions, atol=1e-5)
        lengths = np.linalg.norm(placement.positions, axis=1)
        np.testing.assert_allclose(lengths, np.diff(rows.indptr) > 0, atol=1e-12)


def test_nodes_outside_of_the_kept_dimensions_have_no_place():
    # Of two components that share nothing only the stronger one fits into one dimension.
    history = sparse.csr_matrix(np.array([[5.0, 1, 0, 0], [4, 2, 0, 0], [0, 0, 1, 1]]))
    projection = Projection.of(history, SpectralOptions(dim=1))
    placement = projection.placement("user")
    np.testing.assert_allclose(placement.positions[:, 0], [1, 1, 0])
    places = placement.place(sparse.csr_matrix(np.array([[0, 1.0, 0, 0], [0, 0, 9, 9]])))
    np.testing.assert_allclose(places[:, 0], [1, 0])
    assert not places[1].any()
    assert not projection.item[2:].any()


def test_there_are_less_dimensions_than_nodes():
    for shape, dim in (((5, 9), 4), ((1, 7), 1), ((7, 1), 1), ((90, 70), 64)):
        projection = Projection.of(random_matrix(shape, seed=4), SpectralOptions(dim=64))
        assert projection.user.shape == (shape[0], dim)
        assert projection.item.shape == (shape[1], dim)


def test_degrees_are_written_where_they_are_used():
    names = {"user", "singular_values", "item"}
    matrix = random_matrix()
    arrays = Projection.of(matrix, SpectralOptions(scale="none")).arrays()
    assert set(arrays) == names
    assert [arrays[name].dtype for name in ("user", "item", "singular_values")] == [
        np.float32, np.float32, np.float64,
    ]  # fmt: skip
    arrays = Projection.of(matrix, SpectralOptions(scale="degree")).arrays()
    assert set(arrays) == names | {"user_degree", "item_degree"}


def test_defaults_are_those_of_the_flags():
    flags = PreparationOptions()
    spectral, grouping = SpectralOptions(), GroupingOptions(flags.num_user_macro_nodes)
    for field in ("dim", "scale", "power"):
        assert getattr(spectral, field) == getattr(flags, f"grouping_{field}")
    names = {field.name for field in dataclasses.fields(grouping)}
    for name in names - {"num_macro_nodes", "restarts", "seed"}:
        assert getattr(grouping, name) == getattr(flags, name)
    assert grouping.restarts == flags.kmeans_restarts


def test_faults():
    for name, value, message in (
        ("dim", 0, "--grouping_dim: must be at least 1, got 0"),
        ("power", 3, "--grouping_power: must be 1 or 2, got 3"),
        (
            "scale",
            "row",
            r"--grouping_scale: must be one of \('none', 'degree', 'regularized'\), got 'row'",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            SpectralOptions(**{name: value})
