"""Lines of the log as Spark reads them, of files and tables, and what is wrong with them."""

from __future__ import annotations

import os
import shutil

import pyarrow as pa
import pyarrow.orc
import pyarrow.parquet
import pytest

from input_pipeline.preparation_options import PreparationOptions

pytest.importorskip("pyspark", reason="the extra `spark` is not installed")
from input_pipeline.engines.spark.lines import read_lines
from input_pipeline.engines.spark.workspace import Workspace
from tests.input_pipeline.engines.spark.sessions import small_session

if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
    pytest.skip("there is no Java", allow_module_level=True)
pytestmark = pytest.mark.slow

COLUMNS = {
    "task_columns": ("click",),
    "timestamp_column": "ts",
    "item_feature_columns": ("price:numeric",),
    "context_feature_columns": ("dt:day",),
}


@pytest.fixture(scope="module")
def session():
    with small_session() as session:
        yield session


@pytest.fixture
def read(session, tmp_path):
    """Reads with some flags; (user, item, positive, timestamp, cells) in the order of lines."""

    def read(**flags):
        options = PreparationOptions(engine="spark", **{**COLUMNS, **flags})
        found = read_lines(session, options, Workspace(session, str(tmp_path / "work"), 1000))
        rows = found.frame.orderBy("file", "block", "row").collect()
        lines = [
            (bytes(r["user"]), bytes(r["item"]), r["positive"], r["timestamp"], r["f0"],
             bytes(r["f1"])) for r in rows
        ]  # fmt: skip
        return lines, found

    return read


EXPECTED = [
    (b"7", b"b", 1, 1_700_000_000, 2.5, b"2026-01-01"),
    (b"8", b"b", 0, 1_700_000_060, None, b"2026-01-01"),
    (b"7", b"c", 1, 1_700_000_000, 1.0, b"2026-01-02"),
]


def table():
    return pa.table(
        {
            "user_id": [7, 8, 7],
            "item_id": ["b", "b", "c"],
            "click": [True, False, True],
            "ts": pa.array([1_700_000_000, 1_700_000_060, 1_700_000_000], pa.timestamp("s")),
            "price": [2.5, None, 1.0],
        }
    )


def by_day(tmp_path, write):
    """The lines in folders of days; a file of a day that no test reads."""
    for day, rows in (("2026-01-01", slice(0, 2)), ("2026-01-02", slice(2, 3)), ("2026-02", None)):
        folder = tmp_path / "log" / f"dt={day}"
        os.makedirs(folder)
        part = table().slice(rows.start, rows.stop - rows.start) if rows else table()
        write(part, str(folder / "part"))
    return (str(tmp_path / "log"),)


def null(price):
    return None if price is None or price != price else price


@pytest.mark.parametrize("source", ["parquet", "orc"])
def test_partitions_of_files(read, tmp_path, source):
    write = {"parquet": pa.parquet.write_table, "orc": pa.orc.write_table}[source]
    paths = by_day(tmp_path, write)
    lines, found = read(source=source, input=paths, partition_filter="dt < '2026-01-15'")
    assert [(*line[:4], null(line[4]), line[5]) for line in lines] == EXPECTED
    assert (found.num_lines, found.malformed) == (3, 0)
    assert [os.path.basename(os.path.dirname(file.path)) for file in found.source_files] == [
        "dt=2026-01-01", "dt=2026-01-02",
    ]  # fmt: skip
    assert all(len(file.sha256) == 64 for file in found.source_files)
    with pytest.raises(ValueError, match="'dt = 1' leaves none of 3 files"):
        read(source=source, input=paths, partition_filter="dt = 1")


def test_a_table_with_a_condition(read, session, tmp_path):
    paths = by_day(tmp_path, pa.parquet.write_table)
    columns = "user_id long, item_id string, click boolean, ts timestamp, price double, dt string"
    session.sql(
        f"CREATE TABLE clicks ({columns}) USING parquet PARTITIONED BY (dt) LOCATION '{paths[0]}'"
    )
    session.sql("ALTER TABLE clicks RECOVER PARTITIONS")
    session.table("clicks").createOrReplaceTempView("seen")
    for name in ("clicks", "seen"):
        lines, _ = read(source="table", input=(name,), partition_filter="dt < '2026-01-15'")
        found = [(*line[:4], null(line[4]), line[5]) for line in lines]
        assert sorted(found, key=str) == sorted(EXPECTED, key=str)
        if name == "clicks":
            assert found == EXPECTED
    with pytest.raises(ValueError, match="there is no table 'orders'"):
        read(source="table", input=("orders",))


def test_malformed_lines_are_counted_shown_and_too_many(read, tmp_path):
    text = (
        'item_id,user_id,click,ts,price,dt\n"a,b",1,1,5,,x\nb,2,maybe,6,,x\nc,3,1\nd,4,0,7,nine,x\n'
    )
    path = tmp_path / "log.csv"
    path.write_text(text)
    lines, found = read(source="csv", input=(str(path),), max_malformed=0.8)
    assert [line[:4] for line in lines] == [(b"1", b"a,b", 1, 5)]
    assert (found.num_lines, found.malformed) == (1, 3)
    message = r"(?s)3 of 4 lines are malformed.*log.csv:\d+: click must be .*got 'maybe'"
    with pytest.raises(ValueError, match=message):
        read(source="csv", input=(str(path),))


def test_sources_of_other_formats_are_refused(read):
    with pytest.raises(ValueError, match="reads csv, parquet, orc, table, got 'taobao'"):
        read(source="taobao", input=("log.csv",))
