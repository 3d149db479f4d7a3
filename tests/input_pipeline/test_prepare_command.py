"""The command: what it refuses, and what a failure or a kill leaves behind."""

from __future__ import annotations

import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest

from input_pipeline import prepare
from input_pipeline.files import filesystem
from input_pipeline.log import vocabulary
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.records import shards as tfrecords
from input_pipeline.spec import SPEC_FILE, DatasetSpec
from tests.input_pipeline.logs import event_log, random_lines, write_log
from tests.s3_server import S3Bucket, s3_bucket  # noqa: F401

ROOT = pathlib.Path(__file__).parents[2]
BEHAVIORS = ("pv", "fav", "cart", "buy")
FLAGS = ("--cuts=0.4,0.6,0.8", "--num_user_macro_nodes=3", "--num_item_macro_nodes=3")


@pytest.fixture
def log_file(tmp_path):
    """A log as Taobao writes it."""
    path = tmp_path / "log.csv"
    with open(path, "w") as file:
        for line in random_lines(0):
            category = dict(line.item_features)["category_id"].decode()[1:]
            behavior = BEHAVIORS[min(line.tasks)]
            file.write(f"{line.user},{line.item},{category},{behavior},{line.timestamp}\n")
    return path


def command(log_file, data_dir, *flags):
    arguments = ["--source=taobao", f"--input={log_file}", f"--data_dir={data_dir}", *FLAGS, *flags]
    return [sys.executable, "-m", "input_pipeline.prepare", *arguments]


def run(arguments, **options):
    return subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, **options)


def options_of(data_dir, **flags):
    small = {"cuts": (0.4, 0.6, 0.8), "num_user_macro_nodes": 3, "num_item_macro_nodes": 3}
    return PreparationOptions(**{"source": "taobao", "data_dir": str(data_dir), **small, **flags})


def write(data_dir, lines, **flags):
    options = options_of(data_dir, **flags)
    return write_log(event_log(lines), options, str(data_dir))


def test_two_processes_write_the_same_bytes(log_file, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    result = run(command(log_file, one, "--num_workers=1"))
    assert result.returncode == 0, result.stderr
    prepare.prepare(options_of(two, input=str(log_file), num_workers=3))
    for folder in ("examples", "graph", "vocabulary"):
        names = filesystem.files_below(str(one / folder))
        assert names == filesystem.files_below(str(two / folder))
        assert all(
            (one / folder / n).read_bytes() == (two / folder / n).read_bytes() for n in names
        )
    assert (one / "report.html").read_text().startswith("<!doctype html>")
    # Nothing else is left beside them.
    assert {path.name for path in tmp_path.iterdir()} == {"log.csv", "one", "two"}


def test_an_existing_directory_is_refused_and_kept(log_file, tmp_path):
    (tmp_path / "there").mkdir()
    with pytest.raises(FileExistsError, match=r"--data_dir: must not exist yet, got .*there"):
        prepare.prepare(options_of(tmp_path / "there", input=str(log_file)))
    assert not list((tmp_path / "there").iterdir())


def test_a_bad_flag_ends_in_one_message(log_file, tmp_path):
    result = run(command(log_file, tmp_path / "data", "--task_levels=1,2"))
    assert result.returncode == 1
    assert "--task_levels: needs one level for each of" in result.stderr
    assert "Traceback" not in result.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"log.csv"}


