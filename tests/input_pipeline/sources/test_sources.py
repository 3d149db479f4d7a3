"""Raw files to EventLogs: hand-made files, every fault, and agreement with the csv module."""

import csv
import gzip
import hashlib
import pathlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from input_pipeline.files import filesystem
from input_pipeline.log.events import Categorical, EventLog
from input_pipeline.preparation_options import SOURCES as SOURCE_FLAG
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.sources import OF_ENGINES, SOURCES, read_events
from tests.s3_server import S3Bucket, s3_bucket  # noqa: F401

TAOBAO = b"1,20,300,pv,1511544070\n1,21,301,buy,1511544071\n2,20,300,fav,1511544072\n"
CSV_FLAGS: dict[str, Any] = {
    "source": "csv",
    "user_column": "u",
    "item_column": "i",
    "task_columns": ("k:click", "l:like"),
}


def write(folder: pathlib.Path, content: bytes, name: str = "log.csv") -> str:
    path = folder / name
    path.write_bytes(content)
    return str(path)


def read(path: str, source: str = "taobao", **flags: Any) -> EventLog:
    return read_events(PreparationOptions(**{"source": source, "input": (path,), **flags}))


def raw(column: Categorical) -> list:
    """The column as it was in the file."""
    return column.values[column.codes].tolist()


def test_the_registry_and_the_flag_name_the_same_sources() -> None:
    assert {*SOURCES, *OF_ENGINES} == {*SOURCE_FLAG}
    with pytest.raises(ValueError, match=r"--source: must be one of .*, got ''"):
        read("x", source="")


def test_taobao(tmp_path: pathlib.Path) -> None:
    path = write(tmp_path, TAOBAO)
    log = read(path)
    assert log.tasks == ("click", "fav", "cart", "buy")
    assert (raw(log.user_id), raw(log.item_id)) == ([1, 1, 2], [20, 21, 20])
    assert raw(log.item_features["category_id"]) == [300, 301, 300]
    assert log.behaviors.tolist() == [1, 8, 2]  # Bits: click 1, fav 2, cart 4, buy 8.
    assert log.timestamp is not None
    assert log.timestamp.tolist() == [1511544070, 1511544071, 1511544072]
    assert (log.timestamp_unit, log.unlabeled, log.has_exposures) == ("s", None, False)
    assert (log.malformed_lines, log.duplicate_lines) == (0, 0)
    (file,) = log.source_files
    assert (file.path, file.size_bytes) == (path, len(TAOBAO))
    assert file.sha256 == hashlib.sha256(TAOBAO).hexdigest()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"1,2,3,pv", r":4: the line must be 5 columns, got '1,2,3,pv'"),
        (b"1,2,3,pv,4,5", r":4: the line must be 5 columns, got '1,2,3,pv,4,5'"),
        (b"1,2,3,click,4", r":4: behavior must be pv, fav, cart or buy, got 'click'"),
        (b"1,2,3,pv,x4", r":4: timestamp must be a time, .* in s or as ISO 8601, got 'x4'"),
        (b"1,2,3,pv,0x1F", r":4: timestamp must be a time, .* in s or as ISO 8601, got '0x1F'"),
        (b"1,2,3,pv,", r":4: timestamp must be a time, .* in s or as ISO 8601, got ''"),
        (b"1,2,3,pv,NULL", r":4: timestamp must be a time, .* or as ISO 8601, got 'NULL'"),
        (b"1,2,3,pv,9223372036854775808", r":4: timestamp must .* got '9223372036854775808'"),
        (b",2,3,pv,4", r":4: user_id must be a non-empty id, got ''"),
        (b"1,,3,pv,4", r":4: item_id must be a non-empty id, got ''"),
        (b"NULL,2,3,pv,4", r":4: user_id must be an id, and none of --null_markers, got 'NULL'"),
        (b"", r":4: behavior must be pv, fav, cart or buy, got ''"),
    ],
)
def test_malformed_lines_are_named(tmp_path: pathlib.Path, line: bytes, message: str) -> None:
    path = write(tmp_path, TAOBAO + line + b"\n" + TAOBAO)
    with pytest.raises(ValueError, match=r"1 of 7 lines are malformed[^$]*log.csv" + message):
        read(path)
    log = read(path, max_malformed=0.2)
    assert (len(log), log.malformed_lines) == (6, 1)
    assert raw(log.user_id) == [1, 1, 2] * 2
    assert log.user_id.values.tolist() == [1, 2]


