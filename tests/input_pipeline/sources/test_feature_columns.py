"""Columns of features in csv and parquet: flags, kinds, and every fault by line and value."""

from __future__ import annotations

import datetime
import math
import pathlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from input_pipeline.log.events import Categorical, CategoricalLists, EventLog, Numbers
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.sources import read_events
from input_pipeline.sources.columns import parse_numbers
from input_pipeline.sources.feature_columns import FeatureColumn, parse_feature_columns
from input_pipeline.sources.times import parse_times
from tests.input_pipeline.sources.test_sources import raw, write

FLAGS: dict[str, Any] = {
    "source": "csv",
    "user_column": "u",
    "item_column": "i",
    "task_columns": ("k:click",),
}


def read(path: str, **flags: Any) -> EventLog:
    return read_events(PreparationOptions(**{**FLAGS, "input": path, **flags}))


def lists(column: Any) -> list:
    assert isinstance(column, CategoricalLists)
    values = raw(column.entries)
    found = [values[a:b] for a, b in zip(column.indptr, column.indptr[1:], strict=False)]
    return [found[cell] for cell in column.cells]


def ids(column: Any) -> list:
    """None where there is no id."""
    assert isinstance(column, Categorical)
    return [None if code < 0 else column.values[code] for code in column.codes]


def csv_of(tmp_path: pathlib.Path, *cells: str, name: str = "x") -> str:
    lines = [f"u,i,k,{name}", *(f"{n},2,1,{cell}" for n, cell in enumerate(cells))]
    return write(tmp_path, "\n".join(lines).encode())


