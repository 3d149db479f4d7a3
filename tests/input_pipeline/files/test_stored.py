"""Files and the parts in place of them read alike."""

import itertools
import os

import numpy as np
import pytest

from input_pipeline.files import stored

INT32 = np.array([3, -1, 7, 0, 2], np.int32)
FLOATS = np.arange(30, dtype=np.float32).reshape(5, 2, 3) / 7


def write_parts(path, array, bounds):
    os.makedirs(stored.parts_folder(path), exist_ok=True)
    for number, (start, stop) in enumerate(itertools.pairwise(bounds)):
        stored.write_array_part(path, number, start, array[start:stop])


@pytest.mark.parametrize("array", [INT32, FLOATS, FLOATS[:, 0], np.full(5, np.nan, np.float32)])
def test_an_array_in_parts_is_that_of_a_file(tmp_path, array):
    file, path = str(tmp_path / "file.npy"), str(tmp_path / "parts.npy")
    np.save(file, array)
    assert not stored.exists(path)
    write_parts(path, array, [0, 2, 3, 5])
    assert stored.exists(path)
    for one in (file, path):
        found = stored.load_array(one)
        assert found.dtype == array.dtype
        np.testing.assert_array_equal(found, array)
        for rows in (1, 2, 4, 9):
            blocks = list(stored.blocks(one, rows))
            assert [len(block) for block in blocks][:-1] == [rows] * (len(blocks) - 1)
            np.testing.assert_array_equal(np.concatenate(blocks), array)
    with open(file, "rb") as whole:
        assert b"".join(stored.pieces(path)) == b"".join(stored.pieces(file)) == whole.read()
    stored.copy(path, str(tmp_path / "copy.npy"))
    np.testing.assert_array_equal(np.load(tmp_path / "copy.npy"), array)


def test_lists_in_parts_are_those_of_a_file(tmp_path):
    arrays = {
        "indptr": np.array([0, 2, 2, 3, 5]),
        "rows": np.array([4, 1, 0, 2, 2], np.int32),
        "weights": np.array([0.1, 0.2, 0.3, 0.4, 0.5], np.float32),
    }
    file, path = str(tmp_path / "file.npz"), str(tmp_path / "parts.npz")
    np.savez(file, **arrays)
    os.makedirs(stored.parts_folder(path))
    # the second part has an empty list alone
    for number, (start, stop) in enumerate(((0, 1), (1, 2), (2, 4))):
        part = slice(*arrays["indptr"][[start, stop]])
        lengths = np.diff(arrays["indptr"][start : stop + 1])
        entries = {name: arrays[name][part] for name in ("rows", "weights")}
        stored.write_lists_part(path, number, start, lengths, entries)
    for one in (file, path):
        found = stored.load_arrays(one)
        assert list(found) == list(arrays)
        for name, array in arrays.items():
            assert found[name].dtype == array.dtype
            np.testing.assert_array_equal(found[name], array)


def test_lines_in_parts_are_those_of_a_file(tmp_path):
    path = str(tmp_path / "ids.txt")
    os.makedirs(stored.parts_folder(path))
    for number, lines in enumerate((b"a\nb\n", b"", b"c\n")):
        with open(stored.part_path(path, number), "wb") as file:
            file.write(lines)
    assert b"".join(stored.pieces(path)) == b"a\nb\nc\n"
    (tmp_path / "ids.txt").write_bytes(b"other\n")
    assert b"".join(stored.pieces(path)) == b"other\n"


def test_parts_that_are_missing_are_named(tmp_path):
    path = str(tmp_path / "column.npy")
    with pytest.raises(FileNotFoundError, match=r"column\.npy: there is no such file, and no .*"):
        stored.load_array(path)
    write_parts(path, INT32, [0, 2, 3, 5])
    # what a killed writer leaves is no part
    (tmp_path / "column.parquet" / ".part-00003.parquet.tmp-1").write_bytes(b"x")
    np.testing.assert_array_equal(stored.load_array(path), INT32)
    os.remove(stored.part_path(path, 1))
    with pytest.raises(ValueError, match=r"must have the parts 0 to 1, got \['part-00000"):
        stored.load_array(path)
    os.rename(stored.part_path(path, 2), stored.part_path(path, 1))
    with pytest.raises(ValueError, match=r"part-00001.parquet: must begin with node 2, got 3"):
        list(stored.blocks(path, 2))
