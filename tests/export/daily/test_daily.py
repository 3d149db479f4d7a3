"""Days that are lived one after the other, broken off and gone on with."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

from export import publication
from export.daily import log, report
from export.daily.__main__ import run_days
from export.daily.days import Days
from export.daily.options import DailyOptions
from input_pipeline.log.vocabulary import read_ids
from input_pipeline.sources.synthetic.world import START_SECONDS
from input_pipeline.spec import read_spec

ROOT = pathlib.Path(__file__).parents[3]
DAY = 86_400


def _options(output: pathlib.Path, **changes) -> DailyOptions:
    told = {
        "log_days": 4,
        "days": 4,
        "users": 80,
        "items": 120,
        "events": 6000,
        "model": "mmoe",
        "first_epochs": 1,
        "anew": False,
        "max_auc_drop": 0.5,
    }
    return DailyOptions(output=str(output), **told | changes)


def test_the_log_is_cut_into_days(tmp_path):
    options, folder = _options(tmp_path), str(tmp_path / "log")
    log.write_log(options, folder)
    assert sorted(os.listdir(folder)) == [f"day-{day:03d}.csv" for day in range(5)]
    lines, last = 0, 0
    for day in range(5):
        times = np.loadtxt(log.day_file(folder, day), delimiter=",", usecols=4, dtype=np.int64)
        begin = START_SECONDS + (9 + day) * DAY if day else START_SECONDS
        assert times.min() >= begin
        if day < 4:
            assert times.max() < START_SECONDS + (10 + day) * DAY
        assert times.min() > last
        lines, last = lines + len(times), times.max()
    assert lines == 6000
    cuts = log.first_cuts()
    assert len(cuts) == 5
    assert (cuts[0] + 1 - START_SECONDS, cuts[-1] + 1 - START_SECONDS) == (5 * DAY, 9 * DAY)
    stamp = os.stat(log.day_file(folder, 1)).st_mtime_ns
    log.write_log(options, folder)  # which is there
    assert os.stat(log.day_file(folder, 1)).st_mtime_ns == stamp


def _told(day: int, refused: str | None = None) -> dict:
    aucs = {"never": 0.6, "refreshed": 0.65, "warm": 0.7 + day / 100}
    return {
        "day": day,
        "went_on_from": day - 1,
        "refused": refused,
        "rows": 1234,
        "auc": {way: {"average": auc, "click": auc, "buy": None} for way, auc in aucs.items()},
    }


def test_the_page_tells_each_day(tmp_path):
    days = [_told(1), _told(2, "not published: --max_auc_drop: <worse>"), _told(3)]
    report.write(str(tmp_path), days, "exports/mmoe")
    page = (tmp_path / "report.html").read_text()
    assert "2 of 3 days published a version to <code>exports/mmoe</code>" in page
    assert "--max_auc_drop: &lt;worse&gt;" in page
    assert "<b>0.7200</b><span>goes on each day</span>" in page  # of 0.71, 0.72, 0.73
    assert "anew" not in page.split("</style>")[1].split("<h2>")[0]
    assert "1,234" in page
    assert (tmp_path / "auc_by_day.png").read_bytes()[1:4] == b"PNG"
    assert json.loads((tmp_path / "auc_by_day.json").read_text()) == days
    assert {path.name for path in (tmp_path / "events").iterdir()} == {"never", "refreshed", "warm"}
    assert report.line(3, days[2]) == (
        "day 3: AUC never 0.6000, refreshed 0.6500, warm 0.7300; version published"
    )


def test_refuses_other_options_and_too_many_days(tmp_path):
    with pytest.raises(ValueError, match="--days: must be at most --log_days=4, got 5"):
        _options(tmp_path, days=5)
    with pytest.raises(ValueError, match="--output: must name a directory"):
        DailyOptions()
    (tmp_path / "options.json").write_text(json.dumps({"log_days": 4}))
    with pytest.raises(ValueError, match=r"--users=80: the days in .* were begun with None"):
        Days(_options(tmp_path)).begin()


@pytest.mark.slow
def test_a_day_that_fails_changes_nothing_that_is_served(tmp_path):
    options = _options(tmp_path, days=2, min_auc=0.999)
    run_days(options)
    assert publication.versions(options.served_path) == [1]
    told = Days(options).told()
    assert [day["went_on_from"] for day in told] == [0, 0]
    for day in told:
        assert "--min_auc: the mean validation AUC must be at least 0.999" in day["refused"]
        assert set(day["auc"]) == {"never", "refreshed", "warm"}
    assert sorted(os.listdir(tmp_path / "data")) == ["day-002"]
    # the first model, and the latest: nobody goes on from the others
    assert sorted(os.listdir(tmp_path / "models" / "warm")) == ["day-000", "day-002"]


def _start(output: pathlib.Path) -> subprocess.Popen:
    options = _options(output, days=3)
    fields = ("output", "log_days", "days", "users", "items", "events", "model", "first_epochs")
    arguments = [f"--{name}={getattr(options, name)}" for name in (*fields, "max_auc_drop")]
    command = [sys.executable, "-m", "export.daily", *arguments, "--noanew"]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


@pytest.mark.slow
def test_killed_and_gone_on_with_is_never_stopped(tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run_days(_options(whole, days=3))
    # while a model is being trained, and while a data set or a version is being made
    for awaited in ("models/warm/day-001/config.json", "days/day-002.json"):
        process = _start(parts)
        deadline = time.monotonic() + 600
        while not (parts / awaited).exists():
            assert process.poll() is None, process.stderr.read().decode()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stderr.close()
    run_days(_options(parts, days=3))
    ours, theirs = (Days(_options(folder)).told() for folder in (parts, whole))
    assert len(theirs) == 3
    assert ours == theirs
    for folder in (parts, whole):
        assert publication.versions(_options(folder).served_path) == [2, 3, 4]
        # the version of the last day knows the users and items that came until then
        assert _known_ids(_options(folder)) == (True, False)


def _known_ids(options: DailyOptions) -> tuple[bool, bool]:
    """Whether the newest version and the first one know the item that came last."""
    data = os.path.join(options.output, "data", "day-003")
    spec = read_spec(data)
    newest = read_ids(data, spec, "item_id")[-1:]
    user = read_ids(data, spec, "user_id")[:1]
    known = []
    for path in (f"{options.served_path}/4", f"{options.output}/frozen/{options.model}/1"):
        ask = tf.saved_model.load(path).signatures["known_ids"]
        answer = ask(user_id=tf.constant(user), item_id=tf.constant(newest))
        known.append(bool(answer["known_item"][0]))
    return known[0], known[1]
