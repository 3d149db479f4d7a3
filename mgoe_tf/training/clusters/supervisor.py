"""Keeps the processes of a cluster on this machine alive until its run has ended."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping, Sequence

from mgoe_tf.training.clusters.local_process import LocalProcess, free_addresses
from mgoe_tf.training.clusters.place import EXIT_STATUS

_POLL_SECONDS = 0.2
# Until those that were told to end, or that notice that another one is gone, are ended by force.
_GRACE_SECONDS = 30.0


class Supervisor:
    """Starts a cluster, starts again what fails, and ends all when one fails for good.

    A worker of parameter servers, or the evaluator, is started again by itself, the whole cluster
    with --resume where a process ends with status 75 or is killed. Each takes one of `restarts`.
    Without any left, a run goes on with the workers that it has on parameter servers; all else is
    a failure for good.

    Args:
      counts: of the processes of each role, in the order in which they are started.
      command: of every process.
      log_dir: for what each process says; made where it is missing.
      restarts: how often something is started again.
    """

    def __init__(
        self, counts: Mapping[str, int], command: Sequence[str], *, log_dir: str, restarts: int
    ) -> None:
        self._counts = dict(counts)
        self._command = list(command)
        self._log_dir = log_dir
        self._restarts = restarts
        self._asked: int | None = None
        self._processes: list[LocalProcess] = []

    def run(self) -> int:
        """Runs the cluster to the end of its run; returns the exit status of the command."""
        os.makedirs(self._log_dir, exist_ok=True)
        before = {n: signal.signal(n, self._remember) for n in (signal.SIGTERM, signal.SIGINT)}
        try:
            while True:
                status = self._run_once()
                if status == 0 or self._asked is not None or not _is_passing(status):
                    break
                if not self._take_restart("the cluster"):
                    break
                if "--resume" not in self._command:
                    self._command.append("--resume")
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        return 128 + self._asked if self._asked is not None else _as_exit_status(status)

    def _remember(self, number: int, frame: object) -> None:
        del frame
        self._asked = number

    def _take_restart(self, what: str) -> bool:
        if not self._restarts:
            return False
        self._restarts -= 1
        print(f"{what} is started again; restarts left: {self._restarts}", flush=True)
        return True

    def _run_once(self) -> int:
        addresses = free_addresses(self._counts)
        self._processes = []
        try:
            for role, count in self._counts.items():
                for index in range(count):
                    self._processes.append(
                        LocalProcess(role, index, addresses, self._command, self._log_dir)
                    )
            return self._watch()
        finally:
            for process in self._processes:
                process.terminate()
            for process in self._processes:
                process.end(_GRACE_SECONDS)

    def _watch(self) -> int:
        """Until the run has ended, or cannot go on; returns the status that tells how."""
        while True:
            if self._asked is not None:
                return self._end_as_asked()
            left = [process for process in self._leading if process.status is None]
            failed = [process for process in self._processes if process.status]
            if not left and not any(process.status for process in self._leading):
                return 0
            for process in failed:
                status = self._after_failure(process)
                if status is not None:
                    return status
            time.sleep(_POLL_SECONDS)

    @property
    def _leading(self) -> list[LocalProcess]:
        """Those that end with the run; others serve until they are told to end."""
        if "ps" not in self._counts:
            return self._processes
        return [p for p in self._processes if p.role in ("chief", "evaluator")]

    def _after_failure(self, process: LocalProcess) -> int | None:
        """Starts a process again; else the status that the cluster ends with, None: it goes on."""
        status = process.status
        assert status
        alone = "ps" in self._counts and process.role in ("worker", "evaluator")
        if alone and _is_passing(status):
            print(f"{process.name} ended with status {status}", flush=True)
            if self._take_restart(process.name):
                process.start()
                return None
            workers = [p for p in self._processes if p.role == "worker" and p.status is None]
            if process.role == "worker" and workers:
                self._processes.remove(process)
                return None
            return status
        print(f"{process.name} ended with status {status}: all others are ended", flush=True)
        if process.role == "ps" or "ps" not in self._counts:
            # those that depend on it notice and say so
            statuses = [p.wait(_GRACE_SECONDS) for p in self._leading if p.role != "evaluator"]
            refused = [s for s in statuses if s and not _is_passing(s)]
            return refused[0] if refused else status
        return status

    def _end_as_asked(self) -> int:
        """Those that train save first, while all others are still there."""
        training = [p for p in self._leading if p.role != "evaluator"]
        for process in training:
            process.terminate()
        return max((process.wait(None) or 0) for process in training)


def _is_passing(status: int) -> bool:
    """Whether a process may do better when it is started again."""
    return status == EXIT_STATUS or status < 0


def _as_exit_status(status: int) -> int:
    return EXIT_STATUS if _is_passing(status) else status