def test_line_numbers_count_lines_that_gave_no_row(tmp_path: pathlib.Path) -> None:
    bad = b"1,2\n"
    path = write(tmp_path, bad + TAOBAO + bad + bad + b"a,b,c,pq,1\n" + TAOBAO + b"a,b,c,pv,t\n")
    with pytest.raises(ValueError, match="malformed") as error:
        read(path)
    lines = [text.split(":")[1] for text in str(error.value).splitlines()[1:]]
    # Lines 1; 2-4 good; 5, 6, 7; 8-10 good; 11: the first five are shown.
    assert lines == ["1", "5", "6", "7", "11"]


def test_malformed_share_is_of_all_files(tmp_path: pathlib.Path) -> None:
    write(tmp_path, TAOBAO * 333, "a.csv")
    write(tmp_path, b"1,2,3,pq,4\n", "b.csv")
    assert read(str(tmp_path)).malformed_lines == 1  # 1 of 1000 is not above 0.1 %.
    write(tmp_path, b"1,2,3,pq,4\n" * 2, "b.csv")
    with pytest.raises(ValueError, match=r"2 of 1001 lines .*\n.*b.csv:1: .*\n.*b.csv:2: "):
        read(str(tmp_path))


def test_values_of_malformed_lines_leave_no_trace(tmp_path: pathlib.Path) -> None:
    log = read(write(tmp_path, TAOBAO + b"abc,xyz,q,pq,1\n"), max_malformed=0.5)
    assert log.user_id.dtype == log.item_id.dtype == "int64"
    assert log.item_features["category_id"].values.tolist() == [300, 301]


@pytest.mark.parametrize(
    ("ids", "dtype"),
    [
        ([b"0", b"-3", b"17"], "int64"),
        ([b"9223372036854775807", b"-9223372036854775808"], "int64"),
        ([b"9223372036854775808", b"1"], "bytes"),
        ([b"-0", b"1"], "bytes"),
        ([b"007", b"1"], "bytes"),
        ([b"+5", b"1"], "bytes"),
        ([b" 5", b"1"], "bytes"),
        ([b"1.0", b"1.5"], "bytes"),
        ([b"1.0", b"a"], "bytes"),
        ([b"01.0", b"1"], "bytes"),
        ([b"1e3", b"1.5e0"], "bytes"),
        ([b"9223372036854775808.0", b"1.0"], "bytes"),
        ([b"b", b"a", b"\xff\xfe"], "bytes"),
    ],
)
def test_ids_are_numbers_only_where_all_are_canonical(
    tmp_path: pathlib.Path, ids: list[bytes], dtype: str
) -> None:
    lines = b"".join(b"1,%s,3,pv,4\n" % value for value in ids)
    items = read(write(tmp_path, lines)).item_id
    expected = [int(value) for value in ids] if dtype == "int64" else ids
    assert items.dtype == dtype
    assert raw(items) == expected
    assert items.values.tolist() == sorted(expected)
    assert items.codes.dtype == np.int32


def test_an_id_that_is_no_number_makes_the_column_bytes_across_files(
    tmp_path: pathlib.Path,
) -> None:
    write(tmp_path, b"10,1,3,pv,4\n9,1,3,pv,4\n", "a.csv")
    write(tmp_path, b"u,1,3,pv,4\n", "b.csv")
    users = read(str(tmp_path)).user_id
    assert users.values.tolist() == [b"10", b"9", b"u"]


def test_directory_glob_and_gzip(tmp_path: pathlib.Path) -> None:
    write(tmp_path, b"_", "_SUCCESS")
    write(tmp_path, b"_", ".hidden")
    (tmp_path / "folder.csv").mkdir()
    write(tmp_path, gzip.compress(b"2,1,3,pv,4\n") + gzip.compress(b"3,1,3,pv,4\n"), "b.csv")
    write(tmp_path, b"1,1,3,pv,4\n", "a.csv")
    write(tmp_path, b"4,1,3,pv,4\n", "c.csv")
    log = read(str(tmp_path))
    assert raw(log.user_id) == [1, 2, 3, 4]
    packed = (tmp_path / "b.csv").read_bytes()
    assert log.source_files[1].size_bytes == len(packed)
    assert log.source_files[1].sha256 == hashlib.sha256(packed).hexdigest()
    assert raw(read(str(tmp_path / "[ab]*.csv")).user_id) == [1, 2, 3]


