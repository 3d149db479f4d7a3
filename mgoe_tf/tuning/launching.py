"""Trials as processes of their own: one that crashes takes nothing else with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable

from input_pipeline.files import filesystem
from input_pipeline.files.json_file import read_json
from mgoe_tf.training import checkpoints, selection
from mgoe_tf.training.run_card import RUN_FILE
from mgoe_tf.training.run_lock import run_lock
from mgoe_tf.tuning.jobs import Failed, Job, Outcome, Scored, Stopped

LOG_FILE = "training.log"
_TOLD_TO_END = frozenset(
    status
    for number in (signal.SIGTERM, signal.SIGINT)
    # saved itself; had not begun to listen yet
    for status in (128 + number, -number)
)


class TrialProcess:
    """A trial in a process, whose output is appended to its training.log.

    It begins once no other process trains there: a search that was killed may have left one, which
    is told to end and saves itself.

    Args:
      job: what it does.
      report: called with a line for the terminal.
    """

    def __init__(self, job: Job, report: Callable[[str], None]) -> None:
        self._job = job
        self._report = report
        self._process: subprocess.Popen[bytes] | None = None
        self._waits = self._is_stopped = False
        self._begin()

    def poll(self) -> Outcome | None:
        if self._process is None:
            if self._is_stopped:
                return Stopped()
            self._begin()
            return None
        status = self._process.poll()
        if status is None:
            return None
        if status in _TOLD_TO_END:
            return Stopped()
        if status < 0:
            return Failed(f"ended by {signal.Signals(-status).name}")
        if status:
            return Failed(_last_line(self._log) or f"ended with status {status}")
        return outcome_of(self._job.model_dir)

    def stop(self) -> None:
        self._is_stopped = True
        if self._process is not None:
            self._process.terminate()

    @property
    def _log(self) -> str:
        return os.path.join(self._job.model_dir, LOG_FILE)

    def _begin(self) -> None:
        try:
            with run_lock(self._job.model_dir):
                pass
        except ValueError as error:
            if not self._waits:
                self._report(f"{self._job.title} waits: {error}")
            self._waits = True
            return
        command = [sys.executable, "-m", "mgoe_tf.tuning.trial_process", str(os.getpid())]
        with open(self._log, "ab") as log:
            self._process = subprocess.Popen(
                [*command, self._job.title, *self._job.arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # else the first trial takes all memory of a GPU that several share
                env={"TF_FORCE_GPU_ALLOW_GROWTH": "true", **os.environ},
                start_new_session=True,  # Ctrl-C is for the search, which tells its trials
            )


def outcome_of(model_dir: str) -> Outcome:
    """What a run that has ended well scored."""
    metrics = checkpoints.read_metrics(model_dir, "validation")
    if metrics is None:
        return Failed("no metrics of the validation window")
    criterion = selection.criterion(metrics)
    if criterion == "epoch":
        return Failed("the validation window has no labels: there is nothing to choose by")
    card = read_json(filesystem.join(model_dir, RUN_FILE), "Delete the trial's directory")
    return Scored(selection.score(metrics, epoch=0), criterion, card["weights"])


def _last_line(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as log:
        lines = [line.strip() for line in log]
    return next((line for line in reversed(lines) if line), "")
