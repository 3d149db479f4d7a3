"""Cells that say that there is no value, and ids that tables write as floats."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from input_pipeline.log.events import EventLog
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.sources import read_events
from tests.input_pipeline.sources.test_sources import raw, write

FLAGS: dict[str, Any] = {
    "source": "csv",
    "user_column": "u",
    "item_column": "i",
    "implicit_task": "click",
}


def read(path: str, **flags: Any) -> EventLog:
    return read_events(PreparationOptions(**{**FLAGS, "input": path, **flags}))


def ids_of(tmp_path: pathlib.Path, *ids: str) -> list:
    lines = ["u,i", *(f"{value},2" for value in ids)]
    return raw(read(write(tmp_path, "\n".join(lines).encode())).user_id)


@pytest.mark.parametrize("marker", ["NULL", "null", "\\N", "NA", "<NA>", "nan", "NaN", "None"])
def test_a_marker_is_never_a_user(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture, marker: str
) -> None:
    path = write(tmp_path, f"u,i,f,n\n{marker},2,x,1\n7,2,{marker},{marker}\n8,2,x,2\n".encode())
    flags: dict[str, Any] = {"item_feature_columns": ("f", "n:numeric")}
    message = f"log.csv:2: u must be an id, and none of --null_markers, got {marker!r}"
    with pytest.raises(ValueError, match="1 of 3 lines are malformed") as error:
        read(path, **flags)
    assert message in str(error.value)
    log = read(path, **flags, max_malformed=0.5)
    assert raw(log.user_id) == [7, 8]
    assert raw(log.item_features["f"]) == [b"", b"x"]
    np.testing.assert_array_equal(log.item_features["n"].values, [np.nan, 2])
    assert log.other_counts["null_cells"] == 2
    told = f"column 'f': 1 cells are read as missing (--null_markers): {marker!r} 1"
    assert told in caplog.text


def test_markers_may_be_ids(tmp_path: pathlib.Path) -> None:
    path = write(tmp_path, b"u,i\nNA,2\nDE,2\n-,2\n")
    assert raw(read(path, null_markers=()).user_id) == [b"NA", b"DE", b"-"]
    log = read(path, null_markers=("-",), max_malformed=0.5)
    assert (raw(log.user_id), log.malformed_lines) == ([b"NA", b"DE"], 1)
    # Only whole cells are markers, and case counts.
    assert ids_of(tmp_path, "NAN", "null!", "none") == [b"NAN", b"null!", b"none"]


def test_nulls_of_parquet(tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "log.parquet")
    table = pa.table({"u": ["a", None, "NULL"], "i": [1, 2, 3]})
    pyarrow.parquet.write_table(table, path)
    log = read(path, source="parquet", max_malformed=0.9)
    assert (raw(log.user_id), log.malformed_lines) == ([b"a"], 2)


@pytest.mark.parametrize(
    ("ids", "wanted"),
    [
        (("108.0", "7.0", "-3.0", "0.0"), [108, 7, -3, 0]),
        (("108", "7.0", "7"), [108, 7, 7]),
        (("5.", "5.000", "-0.0"), [5, 5, 0]),
        (("1e+16", "5.0", "1.5e3"), [10**16, 5, 1500]),
        # One value that is no whole number leaves the column as it is.
        (("108.0", "7.5"), [b"108.0", b"7.5"]),
        (("108.0", "x"), [b"108.0", b"x"]),
        (("108.0", "007.0"), [b"108.0", b"007.0"]),
        (("1e-3", "1.0"), [b"1e-3", b"1.0"]),
        (("1e19", "1.0"), [b"1e19", b"1.0"]),
    ],
)
def test_whole_floats_are_integers(tmp_path: pathlib.Path, ids: tuple, wanted: list) -> None:
    assert ids_of(tmp_path, *ids) == wanted


def test_whole_floats_of_several_blocks_and_of_features(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("input_pipeline.sources.delimited._BLOCK_BYTES", 300)
    lines = [f"{n}{'.0' if n > 100 else ''},2,{'' if n % 7 else f'{n}.0'}" for n in range(200)]
    path = write(tmp_path, "\n".join(["u,i,f", *lines]).encode())
    log = read(path, item_feature_columns=("f",))
    assert raw(log.user_id) == list(range(200))
    # With cells that are missing the values stay bytes, as those of parquet do.
    assert raw(log.item_features["f"]) == [b"" if n % 7 else b"%d" % n for n in range(200)]
    log = read(write(tmp_path, b"u,i,f\n1,2,5.0|7.0\n1,3,7\n"), item_feature_columns=("f:multi",))
    assert log.item_features["f"].entries.values.tolist() == [5, 7]


def test_floats_that_cannot_tell_ids_apart_are_told(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert ids_of(tmp_path, "9007199254740992.0", "1.0") == [2**53, 1]
    assert not caplog.records
    assert ids_of(tmp_path, "9007199254740994.0", "1.0") == [2**53 + 2, 1]
    assert "column 'u': 1 ids are floats beyond those that hold every integer" in caplog.text
    caplog.clear()
    assert ids_of(tmp_path, "1.2345678901234568e+17", "1.0") == [123456789012345680, 1]
    assert "such as 1.2345678901234568e+17" in caplog.text
    caplog.clear()
    assert ids_of(tmp_path, "9007199254740993", "1") == [2**53 + 1, 1]  # integers are exact
    assert not caplog.records


@pytest.mark.parametrize(
    ("dtype", "end"), [(np.float64, 2**53), (np.float32, 2**24), (np.float16, 2**11)]
)
def test_floats_of_parquet_that_cannot_tell_ids_apart_are_told(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture, dtype: type, end: int
) -> None:
    path = str(tmp_path / "log.parquet")
    for column, values, told in (
        ("u", [1, end], False),
        ("u", [1, 2 * end], True),
        ("i", [-2 * end, 2], True),
        ("f", [1, 2 * end], True),
        ("n", [1, 2 * end], False),  # a number may be rounded
    ):
        caplog.clear()
        plain = {name: pa.array([1, 2]) for name in "uifn"}
        table = pa.table(plain | {column: pa.array(np.array(values, dtype))})
        pyarrow.parquet.write_table(table, path)
        log = read(path, source="parquet", item_feature_columns=("f", "n:numeric"))
        assert (f"column {column!r}: 1 ids are floats beyond" in caplog.text) == told
        if column == "u":
            assert raw(log.user_id) == values
