"""Data sets that Spark prepares, on a local master: against the reference and the local engine."""

from __future__ import annotations

import json
import os
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf

from input_pipeline.engines.registry import make_engine
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.prepare import prepare
from input_pipeline.records.example_rows import examples_of_request
from input_pipeline.records.packing import Packing
from input_pipeline.refresh import RefreshOptions, refresh
from input_pipeline.report import data_report as report
from tests.input_pipeline.contract import CUTS, check_data_set, prepare_lines, read_spec
from tests.input_pipeline.engines.spark.sessions import SPARK, small_session
from tests.input_pipeline.logs import TRANSFORMS, random_lines, with_features
from tests.input_pipeline.refreshing import BASE_DAYS, preparation, require_same, write_days

pytest.importorskip("pyspark", reason="the extra `spark` is not installed")

from input_pipeline.engines.spark.ordered_log import order_log
from input_pipeline.engines.spark.workspace import Workspace

if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
    pytest.skip("there is no Java", allow_module_level=True)
pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _no_figures(monkeypatch):
    monkeypatch.setattr(report, "render", lambda *_: "")


@pytest.fixture(scope="module", autouse=True)
def session():
    """One session for all data sets: its start takes longer than most of them."""
    with small_session() as session:
        yield session


def records_of(data_dir, split):
    """The serialized rows of a split, sorted."""
    files = sorted(tf.io.gfile.glob(f"{data_dir}/examples/{split}-*"))
    records = tf.data.TFRecordDataset(files, compression_type="GZIP")
    return sorted(record.numpy() for record in records)


def check_same(spark, local):
    """Compares all rows, labels and sampled negatives of two data sets byte by byte."""
    specs = read_spec(spark), read_spec(local)
    for split in ("history", "train", "validation", "test"):
        found, expected = records_of(spark, split), records_of(local, split)
        assert expected
        assert found == expected, split
    assert specs[0].vocabularies == specs[1].vocabularies
    assert specs[0].counts == specs[1].counts
    assert specs[0].grouping == specs[1].grouping
    for ours, theirs in zip(specs[0].features, specs[1].features, strict=True):
        assert ours.name == theirs.name
        if ours.transform is not None:
            np.testing.assert_allclose(ours.transform.mean, theirs.transform.mean, rtol=1e-9)
            deviations = ours.transform.deviation, theirs.transform.deviation
            np.testing.assert_allclose(*deviations, rtol=1e-9)
            assert ours.transform.has_missing == theirs.transform.has_missing


def test_pairs_are_those_of_the_reference_and_of_the_local_engine(tmp_path):
    lines = random_lines(0, num_lines=300)
    # Three parts or more of everything: items are spread over several of them.
    flags = {"activity_features": True}
    parts = {"spark_part_rows": 100, "spark_file_bytes": 0}
    prepare_lines(lines, tmp_path / "spark", **parts, **flags, **SPARK)
    check_data_set(tmp_path / "spark", lines)
    assert not (tmp_path / "spark" / ".spark").exists()
    assert not (tmp_path / "spark" / "graph" / "2" / "user_1hop.npy").exists()
    assert (tmp_path / "spark" / "vocabulary" / "item_id.parts" / "part-00000.txt").exists()
    given = str(tmp_path / "spark")
    prepare_lines(lines, tmp_path / "local", grouping_from=given, **flags)
    check_same(tmp_path / "spark", tmp_path / "local")
    told = [
        json.loads((tmp_path / name / "graph" / "3" / "graph.json").read_text())
        for name in ("spark", "local")
    ]
    assert told[0] == told[1]


def test_a_day_is_added_to_what_spark_prepared(tmp_path, monkeypatch):
    pages = []
    monkeypatch.setattr(report, "render", lambda *arguments: pages.append(arguments) or "")
    paths = write_days(tmp_path, num_days=BASE_DAYS + 2, exposures=True)
    first = str(tmp_path / "first")
    # some columns lie in parts, and some do not
    parts = {"spark_part_rows": 100, "spark_file_bytes": 1_000}
    prepare(preparation(data_dir=first, input=(paths[0],), **parts, **SPARK))
    local = str(tmp_path / "local")
    prepare(preparation(data_dir=local, input=(paths[0],), grouping_from=first))
    require_same(first, local, of_numbers=1e-9)
    for ours, theirs in zip(*(arguments[1:] for arguments in pages), strict=True):
        assert str(ours) == str(theirs)
    latest = first
    for day, path in enumerate(paths[1:]):
        new = str(tmp_path / f"day-{day}")
        refresh(RefreshOptions(data_dir=new, from_dir=latest, input=(path,)))
        latest = new
    anew = str(tmp_path / "anew")
    times = tuple(int(time) for time in read_spec(latest).cut_times)
    given = {"cuts": None, "cut_times": times, "grouping_from": first}
    prepare(preparation(data_dir=anew, input=tuple(paths), **given))
    require_same(latest, anew, of_numbers=1e-9)