def test_nothing_to_read(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match=r"--input: this source needs a file.*, got ''"):
        read("")
    with pytest.raises(ValueError, match=r"no such file or directory: .*/absent"):
        read(str(tmp_path / "absent"))
    with pytest.raises(ValueError, match=r"no files match .*/\*.csv"):
        read(str(tmp_path / "*.csv"))
    with pytest.raises(ValueError, match=f"no files in the directory {tmp_path} and its"):
        read(str(tmp_path))
    with pytest.raises(ValueError, match=r"empty.csv: the file is empty"):
        read(write(tmp_path, b"", "empty.csv"))
    with pytest.raises(ValueError, match=r"empty.gz: the file is empty"):
        read(write(tmp_path, gzip.compress(b""), "empty.gz"))
    for header in (b"u,i,k,l", b"u,i,k,l\n", b"u,i,k,l\r\n"):
        with pytest.raises(ValueError, match="a header at most, and no lines"):
            read(write(tmp_path, header), **CSV_FLAGS)


def test_broken_gzip(tmp_path: pathlib.Path) -> None:
    packed = gzip.compress(TAOBAO * 10_000)
    with pytest.raises(ValueError, match=r"log.gz: broken gzip file: "):
        read(write(tmp_path, packed[:-30], "log.gz"))
    with pytest.raises(ValueError, match=r"log.gz: broken gzip file: "):
        read(write(tmp_path, packed[:-6] + b"xx" + packed[-4:], "log.gz"))


def test_duplicates(tmp_path: pathlib.Path) -> None:
    # The second line differs in the category alone, the last repeats the first.
    lines = b"1,2,3,pv,4\n1,2,9,pv,4\n1,5,3,pv,4\n1,2,3,pv,4\n"
    kept = read(write(tmp_path, lines))
    assert (len(kept), kept.duplicate_lines) == (4, 1)
    dropped = read(write(tmp_path, lines), duplicates="drop")
    assert (len(dropped), dropped.duplicate_lines) == (3, 1)
    assert raw(dropped.item_id) == [2, 2, 5]
    assert raw(dropped.item_features["category_id"]) == [3, 9, 3]


def test_csv_with_everything(tmp_path: pathlib.Path) -> None:
    # Byte order mark, CRLF, quoted cells with a comma, quotes and a line end, a column that occurs
    # twice but is not read, and an empty label.
    content = (
        b'\xef\xbb\xbfu,"i",k,t,l,x,x,f\r\n'
        b'007,"a,""b""\nc",1,1511544070123,,,p,sun\r\n'
        b"8,z,0,1511544070124,1,,q,\r\n"
        b"8,z,0,-5,0,,q,moon\r\n"
    )
    log = read(
        write(tmp_path, content),
        **CSV_FLAGS,
        timestamp_column="t",
        timestamp_unit="ms",
        item_feature_columns=("f:weather",),
    )
    assert log.tasks == ("click", "like")
    assert raw(log.user_id) == [b"007", b"8", b"8"]
    assert raw(log.item_id) == [b'a,"b"\nc', b"z", b"z"]
    assert log.behaviors.tolist() == [1, 2, 0]
    assert log.unlabeled is not None
    assert log.unlabeled.tolist() == [2, 0, 0]
    assert log.timestamp is not None
    assert log.timestamp.tolist() == [1511544070123, 1511544070124, -5]
    assert (log.timestamp_unit, log.has_exposures) == ("ms", True)
    assert raw(log.item_features["weather"]) == [b"sun", b"", b"moon"]


def test_csv_without_a_clock_or_exposures(tmp_path: pathlib.Path) -> None:
    log = read(write(tmp_path, b"u,i,k,l\n1,2,1.0,\n1,3,0.0,1\n"), **CSV_FLAGS)
    assert (log.timestamp, log.timestamp_unit, log.has_exposures) == (None, None, False)
    assert log.behaviors.tolist() == [1, 2]


def test_columns_may_be_in_another_order_in_each_file(tmp_path: pathlib.Path) -> None:
    write(tmp_path, b"u,i,k,l\n1,2,1,0\n", "a.csv")
    write(tmp_path, b"l,k,extra,i,u\n1,0,?,4,3\n", "b.csv")
    log = read(str(tmp_path), **CSV_FLAGS)
    assert (raw(log.user_id), raw(log.item_id)) == ([1, 3], [2, 4])
    assert log.behaviors.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"u,i,k\n1,2,1\n", r"no column 'l' in the header \['u', 'i', 'k'\]"),
        (b"u,i,k,l,k\n1,2,1,0,1\n", r"2 times the column 'k' in the header"),
        (b"u,i,k,l\n1,2,2,0\n", r":2: k must be 0 or 1, true or false, or empty .*, got '2'"),
        (
            b"u,i,k,l\n1,2,view,0\n",
            r":2: k must be .*'k>0:click', of types: --event_column=k\), got 'view'",
        ),
        (
            b'u,i,k,l\n1,2,1,"1\n1,2,1,1\n',
            r":2: a quoted cell of the row that .* has no end",
        ),
    ],
)
def test_csv_faults(tmp_path: pathlib.Path, content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=r"log.csv[^$]*" + message):
        read(write(tmp_path, content), **CSV_FLAGS)