@pytest.mark.parametrize(
    ("text", "column", "name", "kind", "transform"),
    [
        ("price", "price", "price", "categorical", "standard"),
        ("Price:price", "Price", "price", "categorical", "standard"),
        ("price:numeric", "price", "price", "numeric", "standard"),
        ("price:numeric:log", "price", "price", "numeric", "log"),
        ("Price:price:numeric:none", "Price", "price", "numeric", "none"),
        ("tags:multi", "tags", "tags", "multi", "standard"),
        ("ts:hour", "ts", "ts", "hour", "standard"),
        ("ts:hour:hour", "ts", "hour", "hour", "standard"),
        ("ts:day:weekday", "ts", "day", "weekday", "standard"),
        ("x:log:categorical", "x", "log", "categorical", "standard"),
        ("a:b:name", "a:b", "name", "categorical", "standard"),
        ("a:b:name:multi", "a:b", "name", "multi", "standard"),
    ],
)
def test_flags(text: str, column: str, name: str, kind: str, transform: str) -> None:
    found = parse_feature_columns("item_feature_columns", "item", (text,), ";")
    assert found == (FeatureColumn(name, "item", column, kind, transform, ";"),)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (("",), r"expected column, column:name or column:kind, .*'weekday'\), got ''"),
        ((":multi",), r"expected column, .* got ':multi'"),
        (("price:log",), r"must follow the kind, as column:numeric:log, got 'price:log'"),
        (("tags:multi:log",), r"must follow the kind, .* got 'tags:multi:log'"),
        (("price:numeric:sqrt",), r"one of \('standard', 'log', 'none'\), got 'sqrt' in 'price:n"),
        (("Price:numeric",), r"name 'Price' must match .*; give another as Price:name"),
        (("score",), r"feature name 'score' is reserved: exports .*; give another as score:name"),
        (("x:merging_matrix:multi",), r"feature name 'merging_matrix' is reserved"),
        (("ts:hour", "ts:weekday"), r"'ts' is named twice; name one column:another_name"),
    ],
)
def test_flags_that_cannot_be(texts: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=rf"--context_feature_columns: .*{message}"):
        parse_feature_columns("context_feature_columns", "context", texts, "|")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"context_feature_columns": ("x:item_id",)}, "--context.*'item_id' is the name of anothe"),
        (
            {"user_feature_columns": ("x",), "context_feature_columns": ("i:x",)},
            "--context_feature_columns: 'x' is the name of another",
        ),
        (
            {"activity_features": True, "user_feature_columns": ("x:user_activity",)},
            "'user_activity' is the name of another",
        ),
        (
            {"context_feature_columns": ("k:tab",)},
            r"a label must not be a feature too, got \['k'\]",
        ),
        ({"multi_separator": ""}, "--multi_separator: must be at least one character, got ''"),
    ],
)
def test_flags_that_do_not_agree(tmp_path: pathlib.Path, flags: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read(csv_of(tmp_path, "1"), **flags)


@pytest.mark.parametrize("owner", ["user", "item", "context"])
def test_sources_with_columns_of_their_own_take_no_names(owner: str) -> None:
    message = f"--{owner}_feature_columns: only csv and parquet .* got --source=taobao"
    with pytest.raises(ValueError, match=message):
        read("x", source="taobao", **{f"{owner}_feature_columns": ("x",)})


def test_names_that_only_look_like_those_of_other_features(tmp_path: pathlib.Path) -> None:
    names = ("item_neighbors_buy", "label_buy", "user_activity", "price_macro", "x_neighbors_y")
    columns = tuple(f"x:{name}" for name in names)
    log = read(csv_of(tmp_path, "5"), item_feature_columns=columns)
    assert tuple(log.item_features) == names


def test_multi(tmp_path: pathlib.Path) -> None:
    path = csv_of(tmp_path, "7|3|7", "", "|", "3||12", "7", "7|3|7")
    log = read(path, item_feature_columns=("x:multi",), context_feature_columns=("x:tags:multi",))
    assert lists(log.item_features["x"]) == [[7, 3], [], [], [3, 12], [7], [7, 3]]
    assert log.item_features["x"].entries.values.tolist() == [3, 7, 12]
    assert lists(log.context_features["tags"]) == lists(log.item_features["x"])
    path = csv_of(tmp_path, "7;03", "3|1", ";")
    log = read(path, item_feature_columns=("x:multi",), multi_separator=";")
    # "03" is no canonical number, so that all are bytes.
    assert lists(log.item_features["x"]) == [[b"7", b"03"], [b"3|1"], []]
    log = read(csv_of(tmp_path, "", "|"), item_feature_columns=("x:multi",))
    assert lists(log.item_features["x"]) == [[], []]


NUMBERS = {
    "1.5": 1.5, " 2.5 ": 2.5, "-2": -2.0, "+.5": 0.5, "5.": 5.0, "1e5": 1e5, "1E-2": 0.01,
    "": math.nan, "nan": math.nan, "NaN": math.nan, "true": 1.0, "False": 0.0,
    "16777217": 16777216.0, "1e-60": 0.0,
}  # fmt: skip


def test_numbers(tmp_path: pathlib.Path) -> None:
    log = read(csv_of(tmp_path, *NUMBERS), context_feature_columns=("x:numeric:log",))
    found = log.context_features["x"]
    assert isinstance(found, Numbers)
    assert (found.values.dtype, found.transform) == (np.float32, "log")
    np.testing.assert_array_equal(found.values, np.float32(list(NUMBERS.values())))


@pytest.mark.parametrize(
    "cell", ["inf", "-Infinity", "1e39", "1e999", "abc", "1 1", "0x10", "1_0", "1e", ".", "1,5"]
)
def test_cells_that_are_no_numbers(tmp_path: pathlib.Path, cell: str) -> None:
    cells = ["1.5", f'"{cell}"', "2"]
    message = rf"log.csv:3: x must be a finite number within float32, or empty .*, got '{cell}'"
    with pytest.raises(ValueError, match=rf"1 of 3 lines are malformed[^$]*{message}"):
        read(csv_of(tmp_path, *cells), item_feature_columns=("x:numeric",))
    log = read(csv_of(tmp_path, *cells), item_feature_columns=("x:numeric",), max_malformed=0.5)
    assert log.item_features["x"].values.tolist() == [1.5, 2.0]
    assert log.malformed_lines == 1


def test_bytes_that_are_no_text_are_no_numbers() -> None:
    values, malformed = parse_numbers(pa.array([b"\xff", b"1", b"\xc3\xbc"], pa.binary()))
    assert malformed.tolist() == [True, False, True]
    assert values[1] == 1.0


# Seconds since 1970 of times that are 2024-01-05 (a Friday) or near it.
TIMES = {
    "1704412800": 1704412800,
    "2024-01-05": 1704412800,
    "2024-01-05T00:00": 1704412800,
    "2024-01-05 23:59:59": 1704412800 + 86399,
    "2024-01-05T23:59:59.999999999": 1704412800 + 86399,
    "2024-01-05T10:11:12Z": 1704412800 + 36672,
    "2024-01-05T10:11:12.5+02:00": 1704412800 + 36672 - 7200,
    "2024-01-05T01:00+0530": 1704412800 + 3600 - 19800,
    "2024-01-05T23:00-02": 1704412800 + 90000,
    "-1": -1,
    "0001-01-01": -62135596800,
}


def test_times(tmp_path: pathlib.Path) -> None:
    times = parse_times(pa.array([t.encode() for t in TIMES]), "s")
    assert times.values.tolist() == list(TIMES.values())
    assert not times.missing.any()
    assert not times.malformed.any()
    moments = [
        datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc) + datetime.timedelta(seconds=s)
        for s in TIMES.values()
    ]
    log = read(
        csv_of(tmp_path, *TIMES, ""),
        context_feature_columns=("x:hour", "x:day:weekday"),
        item_feature_columns=("x:born:weekday",),
    )
    assert ids(log.context_features["x"]) == [*(m.hour for m in moments), None]
    assert ids(log.context_features["day"]) == [*(m.weekday() for m in moments), None]
    assert ids(log.item_features["born"]) == ids(log.context_features["day"])
    assert log.context_features["x"].values.dtype == np.int64
    log = read(
        csv_of(tmp_path, "1704412800000", "-1"),
        context_feature_columns=("x:hour",),
        timestamp_unit="ms",
    )
    assert ids(log.context_features["x"]) == [0, 23]


