"""Commands that run beside a test, and what they say."""

import os
import pathlib
import re
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).parents[4]
# Of a machine that is busy with other things.
PATIENCE_SECONDS = 900.0


class Command:
    """`python -m ...`, whose output goes to a file; ended with the block that it is used in."""

    def __init__(self, log: pathlib.Path, *arguments: str, **environment: str) -> None:
        self._log = log
        self._file = log.open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "MGOE_DEBUG": "1", **environment},
            stdout=self._file,
            stderr=subprocess.STDOUT,
        )

    def __enter__(self) -> "Command":
        return self

    def __exit__(self, *error: object) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(60)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait()
        self._file.close()

    @property
    def output(self) -> str:
        return self._log.read_text(errors="replace")

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Waits until the output has the pattern."""
        end = time.monotonic() + PATIENCE_SECONDS
        while True:
            status = self._process.poll()
            found = re.search(pattern, self.output)
            if found:
                return found
            assert status is None, f"ended with {status} before {pattern!r}:\n{self.output}"
            assert time.monotonic() < end, f"no {pattern!r}:\n{self.output}"
            time.sleep(0.1)

    def kill_role(self, role: str) -> None:
        """Kills a process of a launched cluster, such as `worker 1`."""
        processes = re.findall(rf"^{role} is process (\d+)", self.output, re.MULTILINE)
        os.kill(int(processes[-1]), signal.SIGKILL)

    def terminate(self) -> None:
        self._process.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        return self._process.wait(PATIENCE_SECONDS)