def test_lines_swallowed_by_a_quoted_cell_are_counted(tmp_path: pathlib.Path) -> None:
    # The cell that begins on line 3 ends on line 5, and the row has too few columns.
    content = b'u,i,k,l\n1,2,1,0\n1,"2,1,0\n1,2,1,0\n1,2"\n1,2,1,0\n'
    assert read(write(tmp_path, content), **CSV_FLAGS, max_malformed=0.9).malformed_lines == 3


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"task_columns": ()}, r"--task_columns: needs 1 to 31 of column:task, got 0; .*implicit"),
        ({"task_columns": ("k:Click",)}, r"--task_columns: task name 'Click' must match"),
        ({"task_columns": ("k:score",)}, r"--task_columns: task name 'score' is reserved: exports"),
        ({"task_columns": ("k:a", "l:a")}, r"task names must differ, got \['a', 'a'\]"),
        ({"task_columns": (":a",)}, r"--task_columns: expected column:name, got ':a'"),
        ({"item_feature_columns": ("X",)}, r"name 'X' must match .*; give another as X:name"),
        ({"item_feature_columns": ("x:user_macro",)}, r"'user_macro' is the name of another"),
        ({"item_feature_columns": ("x:item_neighbors_click",)}, r"'item_neighbors_click' is the"),
        ({"user_feature_columns": ("x:label_click",)}, r"'label_click' is the name of another"),
        ({"user_feature_columns": ("x", "i:x")}, r"--user_feature_columns: 'x' is named twice"),
        (
            {"user_feature_columns": ("x",), "item_feature_columns": ("x",)},
            r"--item.*'x' is the name",
        ),
        ({"beta": float("nan")}, r"--beta: must be finite, got nan"),
        ({"grouping_power": 3}, "--grouping_power: must be 1 or 2, got 3"),
        ({"grouping_dim": 0}, "--grouping_dim: must be at least 1, got 0"),
        (
            {"activity": "copreference", "baseline": 2.0},
            "--baseline: is for --activity=baseline only, got 2.0 with --activity=copreference",
        ),
        ({"theta_low": 2.0, "theta_high": 1.0}, r"--theta_low: must be at most --theta_high=1.0"),
        ({"user_column": "u", "item_column": "u"}, "--item_column: must be another column than"),
        ({"item_feature_columns": ("k:how",)}, r"a label must not be a feature too, got \['k'\]"),
    ],
)
def test_flags_that_cannot_be(tmp_path: pathlib.Path, flags: dict, message: str) -> None:
    path = write(tmp_path, b"u,i,k,l,x\n1,2,1,0,5\n")
    with pytest.raises(ValueError, match=message):
        read(path, **{**CSV_FLAGS, **flags})


@pytest.mark.parametrize(
    ("unit", "time", "likely"),
    [
        ("s", 1_700_000_000_000, "ms"),
        ("ms", 1_700_000_000_000_000, "us"),
        ("s", 1_700_000_000_000_000_000, "ns"),
        ("us", 2**63 - 1, "another unit"),
    ],
)
def test_timestamps_of_another_unit_are_refused(
    tmp_path, unit: str, time: int, likely: str
) -> None:
    path = write(tmp_path, b"u,i,k,l,t\n1,2,1,0,%d\n" % time)
    message = (
        f"--timestamp_unit={unit}: the median timestamp {time} is outside the years 1 to 9999, as "
        rf"are 1 timestamps: .*log.csv:2: t='{time}'; are they in {likely}\?"
    )
    with pytest.raises(ValueError, match=message):
        read(path, **CSV_FLAGS, timestamp_column="t", timestamp_unit=unit)