def test_a_failure_removes_what_was_written(log_file, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(tfrecords, "compress", fail)
    with pytest.raises(OSError, match="disk full"):
        prepare.prepare(options_of(tmp_path / "data", input=str(log_file)))
    assert {path.name for path in tmp_path.iterdir()} == {"log.csv"}


@pytest.mark.parametrize(
    "moment",
    [
        "records.shards.compress",
        "log.vocabulary.write",
        "report.data_report.render",
        "files.filesystem.publish",
    ],
)
def test_a_killed_run_leaves_nothing_to_accept(log_file, tmp_path, moment):
    folder, module, function = moment.split(".")
    arguments = command(log_file, tmp_path / "data")[3:]
    program = (
        "import os, signal, sys\n"
        f"from input_pipeline import prepare\nfrom input_pipeline.{folder} import {module}\n"
        f"setattr({module}, {function!r}, lambda *_: os.kill(os.getpid(), signal.SIGKILL))\n"
        f"sys.argv = ['prepare', *{arguments!r}]\n"
        "prepare.main()\n"
    )
    result = run([sys.executable, "-c", program])
    assert result.returncode == -signal.SIGKILL, result.stderr
    assert not (tmp_path / "data").exists()
    left = [path for path in tmp_path.iterdir() if path.is_dir()]
    assert len(left) == 1
    assert left[0].name.startswith(".")
    # Only a data set that is complete has its spec, without which nothing reads it.
    assert (left[0] / SPEC_FILE).exists() == (moment == "files.filesystem.publish")
    if moment == "records.shards.compress":
        prepare.prepare(options_of(tmp_path / "data", input=str(log_file)))
        assert (tmp_path / "data" / SPEC_FILE).exists()


def test_s3(s3_bucket: S3Bucket, log_file, tmp_path):  # noqa: F811
    data_dir = f"{s3_bucket.url}/sets/taobao"
    result = run(
        command(log_file, data_dir, "--num_shards=1"), env=s3_bucket.subprocess_environment
    )
    assert result.returncode == 0, result.stderr
    local = tmp_path / "local"
    prepare.prepare(options_of(local, input=str(log_file), num_shards=1))
    assert filesystem.files_below(data_dir) == filesystem.files_below(str(local))
    shard = tfrecords.shard_path(data_dir, "test", 0, 1)
    here = tfrecords.shard_path(str(local), "test", 0, 1)
    assert filesystem.read_bytes(shard) == filesystem.read_bytes(here)
    spec = DatasetSpec.from_json(filesystem.read_text(f"{data_dir}/{SPEC_FILE}"))
    assert len(vocabulary.read_ids(data_dir, spec, "user_id")) == spec.counts["users"]
    with pytest.raises(FileExistsError, match="--data_dir: must not exist yet, got s3://"):
        prepare.prepare(options_of(data_dir, input=str(log_file)))


def test_a_history_without_interactions_is_named(tmp_path):
    lines = random_lines(0, exposures=True)
    start = lines[len(lines) * 6 // 10].timestamp
    silent = [
        line if line.timestamp >= start else line.__class__(**{**vars(line), "tasks": frozenset()})
        for line in lines
    ]
    with pytest.raises(ValueError, match="history has no interactions"):
        write(tmp_path, silent)


def test_exposures_need_exposures(tmp_path):
    with pytest.raises(ValueError, match="--rows=exposures: needs a log of exposures"):
        write(tmp_path, random_lines(0), rows="exposures")


def test_ids_with_line_breaks_are_refused(tmp_path):
    lines = random_lines(0, bytes_ids=True)
    lines[0] = lines[0].__class__(**{**vars(lines[0]), "item": b"two\nlines"})
    with pytest.raises(ValueError, match=r"item_id: an id must not contain a line break, got"):
        write(tmp_path, lines)


def test_drop_cold_leaves_warm_rows_but_all_of_history(tmp_path):
    kept = write(tmp_path / "all", random_lines(1))
    warm = write(tmp_path / "warm", random_lines(1), drop_cold=True)
    dropped = warm.counts["dropped_cold_rows"]
    assert warm.counts["rows"]["history"] == kept.counts["rows"]["history"]
    assert dropped["test"] > 0
    for split, rows in kept.counts["rows"].items():
        assert warm.counts["rows"][split] + dropped[split] == rows


def test_min_count_decides_what_is_embedded(tmp_path):
    spec = write(tmp_path, random_lines(0), min_count=4)
    ids = vocabulary.embedded_ids(str(tmp_path), spec, "item_id")
    lines = random_lines(0)
    training = [line.item for line in lines if line.timestamp <= spec.cut_times[-2]]
    distinct, counts = np.unique(training, return_counts=True)
    assert sorted(ids.tolist()) == distinct[counts >= 4].tolist()
    assert 0 < len(ids) == spec.vocabulary("item_id").embedded < len(distinct)


def test_changed_vocabularies_are_noticed(tmp_path):
    spec = write(tmp_path, random_lines(0))
    path = tmp_path / "vocabulary" / "item_id.txt"
    path.write_text(path.read_text().replace("1", "2", 1))
    with pytest.raises(ValueError, match="not the ids of the data set's spec"):
        vocabulary.embedded_ids(str(tmp_path), spec, "item_id")
    path.write_text("1\n")
    with pytest.raises(ValueError, match=r"the spec tells of \d+ ids, got 1"):
        vocabulary.read_ids(str(tmp_path), spec, "item_id")


@pytest.mark.parametrize("name", ["category_id", "user_id", "item_1hop"])
def test_side_features_need_names_of_their_own(tmp_path, name):
    lines = [
        line.__class__(**{**vars(line), "user_features": ((name, 1),)}) for line in random_lines(0)
    ]
    with pytest.raises(ValueError, match=rf"names of their own, got \[?'{name}'\]? twice"):
        write(tmp_path, lines)
