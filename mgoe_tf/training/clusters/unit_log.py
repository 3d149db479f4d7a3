"""Curves of a run in units."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from mgoe_tf.training.hooks import LOG_EVERY_STEPS, require_finite, weighted_sum
from mgoe_tf.training.loop import Hook, Losses, Run
from mgoe_tf.training.optimizers import inner_optimizer
from mgoe_tf.training.step import TrainingStep


class UnitLog(Hook):
    """Writes training scalars to TensorBoard and stops at a loss that is not finite.

    Losses are means over the labelled rows of the units since the last point; penalties on weights
    and of models are not among them. Rows are counted by what units came to: none is counted twice,
    though a unit of a worker that was lost may have trained some of its rows before.

    Args:
      writer: of TensorBoard.
      step: whose losses are written.
      report: called with a line about each epoch.
    """

    def __init__(
        self, writer: tf.summary.SummaryWriter, step: TrainingStep, *, report: Callable[[str], None]
    ) -> None:
        self._writer = writer
        self._step = step
        self._report = report
        self._rows_of_epoch = 0
        self._last_point = ""
        self._sums: NDArray[Any] = np.zeros(0)
        self._counts: NDArray[Any] = np.zeros(0)

    def begin(self, run: Run) -> None:
        self._restart()

    def before_epoch(self, run: Run) -> None:
        self._rows_of_epoch = 0
        self._restart()  # what was done since the last epoch is no training

    def after_step(self, run: Run, losses: Losses) -> None:
        self._rows += int(losses["rows"])
        self._rows_of_epoch += int(losses["rows"])
        self._sums = self._sums + np.asarray(losses["losses"], np.float64)
        self._counts = self._counts + np.asarray(losses["labelled"], np.float64)
        require_finite(run.position.step, dict(zip(self._tasks, self._sums, strict=True)))
        if run.position.step - run.position.logged_step >= LOG_EVERY_STEPS:
            self._write(run)

    def after_epoch(self, run: Run) -> None:
        if self._rows:
            self._write(run)
        self._report(
            f"training loss in epoch {run.position.epoch + 1}, {self._rows_of_epoch:,} rows: "
            f"{self._last_point}"
        )

    @property
    def _tasks(self) -> tuple[str, ...]:
        return self._step.task.task_names

    def _restart(self) -> None:
        self._rows = 0
        self._sums, self._counts = np.zeros((2, len(self._tasks)))
        self._start = time.perf_counter()

    def _write(self, run: Run) -> None:
        seconds = time.perf_counter() - self._start
        means = self._sums / np.maximum(self._counts, 1.0)
        losses = dict(zip(self._tasks, means.tolist(), strict=True))
        coefficients = self._step.weighting.coefficients().numpy().tolist()
        weights = dict(zip(self._tasks, coefficients, strict=True))
        total = sum(weights[name] * losses[name] for name in losses)
        self._last_point = f"{total:.4f} = {weighted_sum(losses, weights)}"
        with self._writer.as_default(step=run.position.step):
            tf.summary.scalar("loss", total)
            for name, loss in losses.items():
                tf.summary.scalar(f"loss/{name}", loss)
                tf.summary.scalar(f"weight/{name}", weights[name])
            rate = tf.convert_to_tensor(inner_optimizer(self._step.optimizer).learning_rate)
            tf.summary.scalar("learning_rate", rate)
            tf.summary.scalar("speed/examples_per_second", self._rows / seconds)
        self._writer.flush()
        run.position.logged_step = run.position.step
        self._restart()