def test_parquet(tmp_path: pathlib.Path) -> None:
    table = pa.table(
        {
            "u": pa.array([1, 2, 3], pa.uint32()),
            "i": pa.array(["b", "a", None]),
            "k": pa.array([1.0, None, 0.0]),  # An integer column with a gap.
            "l": pa.array([True, False, True]),
            "t": pa.array([1_000_000, 2_000_999, 3], pa.timestamp("us")),
            "f": pa.array(["x", "y", "x"]).dictionary_encode(),
            "unused": pa.array([[1], [], [2]]),
        }
    )
    path = str(tmp_path / "log.parquet")
    pyarrow.parquet.write_table(table, path)
    flags = {**CSV_FLAGS, "timestamp_column": "t", "user_feature_columns": ("f",)}
    with pytest.raises(ValueError, match=r"log.parquet:3: i must be a non-empty id"):
        read(path, **{**flags, "source": "parquet"})
    log = read(path, **{**flags, "source": "parquet", "max_malformed": 0.5, "timestamp_unit": "ms"})
    assert (raw(log.user_id), raw(log.item_id)) == ([1, 2], [b"b", b"a"])
    assert log.behaviors.tolist() == [3, 0]
    assert log.unlabeled is not None
    assert log.unlabeled.tolist() == [0, 1]
    assert log.timestamp is not None
    assert log.timestamp.tolist() == [1000, 2000]
    assert raw(log.user_features["f"]) == [b"x", b"y"]
    assert log.source_files[0].sha256 == hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