@pytest.mark.parametrize(
    "cell",
    ["x", "2024-02-30", "2024-01-05T25:00", "10:11", "1e30", "1.5.1", "2024-01-05Z",
     "99999999999999999999", "2024-1-5"],
)  # fmt: skip
def test_cells_that_are_no_times(tmp_path: pathlib.Path, cell: str) -> None:
    message = rf"log.csv:3: x must be a time, as a number in s or as ISO 8601, .*, got '{cell}'"
    with pytest.raises(ValueError, match=message):
        read(csv_of(tmp_path, "0", cell, "1"), context_feature_columns=("x:hour",))


def test_duplicates_are_equal_in_every_feature(tmp_path: pathlib.Path) -> None:
    content = (
        b"u,i,k,tags,price,t\n1,2,1,a|b,1.5,0\n1,2,1,a|b,1.5,0\n1,2,1,a,1.5,0\n1,2,1,a|b,,0\n"
        b"1,2,1,a|b,nan,3\n1,2,1,a|b,1.5,3600\n"
    )
    flags = {
        "item_feature_columns": ("tags:multi", "price:numeric"),
        "context_feature_columns": ("t:hour",),
    }
    assert read(write(tmp_path, content), **flags).duplicate_lines == 2
    log = read(write(tmp_path, content), **flags, duplicates="drop")
    # The second repeats the first; the fifth the fourth, as t is the same hour.
    assert lists(log.item_features["tags"]) == [[b"a", b"b"], [b"a"], [b"a", b"b"], [b"a", b"b"]]
    np.testing.assert_array_equal(log.item_features["price"].values, [1.5, 1.5, np.nan, 1.5])
    assert ids(log.context_features["t"]) == [0, 0, 0, 1]


def test_dropped_lines_leave_no_values_behind(tmp_path: pathlib.Path) -> None:
    content = b"u,i,k,x\n1,2,1,a|b\n1,2,9,b|c\n1,3,1,b\n"
    log = read(write(tmp_path, content), item_feature_columns=("x:multi",), max_malformed=0.5)
    assert lists(log.item_features["x"]) == [[b"a", b"b"], [b"b"]]
    assert log.item_features["x"].entries.values.tolist() == [b"a", b"b"]
    column = log.item_features["x"].take(np.array([1]))
    assert lists(column) == [[b"b"]]
    assert column.entries.values.tolist() == [b"b"]


