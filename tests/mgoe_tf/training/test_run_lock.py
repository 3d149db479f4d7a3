"""One run at a time in a model directory."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mgoe_tf.training import run_lock as module
from mgoe_tf.training.run_lock import LOCK_FILE, run_lock
from tests.mgoe_tf.conftest import train_small

ROOT = Path(__file__).parents[3]
# Holds the lock until its standard input ends.
_HOLD = """
import sys
from mgoe_tf.training.run_lock import run_lock
with run_lock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def _hold(model_dir: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, model_dir],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_run_is_refused_until_the_first_has_ended_or_is_killed(tmp_path) -> None:
    model_dir = str(tmp_path / "m")
    process = _hold(model_dir)
    host = os.uname().nodename
    held = rf"process {process.pid} on {host} since \d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00\. Wait"
    with pytest.raises(ValueError, match=rf"--model_dir={model_dir}: another run .*, {held}"):
        run_lock(model_dir).__enter__()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert os.listdir(model_dir) == [LOCK_FILE]
    with run_lock(model_dir):
        assert f'"process": {os.getpid()}' in (tmp_path / "m" / LOCK_FILE).read_text()
    assert os.listdir(model_dir) == []


def test_within_a_process_too_and_an_error_lets_it_go(tmp_path) -> None:
    with run_lock(str(tmp_path)):
        with pytest.raises(ValueError, match="another run is writing there"):
            run_lock(str(tmp_path)).__enter__()
        (tmp_path / LOCK_FILE).write_text("")
        with pytest.raises(ValueError, match="which has not said yet who it is"):
            run_lock(str(tmp_path)).__enter__()
    with pytest.raises(KeyError), run_lock(str(tmp_path)):
        raise KeyError
    with run_lock(str(tmp_path)):
        pass


def test_a_lock_that_was_removed_before_it_was_held_is_none(tmp_path, monkeypatch) -> None:
    flock, removed = module.fcntl.flock, []

    def flock_after_another_run(descriptor: int, operation: int) -> None:
        if not removed:  # the other run ends between the opening and the locking
            removed.append(True)
            os.remove(tmp_path / LOCK_FILE)
        flock(descriptor, operation)

    monkeypatch.setattr(module.fcntl, "flock", flock_after_another_run)
    with run_lock(str(tmp_path)):
        assert (tmp_path / LOCK_FILE).exists()
        with pytest.raises(ValueError, match="another run is writing there"):
            run_lock(str(tmp_path)).__enter__()


def test_without_locks_it_says_so(tmp_path, monkeypatch, caplog) -> None:
    def unsupported(descriptor: int, operation: int) -> None:
        raise OSError(module.errno.ENOLCK, "No locks available")

    monkeypatch.setattr(module.fcntl, "flock", unsupported)
    with caplog.at_level("WARNING", "absl"), run_lock(str(tmp_path)):
        pass
    assert f"{tmp_path}/{LOCK_FILE}: no locks here" in caplog.text


def test_training_takes_it(train_options) -> None:
    options = train_options()
    with (
        run_lock(options.model_dir),
        pytest.raises(ValueError, match="another run is writing there"),
    ):
        train_small(options)
    assert os.listdir(options.model_dir) == []
