"""Trials as processes: what their end is taken for."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from mgoe_tf.training.run_lock import run_lock
from mgoe_tf.tuning import launching
from mgoe_tf.tuning.jobs import Failed, Job, Outcome, Scored, Stopped
from mgoe_tf.tuning.launching import LOG_FILE, TrialProcess, outcome_of

ROOT = pathlib.Path(__file__).parents[3]


def _start(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, script: str, report=print
) -> TrialProcess:
    """A trial whose process is a shell script, instead of Python."""
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(launching.sys, "executable", str(program))
    job = Job("mmoe/trial-0000", str(tmp_path / "trial"), ("--epochs=1",))
    return TrialProcess(job, report)


def _end(process: TrialProcess) -> Outcome:
    for _ in range(500):
        if (outcome := process.poll()) is not None:
            return outcome
        time.sleep(0.02)
    raise AssertionError("the process has not ended")


def _write_results(model_dir: pathlib.Path, average: dict) -> None:
    model_dir.mkdir(exist_ok=True)
    (model_dir / "metrics_validation.json").write_text(json.dumps({"average": average}))
    (model_dir / "run.json").write_text(json.dumps({"weights": 321}))


def test_its_arguments_and_output(tmp_path, monkeypatch) -> None:
    _write_results(tmp_path / "trial", {"auc": 0.75, "logloss": 0.5})
    process = _start(tmp_path, monkeypatch, 'echo "$@"; echo told >&2')
    assert _end(process) == Scored(0.75, "auc", 321)
    expected = f"-m mgoe_tf.tuning.trial_process {os.getpid()} mmoe/trial-0000 --epochs=1\ntold\n"
    assert (tmp_path / "trial" / LOG_FILE).read_text() == expected
    _end(_start(tmp_path, monkeypatch, "echo again"))
    assert (tmp_path / "trial" / LOG_FILE).read_text() == f"{expected}again\n"


@pytest.mark.parametrize(
    ("script", "outcome"),
    [
        ("echo one; echo 'ValueError: rate'; echo; exit 1", Failed("ValueError: rate")),
        ("exit 3", Failed("ended with status 3")),
        ("kill -KILL $$", Failed("ended by SIGKILL")),
        ("kill -TERM $$", Stopped()),
        ("exit 143", Stopped()),
        ("exit 130", Stopped()),
        ("exit 0", Failed("no metrics of the validation window")),
    ],
)
def test_what_its_end_means(tmp_path, monkeypatch, script, outcome) -> None:
    assert _end(_start(tmp_path, monkeypatch, script)) == outcome


def test_a_run_is_scored_as_its_epochs_are(tmp_path) -> None:
    _write_results(tmp_path, {"auc": None, "logloss": 0.5})
    assert outcome_of(str(tmp_path)) == Scored(-0.5, "logloss", 321)
    _write_results(tmp_path, {"auc": None, "logloss": None})
    assert outcome_of(str(tmp_path)) == Failed(
        "the validation window has no labels: there is nothing to choose by"
    )


def test_told_to_stop_it_ends(tmp_path, monkeypatch) -> None:
    process = _start(tmp_path, monkeypatch, "sleep 60 & wait")
    assert process.poll() is None
    process.stop()
    assert _end(process) == Stopped()


def test_it_begins_once_a_run_that_was_left_there_has_ended(tmp_path, monkeypatch) -> None:
    _write_results(tmp_path / "trial", {"auc": 0.7, "logloss": 0.5})
    told: list[str] = []
    with run_lock(str(tmp_path / "trial")):
        process = _start(tmp_path, monkeypatch, "echo begun", told.append)
        assert [process.poll(), process.poll()] == [None, None]
        assert not (tmp_path / "trial" / LOG_FILE).exists()
    assert _end(process) == Scored(0.7, "auc", 321)
    (line,) = told
    assert line.startswith(f"mmoe/trial-0000 waits: --model_dir={tmp_path}/trial: another run is")


def test_one_that_waits_can_be_stopped(tmp_path, monkeypatch) -> None:
    with run_lock(str(tmp_path / "trial")):
        process = _start(tmp_path, monkeypatch, "echo begun")
        process.stop()
        assert process.poll() == Stopped()


# A parent with several threads starts a child that waits to be told to end, once.
_CHILD = """
import os, signal, sys, time
from mgoe_tf.tuning.trial_process import end_with
told = []
signal.signal(signal.SIGTERM, lambda *_: told.append(1))
end_with(os.getppid(), every_seconds=0.05)
print("ready", flush=True)
while not told:
    time.sleep(0.05)
time.sleep(0.5)
open(sys.argv[1], "w").write(str(len(told)))
"""
_PARENT = """
import subprocess, sys, threading, time
for _ in range(8):
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
subprocess.Popen([sys.executable, "-c", sys.argv[1], sys.argv[2]]).wait()
"""


@pytest.mark.slow
def test_a_trial_is_told_to_end_once_when_its_search_is_killed(tmp_path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", _PARENT, _CHILD, str(tmp_path / "told")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == "ready\n"
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    for _ in range(200):
        if (tmp_path / "told").exists() and (tmp_path / "told").read_text():
            break
        time.sleep(0.05)
    assert (tmp_path / "told").read_text() == "1"