def test_parquet(tmp_path: pathlib.Path) -> None:
    day = datetime.date(2024, 1, 5)
    moment = datetime.datetime(2024, 1, 5, 10, 11)
    table = pa.table(
        {
            "u": [1, 2, 3, 4],
            "i": [1.0, 2.5, 1.0, 2.0],
            "k": [True, True, False, True],
            "double": [1.5, None, math.nan, 1e-3],
            "int": pa.array([1, 2**40, None, -3], pa.int64()),
            "flag": [True, False, None, True],
            "half": pa.array(np.array([0.5, 1, 2, 3], np.float16)),
            "day": [day, None, day, day],
            "us": pa.array([moment, moment, None, moment], pa.timestamp("us")),
            "zone": pa.array([moment] * 4, pa.timestamp("ns", "Europe/Berlin")),
            "tags": [["a", "b", "a"], [], None, ["c", None]],
            "numbers": pa.array([[1, 2], [2], [], None], pa.large_list(pa.int32())),
        }
    )
    path = str(tmp_path / "log.parquet")
    pyarrow.parquet.write_table(table, path)
    log = read(
        path,
        source="parquet",
        item_feature_columns=("double:numeric", "int:numeric", "flag:numeric", "half:numeric"),
        user_feature_columns=("tags:multi", "numbers:multi", "flag:bit"),
        context_feature_columns=("day:weekday", "us:hour", "zone:hour", "int:moment"),
    )
    nan = np.nan
    for name, values in (
        ("double", [1.5, nan, nan, 1e-3]),
        ("int", [1, 2**40, nan, -3]),
        ("flag", [1, 0, nan, 1]),
        ("half", [0.5, 1, 2, 3]),
    ):
        np.testing.assert_array_equal(log.item_features[name].values, np.float32(values))
    assert lists(log.user_features["tags"]) == [[b"a", b"b"], [], [], [b"c"]]
    assert lists(log.user_features["numbers"]) == [[1, 2], [2], [], []]
    assert raw(log.user_features["bit"]) == [b"1", b"0", b"", b"1"]
    assert ids(log.context_features["day"]) == [4, None, 4, 4]
    assert ids(log.context_features["us"]) == [10, 10, None, 10]
    assert ids(log.context_features["zone"]) == [10] * 4
    # A whole number among floats is the same id in every block.
    assert raw(log.item_id) == [b"1", b"2.5", b"1", b"2"]


def test_parquet_faults(tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "log.parquet")
    table = pa.table(
        {"u": [1, 2], "i": [1, 2], "k": [1, 1], "x": [1.0, math.inf], "m": [["a|b"]] * 2}
    )
    pyarrow.parquet.write_table(table, path)
    with pytest.raises(ValueError, match=r"log.parquet:2: x must be a finite number .* got 'inf'"):
        read(path, source="parquet", item_feature_columns=("x:numeric",))
    with pytest.raises(ValueError, match=r"column 'm': --multi_separator: no value .* got 'a\|b'"):
        read(path, source="parquet", item_feature_columns=("m:multi",))
    with pytest.raises(ValueError, match=r"column 'm' of type list.* cannot be read"):
        read(path, source="parquet", item_feature_columns=("m:numeric",))


def test_many_blocks_agree_with_one(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(1)
    lines = [
        f"{n},1,{0 if n % 50 else 'x'},{'|'.join(map(str, random.integers(0, 90, n % 4)))},"
        f"{random.normal()},{random.integers(10**9)}"
        for n in range(2000)
    ]
    path = write(tmp_path, ("u,i,k,m,x,t\n" + "\n".join(lines)).encode())
    flags: dict[str, Any] = {
        "item_feature_columns": ("m:multi", "x:numeric"),
        "context_feature_columns": ("t:hour",),
        "max_malformed": 0.5,
    }
    whole = read(path, **flags)
    monkeypatch.setattr("input_pipeline.sources.delimited._BLOCK_BYTES", 1000)
    blocks = read(path, **flags)
    assert len(whole) == len(blocks) == 1960
    assert lists(whole.item_features["m"]) == lists(blocks.item_features["m"])
    np.testing.assert_array_equal(whole.item_features["x"].values, blocks.item_features["x"].values)
    assert ids(whole.context_features["t"]) == ids(blocks.context_features["t"])
