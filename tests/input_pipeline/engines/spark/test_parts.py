"""What tasks compute on parts, run one after the other without Spark."""

import types

import numpy as np
import pytest
from scipy import sparse

pytest.importorskip("pyspark", reason="the extra `spark` is not installed")

from input_pipeline.engines.spark import products, window_records
from input_pipeline.engines.spark.array_file import ArrayFile
from input_pipeline.engines.spark.edge_columns import _merge
from input_pipeline.engines.spark.order_statistics import quantiles
from input_pipeline.engines.spark.plan import (
    PairParts,
    add_shared,
    group_starts,
    rows_of,
    write_sums,
)


class Here:
    """Runs tasks in this process."""

    def __init__(self, part_rows):
        self.part_rows = part_rows

    def run(self, function, tasks):
        return list(map(function, tasks))


@pytest.mark.parametrize("part_rows", [3, 1000])
def test_quantiles_are_numpys(tmp_path, part_rows):
    random = np.random.default_rng(0)
    values = np.round(random.normal(size=200) * 5, 1)  # with ties
    values[:3] = [-0.0, 1e300, -1e-300]
    chosen = random.integers(0, 3, 200)
    for name, array in (("values", values), ("chosen", chosen)):
        np.save(tmp_path / f"{name}.npy", array)
    paths = [str(tmp_path / f"{name}.npy") for name in ("values", "chosen")]
    count = int((chosen > 0).sum())
    shares = (0.8, 0.2, 0.0, 1.0, 0.123)
    found = quantiles(*paths, count, shares, Here(part_rows))
    assert found == np.quantile(values[chosen > 0], shares).tolist()


def test_products_in_bands(tmp_path, monkeypatch):
    random = np.random.default_rng(1)
    dense = random.integers(-5, 5, (50, 4)).astype(float)
    np.save(tmp_path / "d.npy", dense)
    matrix = sparse.random_array((9, 50), density=0.2, format="csr", random_state=2)
    matrix.data[:] = random.integers(1, 9, matrix.nnz)
    matrix = sparse.csr_matrix(matrix)
    file = ArrayFile(str(tmp_path / "d.npy"))
    for numbers in (4, 28, 1 << 20):
        monkeypatch.setattr(products, "_BAND_NUMBERS", numbers)
        found = products.times_file(matrix, file, 4, lambda rows: rows * 1.0)
        np.testing.assert_array_equal(found, matrix.toarray() @ dense)


def test_a_node_of_several_parts_gets_the_sum_of_all(tmp_path):
    # Node 2 is in all three parts, alone in the second one; node 4 in the last two.
    parts = PairParts(("a", "b", "c"), ((0, 2), (2, 2), (2, 4)))
    assert [parts.shared(n) for n in range(3)] == [{2}, {2}, {2}]
    plan = types.SimpleNamespace(pairs={"item": parts})
    path = str(tmp_path / "sums.npy")
    ArrayFile.create(path, (5, 1), float)
    sums = [(0, [[1], [2], [4]]), (2, [[8]]), (2, [[16], [32], [64]])]
    found = [
        write_sums(plan, "item", part, first, np.array(values, float), path)
        for part, (first, values) in enumerate(sums)
    ]
    add_shared(path, found)
    assert np.load(path).ravel().tolist() == [1, 2, 4 + 8 + 16, 32, 64]


def test_newest_neighbors_of_several_parts():
    parts = [
        {7: {"rows": np.array([1, 2]), "times": np.array([50, 30]), "codes": np.array([4, 9])}},
        {7: {"rows": np.array([3, 5]), "times": np.array([50, 40]), "codes": np.array([2, 1])}},
        {8: {"rows": np.array([6]), "times": np.array([1]), "codes": np.array([0])}},
    ]
    merged = _merge(parts, 3)
    # At 50 both 1 and 3: the smaller code first; 2 is the fourth.
    assert merged[7]["rows"].tolist() == [3, 1, 5]
    assert merged[8]["rows"].tolist() == [6]


def test_starts_of_runs():
    assert group_starts(np.array([1, 1, 2, 2, 2]), np.array([5, 6, 6, 6, 7])).tolist() == [
        0, 1, 2, 4,
    ]  # fmt: skip
    assert group_starts(np.zeros(0)).tolist() == []


@pytest.mark.parametrize("size", [1, 4, 100])
@pytest.mark.parametrize("keep_users", [False, True])
def test_chunks_do_not_depend_on_batches(monkeypatch, size, keep_users):
    import pyarrow as pa

    monkeypatch.setattr(window_records, "_CHUNK_ROWS", 4)
    buckets = [0] * 9 + [2] * 3 + [3] * 5
    users = [1, 1, 1, 2, 2, 2, 3, 3, 4] + [5, 5, 5] + [6] * 5
    table = pa.table({"bucket": buckets, "user": users})
    found = [
        (bucket, [chunk["user"].to_pylist() for chunk in chunks])
        for bucket, chunks in window_records._buckets(table.to_batches(size), keep_users)
    ]
    rows = [[1, 1, 1], [2, 2, 2], [3, 3, 4]] if keep_users else [[1, 1, 1, 2], [2, 2, 3, 3], [4]]
    assert found == [(0, rows), (2, [[5, 5, 5]]), (3, [[6] * 4, [6]])]


def test_rows_of_a_table():
    import pyarrow as pa

    columns = {"user": [4, 2], "item": [1, 3], "positive": [5, 0], "unlabeled": [2, 0]}
    table = pa.table({name: pa.array(values, pa.int64()) for name, values in columns.items()})
    rows = rows_of(table, has_clock=False)
    assert (rows.timestamp, rows.sampled.tolist(), rows.event.tolist()) == (
        None,
        [False] * 2,
        [0, 1],
    )
    assert [rows.user.dtype, rows.positive.dtype] == [np.int32, np.uint32]
    assert (rows.user.tolist(), rows.unlabeled.tolist()) == ([4, 2], [2, 0])
    table = table.append_column("timestamp", pa.array([70, 60]))
    table = table.append_column("sampled", pa.array([False, True]))
    rows = rows_of(table, has_clock=True, event=np.array([9, 8]))
    assert (rows.timestamp.tolist(), rows.sampled.tolist()) == ([70, 60], [False, True])
    assert rows.event.tolist() == [9, 8]
