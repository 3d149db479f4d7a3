"""How training goes, on a terminal or in a log."""

from __future__ import annotations

import sys
import time
from typing import TextIO

from mgoe_tf.training.loop import Hook, Losses, Run

_REDRAW_SECONDS = 0.2
_LINE_SECONDS = 60.0


class ProgressLine(Hook):
    """Epoch, step, rows a second and the time left: a line that is redrawn on a terminal.

    Elsewhere it is a line a minute. Rows a second are those since the last redraw or line, and the
    time left in the epoch follows from them.

    Args:
      batch_size: rows of a step.
      stream: where it is written; default: standard output.
    """

    def __init__(self, *, batch_size: int, stream: TextIO | None = None) -> None:
        self._batch_size = batch_size
        self._stream = sys.stdout if stream is None else stream
        self._is_terminal = self._stream.isatty()
        self._drawn = False
        self._time, self._step = 0.0, 0

    def begin(self, run: Run) -> None:
        self._restart(run)

    def after_step(self, run: Run, losses: Losses) -> None:
        now = time.perf_counter()
        if run.position.step <= self._step:
            self._restart(run)
        seconds = now - self._time
        if seconds < (_REDRAW_SECONDS if self._is_terminal else _LINE_SECONDS):
            return
        line = progress(run, rate=(run.position.step - self._step) / seconds, rows=self._batch_size)
        if self._is_terminal:
            self._stream.write(f"\r\x1b[K{line}")
            self._drawn = True
        else:
            self._stream.write(f"{line}\n")
        self._stream.flush()
        self._time, self._step = now, run.position.step

    def after_epoch(self, run: Run) -> None:
        self._restart(run)

    def end(self, run: Run) -> None:
        self.clear()

    def print(self, line: str) -> None:
        """Writes a line that stays."""
        self.clear()
        self._stream.write(f"{line}\n")
        self._stream.flush()

    def clear(self) -> None:
        """Removes what is redrawn."""
        if self._drawn:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._drawn = False

    def _restart(self, run: Run) -> None:
        self._time, self._step = time.perf_counter(), run.position.step


def progress(run: Run, *, rate: float, rows: int) -> str:
    """The line.

    Args:
      run: where it stands.
      rate: steps a second.
      rows: of a step.
    """
    left = (run.steps_per_epoch - run.position.batch) / rate
    return (
        f"epoch {run.position.epoch + 1}/{run.epochs}, step {run.position.batch:,} of "
        f"{run.steps_per_epoch:,}: {rate * rows:,.0f} rows/s, {duration(left)} left in the epoch"
    )


def duration(seconds: float) -> str:
    """As 0:07, 12:34 or 1:02:03."""
    minutes, left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"
