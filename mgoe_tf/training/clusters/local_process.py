"""A process of a cluster on this machine, and what it says."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Mapping, Sequence
from typing import IO

from mgoe_tf.training.clusters.place import VARIABLE

Addresses = Mapping[str, Sequence[str]]


def free_addresses(counts: Mapping[str, int]) -> dict[str, list[str]]:
    """Addresses on the loopback interface whose ports nobody uses, so many a role."""
    held = [socket.socket() for _ in range(sum(counts.values()))]
    try:
        for one in held:
            one.bind(("127.0.0.1", 0))
        found = iter([f"127.0.0.1:{one.getsockname()[1]}" for one in held])
        return {role: [next(found) for _ in range(count)] for role, count in counts.items()}
    finally:
        for one in held:
            one.close()


class LocalProcess:
    """A command in a role; its lines go to a file, and to this one's output.

    Args:
      role, index: of the process.
      addresses: of the cluster.
      command: with its arguments.
      log_dir: its file is `<role>-<index>.log`, which a process that is started again goes on with.
    """

    def __init__(
        self, role: str, index: int, addresses: Addresses, command: Sequence[str], log_dir: str
    ) -> None:
        self.role, self.index = role, index
        self.name = f"{role} {index}"
        self._addresses, self._command, self._log_dir = addresses, command, log_dir
        self.start()

    def start(self) -> None:
        """Starts it, also again."""
        task = {"type": self.role, "index": self.index}
        config = json.dumps({"cluster": dict(self._addresses), "task": task})
        # TensorFlow's servers call it an error, for every unit, that they keep its functions
        quiet = {"TF_CPP_MIN_LOG_LEVEL": "3"} if self.role in ("ps", "worker") else {}
        self._process = subprocess.Popen(
            list(self._command),
            env={**os.environ, **quiet, VARIABLE: config, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a terminal's Ctrl-C is passed on in the right order
        )
        path = os.path.join(self._log_dir, f"{self.role}-{self.index}.log")
        self._reader = threading.Thread(
            target=self._copy, args=(self._process.stdout, path), daemon=True
        )
        self._reader.start()
        print(f"{self.name} is process {self._process.pid}, and says it in {path}", flush=True)

    def _copy(self, lines: IO[bytes], path: str) -> None:
        with open(path, "ab") as log:
            for line in lines:
                log.write(line)
                log.flush()
                text = line.decode("utf-8", "replace").rstrip("\n")
                print(f"[{self.name}] {text}", flush=True)

    @property
    def status(self) -> int | None:
        """None while it runs; below 0: the signal that ended it."""
        return self._process.poll()

    def terminate(self) -> None:
        """Asks it to end."""
        if self.status is None:
            self._process.send_signal(signal.SIGTERM)

    def wait(self, seconds: float | None = None) -> int | None:
        """Its status, None where it still runs after so many seconds."""
        try:
            status = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        self._reader.join(5.0)
        return status

    def end(self, seconds: float) -> None:
        """Ends it, after so many seconds by force."""
        self.terminate()
        if self.wait(seconds) is None:
            self._process.kill()
            self.wait()
