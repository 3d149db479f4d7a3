"""Where the time of some steps goes, as TensorFlow's profiler tells it."""

from __future__ import annotations

import tensorflow as tf

from mgoe_tf.training.loop import Hook, Losses, Run


class Profile(Hook):
    """Records some steps of a run, once; a process that begins after the first records none.

    Args:
      folder: where the trace goes, for TensorBoard.
      first, last: steps, counted from 1.
    """

    def __init__(self, folder: str, first: int, last: int) -> None:
        if not 1 <= first <= last:
            raise ValueError(f"first and last: must be 1 <= first <= last, got {first} and {last}")
        self._folder = folder
        self._first = first
        self._last = last
        self._recording = False

    def begin(self, run: Run) -> None:
        self._start_before(run)

    def after_step(self, run: Run, losses: Losses) -> None:
        if self._recording and run.position.step >= self._last:
            # a device may still be computing what was only asked for
            tf.nest.map_structure(lambda loss: loss.numpy(), dict(losses))
            self._stop()
        self._start_before(run)

    def end(self, run: Run) -> None:
        if self._recording:
            self._stop()

    def _start_before(self, run: Run) -> None:
        if run.position.step == self._first - 1:
            tf.profiler.experimental.start(self._folder)
            self._recording = True

    def _stop(self) -> None:
        tf.profiler.experimental.stop()
        self._recording = False
