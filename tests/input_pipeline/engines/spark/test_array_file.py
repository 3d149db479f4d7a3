"""Arrays of which parts are read and written in place, against NumPy's own files."""

import numpy as np
import pytest

from input_pipeline.engines.spark import array_file
from input_pipeline.engines.spark.array_file import ArrayFile, ListFile, cumulated, write_npz


def test_parts_are_written_where_they_belong(tmp_path):
    path = str(tmp_path / "a.npy")
    file = ArrayFile.create(path, (5, 2), np.float32)
    file.write(3, np.array([[7, 8], [9, 10]]))
    file.write(0, np.array([[1, 2]]))
    expected = np.array([[1, 2], [0, 0], [0, 0], [7, 8], [9, 10]], np.float32)
    found = np.load(path)
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(file.read(2, 9), expected[2:])
    assert file.read(4, 4).shape == (0, 2)
    with pytest.raises(ValueError, match=r"rows \(2, 2\) from 4 on are not in \(5, 2\)"):
        file.write(4, np.zeros((2, 2)))
    with pytest.raises(ValueError, match=r"rows \(1, 3\) from 0 on are not in \(5, 2\)"):
        file.write(0, np.zeros((1, 3)))


@pytest.mark.parametrize("gap", [0, 40, 1 << 15])
def test_rows_are_taken_in_runs(tmp_path, monkeypatch, gap):
    monkeypatch.setattr(array_file, "_GAP_BYTES", gap)
    monkeypatch.setattr(array_file, "_BLOCK_BYTES", 200)
    values = np.random.default_rng(0).normal(size=(1000, 3))
    np.save(tmp_path / "a.npy", values)
    file = ArrayFile(str(tmp_path / "a.npy"))
    for rows in ([], [999], [0, 1, 2, 5, 5, 400, 401, 420, 999], list(range(1000))):
        index = np.array(rows, np.int64)
        np.testing.assert_array_equal(file.take(index), values[index])
    np.testing.assert_array_equal(np.concatenate([b for _, b in file.blocks()]), values)


def test_npz_in_pieces_reads_as_numpys(tmp_path):
    path = str(tmp_path / "a.npz")
    arrays = {
        "rows": (np.int32, (5,), [np.array([1, 2]), np.zeros(0), np.array([3, 4, 5])]),
        "format": ("S3", (), [np.array(b"csr")]),
    }
    for compressed in (True, False):
        write_npz(path, arrays, compressed=compressed)
        with np.load(path) as found:
            assert found["rows"].tolist() == [1, 2, 3, 4, 5]
            assert found["format"].item() == b"csr"
    assert ArrayFile(path, "rows").read(1, 4).tolist() == [2, 3, 4]
    with pytest.raises(ValueError, match="rows must have 5 values, got 4"):
        write_npz(path, {"rows": (np.int32, (5,), [np.arange(4)])})


def test_lists_are_taken_by_node(tmp_path):
    path = str(tmp_path / "lists.npz")
    np.savez(path, indptr=np.array([0, 2, 2, 5]), rows=np.arange(5), weights=np.arange(5) / 2)
    lengths, arrays = ListFile(path).take(np.array([0, 2]))
    assert lengths.tolist() == [2, 3]
    assert arrays["rows"].tolist() == [0, 1, 2, 3, 4]
    lengths, arrays = ListFile(path).take(np.array([1, 2]))
    assert (lengths.tolist(), arrays["weights"].tolist()) == ([0, 3], [1.0, 1.5, 2.0])


def test_offsets_of_lengths(tmp_path, monkeypatch):
    monkeypatch.setattr(array_file, "_BLOCK_BYTES", 16)
    np.save(tmp_path / "n.npy", np.array([2, 0, 3, 1]))
    pieces = list(cumulated(ArrayFile(str(tmp_path / "n.npy"))))
    assert np.concatenate(pieces).tolist() == [0, 2, 2, 5, 6]
