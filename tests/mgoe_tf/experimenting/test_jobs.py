"""Jobs: what is done is left alone, what fails is told, nobody is left behind."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from mgoe_tf.experimenting.jobs import Job, run_jobs
from mgoe_tf.training.run_lock import run_lock

ROOT = pathlib.Path(__file__).parents[3]
# A module that takes an act and a file: makes the file, fails, or waits until it is told to end.
MODULE = """
import pathlib, sys, time
act, path = sys.argv[1], pathlib.Path(sys.argv[2])
with open(path.parent / "begun.txt", "a") as begun:
    begun.write(f"{path.name}\\n")
if act == "fail":
    sys.exit("ValueError: --epochs: must be\\nat least 1, got 0")
if act == "wait":
    import os, signal
    signal.signal(signal.SIGTERM, lambda *_: (path.write_text("saved"), os._exit(143)))
    (path.parent / "pid.txt").write_text(str(os.getpid()))
    time.sleep(60)
path.write_text("made")
"""


@pytest.fixture
def folder(tmp_path, monkeypatch) -> pathlib.Path:
    (tmp_path / "small_job.py").write_text(MODULE)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(ROOT)]))
    return tmp_path


def job(folder: pathlib.Path, name: str, act: str = "make", **others) -> Job:
    path = folder / name
    arguments = ("small_job", act, str(path))
    return Job(name, arguments, str(folder / "logs" / f"{name}.log"), path.exists, **others)


def begun(folder: pathlib.Path) -> list[str]:
    path = folder / "begun.txt"
    return path.read_text().split() if path.exists() else []


def test_what_is_done_is_left_alone_and_needs_come_first(folder) -> None:
    (folder / "b").write_text("before")
    lines: list[str] = []
    jobs = [job(folder, "c", needs="a"), job(folder, "a", needs="b"), job(folder, "b")]
    assert run_jobs(jobs, 2, lines.append) == []
    assert begun(folder) == ["a", "c"]
    assert lines[0] == "1 of 3 are done already"
    assert lines[1].startswith("[1/2] a, 0:0")
    assert "about 0:0" in lines[1] or " left" not in lines[1]
    assert lines[2].startswith("[2/2] c, 0:0")
    assert " left" not in lines[2]


def test_a_failure_is_told_and_ends_what_needs_it_alone(folder) -> None:
    jobs = [job(folder, "a", "fail"), job(folder, "b", needs="a"), job(folder, "c")]
    lines: list[str] = []
    first, second = run_jobs(jobs, 1, lines.append)
    log = folder / "logs" / "a.log"
    assert first.name == "a"
    assert first.reason == (
        f"exit status 1: ValueError: --epochs: must be at least 1, got 0 ({log})"
    )
    assert (second.name, second.reason) == ("b", "it needs what failed: a")
    assert (folder / "c").read_text() == "made"
    assert any("a, 0:0" in line and "FAILED: exit status 1" in line for line in lines)
    assert "[2/3] b FAILED: it needs what failed: a" in lines


def test_a_command_that_makes_nothing_has_failed(folder) -> None:
    made = job(folder, "a")
    elsewhere = Job("x", made.arguments, made.log, (folder / "x").exists)
    (failure,) = run_jobs([elsewhere], 1, lambda line: None)
    assert failure.reason.startswith("exit status 0: it said nothing")


def test_a_directory_that_somebody_writes_to_is_waited_for(folder) -> None:
    held = folder / "run"
    lines: list[str] = []
    jobs = [job(folder, "a", locked=str(held)), job(folder, "b")]

    def stop(line: str) -> None:
        lines.append(line)
        if "[1/2] b" in line:
            raise KeyboardInterrupt

    with run_lock(str(held)), pytest.raises(KeyboardInterrupt):
        run_jobs(jobs, 1, stop)
    assert "a waits: " in lines[0]
    assert f"process {os.getpid()}" in lines[0]
    assert begun(folder) == ["b"]
    assert run_jobs(jobs, 1, lines.append) == []
    assert begun(folder) == ["b", "a"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_command_leaves_nobody_behind(folder, number) -> None:
    code = f"""
import pathlib
from mgoe_tf.experimenting.jobs import Job, run_jobs
path = pathlib.Path({str(folder / "slow")!r})
arguments = ("small_job", "wait", str(path))
run_jobs([Job("slow", arguments, {str(folder / "slow.log")!r}, lambda: False)], 1)
"""
    command = subprocess.Popen([sys.executable, "-c", code])
    _wait_for(folder / "pid.txt")
    child = int((folder / "pid.txt").read_text())
    command.send_signal(number)
    assert command.wait(60) == (-number if number == signal.SIGKILL else 128 + number)
    # it was told to end, not killed
    _wait_for(folder / "slow")
    assert (folder / "slow").read_text() == "saved"
    for _ in range(100):
        if not pathlib.Path(f"/proc/{child}").exists():
            return
        time.sleep(0.1)
    raise AssertionError(f"process {child} is still there")


def _wait_for(path: pathlib.Path) -> None:
    deadline = time.monotonic() + 90
    while not path.exists() or not path.read_text():
        assert time.monotonic() < deadline, f"no {path}"
        time.sleep(0.05)