def test_parquet_faults(tmp_path: pathlib.Path) -> None:
    with pytest.raises(
        ValueError, match=r"log.csv: must be a Parquet file, but begins with b.u,i,k"
    ):
        read(write(tmp_path, b"u,i,k,l\n1,2,1,0\n"), **{**CSV_FLAGS, "source": "parquet"})
    path = str(tmp_path / "log.parquet")
    pyarrow.parquet.write_table(pa.table({"u": [1], "i": [[2]], "k": [1], "l": [0]}), path)
    with pytest.raises(ValueError, match=r"log.parquet: column 'i' of type list.* cannot be read"):
        read(path, **{**CSV_FLAGS, "source": "parquet"})


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"196\t242\t3\t881250949\n186\t302\t4\t891717742\n22\t377\t5\t878887116\n", "u.data"),
        (
            b"196::242::3::881250949\n186::302::4::891717742\n22::377::5::878887116\n",
            "ratings.dat",
        ),
        (
            b"userId,movieId,rating,timestamp\n196,242,3.5,881250949\n186,302,4.0,891717742\n"
            b"22,377,5.0,878887116\n",
            "ratings.csv",
        ),
    ],
)
def test_movielens(tmp_path: pathlib.Path, content: bytes, name: str) -> None:
    log = read(write(tmp_path, content, name), source="movielens")
    assert log.tasks == ("like", "love")
    assert log.behaviors.tolist() == [0, 1, 3]
    assert (raw(log.user_id), raw(log.item_id)) == ([196, 186, 22], [242, 302, 377])
    assert log.timestamp is not None
    assert log.timestamp.tolist() == [881250949, 891717742, 878887116]
    assert log.has_exposures


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"1::2::6::3\n", "rating must be 0.5, 1, ... 5, got '6'"),
        (b"1:x:2::5::3\n", "gap after userId must be ::, got 'x'"),
        (b"1::2::5\n", "the line must be 7 columns"),
    ],
)
def test_movielens_faults(tmp_path: pathlib.Path, line: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read(write(tmp_path, b"1::2::3::4\n" + line), source="movielens")


def test_tenrec_qb_video(tmp_path: pathlib.Path) -> None:
    content = (
        b"user_id,item_id,click,follow,like,share,video_category,watching_times,gender,age\n"
        b"1,20,1,0,1,0,\\N,3,1,4\n1,21,0,0,0,0,5,0,1,4\n2,20,1,1,0,1,5,1,2,0\n"
    )
    log = read(write(tmp_path, content), source="tenrec_qb_video")
    assert log.tasks == ("click", "like", "share", "follow")
    assert log.behaviors.tolist() == [1 + 2, 0, 1 + 4 + 8]
    assert (log.timestamp, log.has_exposures) == (None, True)
    assert raw(log.item_features["video_category"]) == [b"", b"5", b"5"]
    assert raw(log.user_features["gender"]) == [1, 1, 2]
    assert raw(log.user_features["age"]) == [4, 4, 0]
    with pytest.raises(ValueError, match=r"like must be 0 or 1, true or false .*, got ''"):
        read(write(tmp_path, content + b"1,2,1,0,,0,5,1,1,4\n"), source="tenrec_qb_video")


def test_tenrec_qk_article(tmp_path: pathlib.Path) -> None:
    header = (
        b"user_id,item_id,click,gender,age,exposure_count,click_count,like_count,comment_count,"
        b"read_percentage,item_score1,item_score2,category_second,category_first,item_score3,"
        b"read,read_time,share,like,follow,favorite\n"
    )
    line = b"1,20,1,2,3,9,8,7,6,50,0.1,0.2,2001,20,0.3,1,33,0,1,0,1\n"
    log = read(write(tmp_path, header + line), source="tenrec_qk_article")
    assert log.tasks == ("read", "like", "favor", "follow")
    assert log.behaviors.tolist() == [1 + 2 + 4]
    assert sorted(log.item_features) == ["category_first", "category_second"]
    assert sorted(log.user_features) == ["age", "gender"]
    assert raw(log.item_features["category_second"]) == [2001]


def test_a_random_csv_agrees_with_the_csv_module(tmp_path: pathlib.Path) -> None:
    random = np.random.default_rng(0)
    words = ["a", "b,c", 'd"e', "f\ng", "é", "12", "x" * 50]
    path = tmp_path / "log.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["u", "i", "k", "l", "t", "f"])
        for _ in range(5000):
            user, item, feature = random.choice(words, 3)
            labels = random.choice(["0", "1", ""], 2)
            writer.writerow([user, item, *labels, random.integers(-(2**35), 2**35), feature])
    flags = {**CSV_FLAGS, "timestamp_column": "t", "user_feature_columns": ("f",)}
    log = read(str(path), **flags)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [value.decode() for value in raw(log.user_id)] == [row["u"] for row in rows]
    assert [value.decode() for value in raw(log.item_id)] == [row["i"] for row in rows]
    assert [value.decode() for value in raw(log.user_features["f"])] == [row["f"] for row in rows]
    assert log.timestamp is not None
    assert log.timestamp.tolist() == [int(row["t"]) for row in rows]
    assert log.unlabeled is not None
    for bit, column in ((1, "k"), (2, "l")):
        assert (log.behaviors & bit > 0).tolist() == [row[column] == "1" for row in rows]
        assert (log.unlabeled & bit > 0).tolist() == [row[column] == "" for row in rows]


def test_many_blocks_agree_with_one(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(1)
    lines = [
        f"{user},{item},{item % 7},{'pv' if item % 50 else 'pq'},{time}"
        for user, item, time in random.integers(1, 500, (3000, 3))
    ]
    path = write(tmp_path, "\n".join(lines).encode())
    whole = read(path, max_malformed=0.5)
    monkeypatch.setattr("input_pipeline.sources.delimited._BLOCK_BYTES", 1000)
    blocks = read(path, max_malformed=0.5)
    assert whole.malformed_lines == blocks.malformed_lines > 0
    np.testing.assert_array_equal(whole.item_id.codes, blocks.item_id.codes)
    np.testing.assert_array_equal(whole.item_id.values, blocks.item_id.values)
    np.testing.assert_array_equal(whole.timestamp, blocks.timestamp)


def test_csv_and_parquet_from_s3(s3_bucket: S3Bucket, tmp_path: pathlib.Path) -> None:  # noqa: F811
    content = b"u,i,k,l\n1,2,1,0\n1,3,0,1\n"
    filesystem.write_bytes(f"{s3_bucket.url}/logs/a.csv", content)
    filesystem.write_bytes(f"{s3_bucket.url}/logs/b.csv", gzip.compress(content))
    for path in ("logs", "logs/*.csv"):
        log = read(f"{s3_bucket.url}/{path}", **CSV_FLAGS)
        assert raw(log.item_id) == [2, 3, 2, 3]
        assert log.source_files[0].path == f"{s3_bucket.url}/logs/a.csv"
        assert log.source_files[0].sha256 == hashlib.sha256(content).hexdigest()
    pyarrow.parquet.write_table(
        pa.table({"u": [1, 2], "i": [2, 3], "k": [1, 0], "l": [0, 1]}), tmp_path / "x"
    )
    filesystem.copy(str(tmp_path / "x"), f"{s3_bucket.url}/x.parquet")
    log = read(f"{s3_bucket.url}/x.parquet", **{**CSV_FLAGS, "source": "parquet"})
    assert raw(log.user_id) == [1, 2]
    with pytest.raises(ValueError, match="no such file or directory: s3://bucket/absent"):
        read(f"{s3_bucket.url}/absent", **CSV_FLAGS)
