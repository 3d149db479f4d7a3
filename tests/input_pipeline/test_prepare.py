"""Whole data sets of every engine, read from disk, against tests/reference_preparation.py."""

from __future__ import annotations

import gzip

import pytest

from input_pipeline.engines.registry import ENGINES
from input_pipeline.files import filesystem
from input_pipeline.preparation_options import DEFAULT_CUTS
from input_pipeline.records import shards as tfrecords
from input_pipeline.report import data_report as report
from tests.input_pipeline.contract import SMALL, check_data_set, prepare_lines, read_spec
from tests.input_pipeline.logs import random_lines

# The others have tests of their own, which may be slow.
WITHOUT_EXTRAS = [name for name, entry in ENGINES.items() if entry.extra is None]


@pytest.fixture(autouse=True)
def _no_figures(monkeypatch):
    """The report is tested by test_report.py; its figures take longer than the rest."""
    monkeypatch.setattr(report, "render", lambda *_: "")


@pytest.fixture(params=WITHOUT_EXTRAS)
def check(request):
    """A function that prepares some lines by an engine and checks the directory."""

    def prepare_and_check(lines, data_dir, **flags):
        prepare_lines(lines, data_dir, engine=request.param, **flags)
        return check_data_set(data_dir, lines)

    return prepare_and_check


def test_pairs_by_time(check, tmp_path):
    spec = check(random_lines(0), tmp_path, negatives=4)
    assert (spec.rows, spec.split) == ("pairs", "time")
    assert spec.counts["events"] == 240


def test_pairs_with_byte_ids_ties_of_levels_and_another_beta(check, tmp_path):
    lines = random_lines(1, clock=20, bytes_ids=True)
    check(lines, tmp_path, task_levels=(1, 2, 2, 3), beta=0.5, grouping="rows")


@pytest.mark.parametrize(
    "flags",
    [
        {"beta": 0.0, "grouping_scale": "degree"},
        {"beta": -1.5, "grouping_scale": "none", "grouping_power": 2, "grouping_dim": 3},
        {"grouping_scale": "none", "grouping_power": 1},
        {"grouping_scale": "degree", "grouping_power": 2, "activity": "copreference"},
        {"grouping_scale": "regularized", "grouping_power": 2, "grouping_dim": 5},
        {"grouping_dim": 1, "preference": False, "grouping_scale": "degree"},
        {"grouping": "rows", "preference": False, "activity": "copreference"},
    ],
)
def test_ways_of_grouping(check, tmp_path, flags):
    check(random_lines(10, num_lines=400, users=25), tmp_path, **flags)


def test_pairs_without_preference_when_users_run_out_of_items(check, tmp_path):
    lines = random_lines(2, num_lines=300, users=4, items=12)
    spec = check(lines, tmp_path, preference=False, negatives=6, num_user_macro_nodes=5)
    assert spec.counts["missing_negatives"]["train"] > 0


def test_events_by_time(check, tmp_path):
    check(random_lines(3), tmp_path, rows="events")


def test_exposures_with_missing_labels(check, tmp_path):
    spec = check(random_lines(4, exposures=True, unlabeled=True), tmp_path)
    assert spec.rows == "exposures"


def test_pairs_of_exposures_with_missing_labels(check, tmp_path):
    check(random_lines(5, exposures=True, unlabeled=True), tmp_path, rows="pairs")


def test_order_without_a_clock(check, tmp_path):
    lines = random_lines(6, clock=None)
    spec = check(lines, tmp_path, cuts=(0.4, 0.7, 0.85), rows="pairs")
    assert (spec.split, spec.timestamp_unit) == ("order", None)
    check(random_lines(7, clock=None), tmp_path / "events", cuts=(0.4, 0.7, 0.85), rows="events")


def test_order_tests_the_last_line_of_each_user_by_default(check, tmp_path):
    # Times only stand in the rows, and tell which is which.
    lines = random_lines(11, clock=240)
    spec = check(lines, tmp_path / "events", cuts=None, rows="events", split="order")
    assert spec.counts["rows"]["test"] == len({line.user for line in lines})
    assert spec.cuts == DEFAULT_CUTS
    check(lines, tmp_path / "pairs", cuts=None, rows="pairs", split="order", negatives=0)


@pytest.mark.parametrize("rows", ["pairs", "events"])
def test_random_split(check, tmp_path, rows):
    check(
        random_lines(8, clock=240),
        tmp_path,
        rows=rows,
        split="random",
        cuts=(0.4, 0.7, 0.85),
    )


@pytest.mark.parametrize("engine", WITHOUT_EXTRAS)
def test_shards_hold_the_same_rows_for_any_number_of_workers(tmp_path, engine):
    lines = random_lines(9)
    prepare_lines(lines, tmp_path / "one", num_workers=1, engine=engine)
    prepare_lines(lines, tmp_path / "three", num_workers=3, engine=engine)
    for split in read_spec(tmp_path / "one").counts["rows"]:
        for shard in range(SMALL["num_shards"]):
            paths = [
                tfrecords.shard_path(str(tmp_path / n), split, shard, SMALL["num_shards"])
                for n in ("one", "three")
            ]
            first, second = (filesystem.read_bytes(path) for path in paths)
            if first != second:  # told in short, and whether it was the compressor alone
                records = [gzip.decompress(packed) for packed in (first, second)]
                pytest.fail(f"{paths} differ; equal records: {records[0] == records[1]}")