def test_exposures_with_features_in_order_from_parquet(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    lines = with_features(random_lines(4, exposures=True), 4)
    local = {"record_layout": "request", "transforms": TRANSFORMS, "split": "order"}
    prepare_lines(lines, tmp_path / "first", **local)
    log = pathlib.Path(tmp_path, "first.csv")
    table = pa.csv.read_csv(log)
    for day in range(2):
        folder = tmp_path / "log" / f"dt=2026-01-0{day + 1}"
        os.makedirs(folder)
        pq.write_table(table, folder / "part.parquet")
    flags = read_spec(tmp_path / "first").flags
    names = ("cuts", "timestamp_column", "task_columns", "user_feature_columns",
             "item_feature_columns", "context_feature_columns", "num_user_macro_nodes",
             "num_item_macro_nodes", "max_neighbors", "num_shards", "record_layout", "split",
             "drop_cold")  # fmt: skip
    kept = {n: tuple(flags[n]) if isinstance(flags[n], list) else flags[n] for n in names}
    options = PreparationOptions(
        source="parquet",
        input=(str(tmp_path / "log"),),
        data_dir=str(tmp_path / "spark"),
        partition_filter="dt >= '2026-01-02'",
        grouping_from=str(tmp_path / "first"),
        **{**kept, **SPARK, "cuts": CUTS},
    )
    prepare(options)
    spec = read_spec(tmp_path / "spark")
    assert [file.path.rpartition("/log/")[2] for file in spec.source_files] == [
        "dt=2026-01-02/part.parquet"
    ]
    requests = [candidates_of(tmp_path / name) for name in ("spark", "first")]
    assert requests[0] == requests[1]


def test_given_times_are_the_last_of_their_windows(tmp_path, session):
    times = [30, 5, 10, 20, 11, 40, 31, 10]
    rows = [(0, 0, line, time) for line, time in enumerate(times)]
    lines = session.createDataFrame(rows, "file int, block long, row long, timestamp long")
    work = Workspace(session, str(tmp_path / "work"), 3)

    def ordered(split="time", **options):
        preparation = PreparationOptions(source="csv", **options, **SPARK)
        return order_log(lines, len(rows), split, preparation, work)

    log = ordered(cut_times=(10, 20, 39))
    assert log.windows.cut_times == (10, 20, 39)
    assert log.windows.bounds.tolist() == [0, 3, 5, 7, 8]
    assert log.windows.shares == (3 / 8, 5 / 8, 7 / 8)
    found = sorted((row["event"], row["window"], row["row"]) for row in log.frame.collect())
    assert [(window, line) for _, window, line in found] == [
        (0, 1), (0, 2), (0, 7), (1, 4), (1, 3), (2, 0), (2, 6), (3, 5),
    ]  # fmt: skip
    with pytest.raises(ValueError, match=r"--cut_times: every window needs events, but validation"):
        ordered(cut_times=(10, 31, 32))
    with pytest.raises(ValueError, match="--cut_times: needs --split=time, got --split=order"):
        ordered(split="order", cut_times=(10, 20, 39))


def candidates_of(data_dir):
    """By split, the rows of its requests as Examples, sorted."""
    packing = Packing.of(read_spec(data_dir), str(data_dir))
    found = {}
    for split in ("history", "train", "validation", "test"):
        rows = []
        for record in records_of(data_dir, split):
            for row in examples_of_request(record, packing):
                features = tf.train.Example.FromString(row).features.feature
                rows.append(sorted((n, f.SerializeToString()) for n, f in features.items()))
        found[split] = sorted(rows)
    return found


def test_what_is_not_offered_is_refused_by_name(tmp_path):
    def engine(**flags):
        options = {"source": "csv", "task_columns": ("a",), "engine": "spark"}
        return make_engine(PreparationOptions(**{**options, **flags}), str(tmp_path))

    for flag, value in (("grouping", "rows"), ("duplicates", "drop"), ("split", "random")):
        with pytest.raises(ValueError, match=f"--{flag}={value}: is not offered by --engine=spark"):
            engine(**{flag: value})
    with pytest.raises(ValueError, match="--min_user_events"):
        engine(min_user_events=2)
    with engine(source="taobao", spark_conf=("x",)) as made, pytest.raises(
        ValueError, match="--spark_conf: expected key=value, got 'x'"
    ):  # fmt: skip
        made.read()
