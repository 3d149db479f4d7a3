"""Who is started again, and when all are ended; with commands that take no time."""

import os
import pathlib
import signal
import sys
import threading
import time

import pytest

from mgoe_tf.training.clusters.supervisor import Supervisor

SERVERS = {"ps": 1, "worker": 2, "chief": 1, "evaluator": 1}
_BEGIN = """
import json, os, pathlib, signal, sys, time
task = json.loads(os.environ["TF_CONFIG"])["task"]
role, index, folder = task["type"], task["index"], pathlib.Path(sys.argv[1])
mark = folder / f"{role}-{index}.starts"
mark.write_text(mark.read_text() + "x" if mark.exists() else "x")
starts = len(mark.read_text())
def wait_for(name):
    while not (folder / name).exists():
        time.sleep(0.02)
"""


def supervised(folder: pathlib.Path, code: str, counts=SERVERS, restarts: int = 0) -> int:
    """The status of a cluster whose processes all run the code."""
    command = [sys.executable, "-c", _BEGIN + code, str(folder)]
    return Supervisor(counts, command, log_dir=str(folder / "logs"), restarts=restarts).run()


def starts(folder: pathlib.Path, name: str) -> int:
    return len((folder / f"{name}.starts").read_text())


def test_servers_are_ended_after_chief_and_evaluator(tmp_path, capsys) -> None:
    code = "print('here'); time.sleep(0.3 if role in ('chief', 'evaluator') else 60)"
    assert supervised(tmp_path, code) == 0
    assert "[worker 1] here\n" in capsys.readouterr().out
    assert (tmp_path / "logs" / "ps-0.log").read_text() == "here\n"


def test_a_refusal_ends_all_with_its_status(tmp_path) -> None:
    assert (
        supervised(tmp_path, "sys.exit(3) if role == 'chief' else time.sleep(60)", restarts=5) == 3
    )
    assert starts(tmp_path, "chief-0") == 1


def test_a_lost_cluster_is_started_again_with_resume(tmp_path, capsys) -> None:
    code = """
if role == "chief":
    sys.exit(0 if "--resume" in sys.argv else 75)
time.sleep(0.5 if role == "evaluator" else 60)
"""
    assert supervised(tmp_path, code, restarts=1) == 0
    assert starts(tmp_path, "chief-0") == starts(tmp_path, "ps-0") == 2
    assert "the cluster is started again; restarts left: 0" in capsys.readouterr().out


def test_a_cluster_that_is_lost_once_too_often_ends_with_75(tmp_path) -> None:
    code = "sys.exit(75) if role == 'chief' else time.sleep(60)"
    assert supervised(tmp_path, code, restarts=1) == 75
    assert starts(tmp_path, "chief-0") == 2


_KILLED_WORKER = """
if role == "worker" and index == 1 and starts == 1:
    os.kill(os.getpid(), signal.SIGKILL)
if role == "worker" and index == 1:
    (folder / "again").touch()
if role == "chief" and {waits}:
    wait_for("again")
time.sleep(0.6 if role in ("chief", "evaluator") else 60)
"""


def test_a_killed_worker_alone_is_started_again(tmp_path) -> None:
    assert supervised(tmp_path, _KILLED_WORKER.format(waits=True), restarts=1) == 0
    assert starts(tmp_path, "worker-1") == 2
    assert starts(tmp_path, "worker-0") == starts(tmp_path, "chief-0") == 1


def test_others_go_on_without_a_worker_that_may_not_be_started_again(tmp_path) -> None:
    assert supervised(tmp_path, _KILLED_WORKER.format(waits=False)) == 0
    assert starts(tmp_path, "worker-1") == 1


def test_the_last_worker_is_a_failure_for_good(tmp_path) -> None:
    counts = {**SERVERS, "worker": 1}
    code = "os.kill(os.getpid(), signal.SIGKILL) if role == 'worker' else time.sleep(60)"
    assert supervised(tmp_path, code, counts) == 75


def test_workers_in_step_are_started_again_together(tmp_path) -> None:
    code = """
if starts == 1 and index == 1:
    os.kill(os.getpid(), signal.SIGKILL)
sys.exit(75 if starts == 1 else 0)
"""
    assert supervised(tmp_path, code, {"worker": 2}, restarts=1) == 0
    assert starts(tmp_path, "worker-0") == starts(tmp_path, "worker-1") == 2


def test_a_request_to_end_goes_to_the_chief_while_others_are_there(tmp_path) -> None:
    code = """
def save(number, frame):
    (folder / "saved").write_text(str((folder / "ps-0.ended").exists()))
    sys.exit(128 + number)
def end(number, frame):
    (folder / f"{role}-{index}.ended").touch()
    sys.exit(0)
signal.signal(signal.SIGTERM, save if role == "chief" else end)
time.sleep(60)
"""
    names = [f"{role}-{index}" for role, count in SERVERS.items() for index in range(count)]

    def ask() -> None:
        while not all((tmp_path / f"{name}.starts").exists() for name in names):
            time.sleep(0.05)
        time.sleep(1.0)  # for their handlers
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=ask).start()
    assert supervised(tmp_path, code) == 128 + signal.SIGTERM
    assert (tmp_path / "saved").read_text() == "False"
    assert (tmp_path / "ps-0.ended").exists()


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_the_handlers_of_before_are_put_back(tmp_path, name) -> None:
    before = signal.getsignal(getattr(signal, name))
    supervised(tmp_path, "", {"worker": 1})
    assert signal.getsignal(getattr(signal, name)) is before
