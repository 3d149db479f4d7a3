"""Commands as jobs: several at a time, each in a process of its own, finished ones left alone."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from mgoe_tf.experimenting import child_process
from mgoe_tf.training.progress import duration
from mgoe_tf.training.run_lock import run_lock
from mgoe_tf.training.stopping import Interrupted

_POLL_SECONDS = 0.1
_REASON_LINES, _REASON_CHARACTERS = 3, 400


@dataclasses.dataclass(frozen=True)
class Job:
    """A command.

    Attributes:
      name: what it does, its own.
      arguments: a module, as `python -m` takes it, and its flags.
      log: file that what it says is added to.
      is_done: whether what it makes is there.
      needs: the name of the job that has to be done before; "": none.
      locked: a model directory that nobody else may be writing to when it begins; "": none.
    """

    name: str
    arguments: tuple[str, ...]
    log: str
    is_done: Callable[[], bool]
    needs: str = ""
    locked: str = ""


@dataclasses.dataclass(frozen=True)
class Failure:
    """What was not done, and why."""

    name: str
    reason: str


def run_jobs(
    jobs: Sequence[Job], workers: int, report: Callable[[str], None] = print
) -> list[Failure]:
    """Does what is not done yet, in order as far as needs allow.

    Killed, it leaves no process behind: those that train save themselves first. A job that fails
    does not end the others, but those that need it.

    Args:
      jobs: what is to be done.
      workers: how many at a time.
      report: takes a line of progress.

    Raises:
      Interrupted: this process was told to end.
    """
    return _Runner(jobs, workers, report).run()


class _Runner:
    def __init__(self, jobs: Sequence[Job], workers: int, report: Callable[[str], None]) -> None:
        self._workers = workers
        self._report = report
        self._waiting = [job for job in jobs if not job.is_done()]
        self._running: dict[str, tuple[Job, subprocess.Popen[bytes], float]] = {}
        self._failures: list[Failure] = []
        self._seconds: dict[str, list[float]] = {}
        self._held: set[str] = set()
        self._number = len(self._waiting)
        if self._number < len(jobs):
            report(f"{len(jobs) - self._number} of {len(jobs)} are done already")

    def run(self) -> list[Failure]:
        with _ending():
            try:
                while self._waiting or self._running:
                    self._start()
                    time.sleep(_POLL_SECONDS)
                    self._collect()
            finally:
                self._end()
        return self._failures

    def _start(self) -> None:
        for job in list(self._waiting):
            if len(self._running) >= self._workers:
                return
            if any(failure.name == job.needs for failure in self._failures):
                self._waiting.remove(job)
                self._failures.append(Failure(job.name, f"it needs what failed: {job.needs}"))
                self._report(f"{self._place()} {job.name} FAILED: {self._failures[-1].reason}")
            elif self._is_unfinished(job.needs) or self._is_held(job):
                continue
            else:
                self._waiting.remove(job)
                self._running[job.name] = (job, _begin(job), time.monotonic())

    def _is_unfinished(self, name: str) -> bool:
        return name in self._running or any(job.name == name for job in self._waiting)

    def _is_held(self, job: Job) -> bool:
        """Whether another process writes there, such as one that is just ending after a kill."""
        if not job.locked or not os.path.isdir(job.locked):
            return False
        try:
            with run_lock(job.locked):
                return False
        except ValueError as error:
            if job.name not in self._held:
                self._report(f"{job.name} waits: {error}")
            self._held.add(job.name)
            return True

    def _collect(self) -> None:
        for name, (job, process, begun) in list(self._running.items()):
            if process.poll() is None:
                continue
            del self._running[name]
            seconds = time.monotonic() - begun
            self._seconds.setdefault(job.arguments[0], []).append(seconds)
            said = ""
            if process.returncode or not job.is_done():
                failure = Failure(name, _reason(job, process.returncode))
                self._failures.append(failure)
                said = f" FAILED: {failure.reason}"
            left = self._seconds_left()
            time_left = f"; about {duration(left)} left" if left else ""
            self._report(f"{self._place()} {name}, {duration(seconds)}{said}{time_left}")

    def _place(self) -> str:
        """How many have ended, of how many."""
        return f"[{self._number - len(self._waiting) - len(self._running)}/{self._number}]"

    def _seconds_left(self) -> float:
        """By how long jobs of the kind took; of a kind that none is known of, by all of them."""
        kinds = {kind: statistics.mean(found) for kind, found in self._seconds.items()}
        usual = statistics.mean(kinds.values())
        now = time.monotonic()
        waiting = sum(kinds.get(job.arguments[0], usual) for job in self._waiting)
        running = sum(
            max(0.0, kinds.get(job.arguments[0], usual) - (now - begun))
            for job, _, begun in self._running.values()
        )
        return (waiting + running) / self._workers

    def _end(self) -> None:
        for _, process, _ in self._running.values():
            process.terminate()
        for _, process, _ in self._running.values():
            process.wait()


def _begin(job: Job) -> subprocess.Popen[bytes]:
    os.makedirs(os.path.dirname(job.log), exist_ok=True)
    launcher = [sys.executable, child_process.__file__, str(os.getpid())]
    with open(job.log, "ab") as log:
        return subprocess.Popen(
            [*launcher, sys.executable, "-m", *job.arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            # A Ctrl-C is for this process, which tells its children once to end.
            start_new_session=True,
        )


def _reason(job: Job, status: int) -> str:
    """The last lines that a job said, and where the others are."""
    lines = pathlib.Path(job.log).read_text("utf-8", "replace").splitlines()
    said = " ".join([line.strip() for line in lines if line.strip()][-_REASON_LINES:])
    if len(said) > _REASON_CHARACTERS:
        said = f"... {said[-_REASON_CHARACTERS:]}"
    return f"exit status {status}: {said or 'it said nothing'} ({job.log})"


@contextmanager
def _ending() -> Iterator[None]:
    """Turns SIGTERM and SIGINT into an exception, so that children are ended in order."""

    def end(number: int, frame: FrameType | None) -> None:
        del frame
        raise Interrupted(number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
