"""What is watched in training: losses, speed, input, and the model's inner quantities."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from mgoe_tf.models.base import RankingModel

LOG_EVERY_STEPS = 50
EARLY_VALIDATION_STEP = 100


@dataclasses.dataclass
class InputClock:
    """Seconds that the training loop has waited for its next batch."""

    waited_seconds: float = 0.0


def timed_train_function(
    model: RankingModel, clock: InputClock
) -> Callable[[Any], Mapping[str, tf.Tensor]]:
    """What Keras makes of `train_step`, with a clock around fetching the batch.

    The clock runs inside the graph: handing some thirty tensors over to Python and back costs near
    a millisecond a step, as much as a wait for input. On a GPU steps run behind the loop, and a
    wait for input may hide behind one: the share is then an upper bound.
    """
    strategy = model.distribute_strategy

    @tf.function(reduce_retracing=True, autograph=False)
    def step(iterator: Any) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        start = _now()
        with tf.control_dependencies([start]):
            batch = next(iterator)
        end = _now(after=tf.nest.flatten(batch, expand_composites=True))

        def held(tensor: tf.Tensor) -> tf.Tensor:
            # or else the step's first operations would come before the clock is read
            with tf.device(tensor.device), tf.control_dependencies([end]):
                return tf.identity(tensor)

        batch = tf.nest.map_structure(held, batch, expand_composites=True)
        logs = strategy.run(model.train_step, args=(batch,))
        return {
            name: strategy.experimental_local_results(v)[0] for name, v in logs.items()
        }, end - start

    def train_function(iterator: Any) -> Mapping[str, tf.Tensor]:
        logs, waited_seconds = step(iterator)
        clock.waited_seconds += float(waited_seconds)
        return logs

    return train_function


def _now(after: Sequence[tf.Tensor] = ()) -> tf.Tensor:
    """Seconds on the host's clock, once some tensors are there."""
    with tf.device("CPU:0"), tf.control_dependencies(after):
        return tf.timestamp()


class TrainingLog(tf.keras.callbacks.Callback):
    """Writes training scalars to TensorBoard and stops at a loss that is not finite.

    Losses are means since the last point. They are looked at some steps later, so that a GPU
    need not wait for the host at every step.

    Args:
      writer: of TensorBoard.
      batch_size: rows of a step.
      clock: fed by `timed_train_function`.
      bad_records: rows that were left out so far.
      early: called once, soon after the start, with the step.
      step: where training starts.
    """

    _supports_tf_logs = True  # Keras then leaves the logs on the device

    def __init__(
        self,
        writer: tf.summary.SummaryWriter,
        *,
        batch_size: int,
        clock: InputClock,
        bad_records: int,
        early: Callable[[int], Any],
        step: int = 0,
    ) -> None:
        super().__init__()
        self.writer = writer
        self.batch_size = batch_size
        self.clock = clock
        self.bad_records = bad_records
        self.early = early
        self.step = step
        self._pending: list[tuple[int, Mapping[str, tf.Tensor]]] = []

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._restart()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.step += 1
        self._pending.append((self.step, logs))
        if self.step % LOG_EVERY_STEPS == 0 or self.step == 1:
            self._write()
        if self.step == EARLY_VALIDATION_STEP:
            self.early(self.step)
            self._restart()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self._pending:
            self._write()

    def _restart(self) -> None:
        self._start = time.perf_counter()
        self._waited = self.clock.waited_seconds

    def _write(self) -> None:
        for step, logs in self._pending:
            require_finite(step, logs)
        seconds = time.perf_counter() - self._start
        with self.writer.as_default(step=self.step):
            for name, value in self._pending[-1][1].items():
                tf.summary.scalar(name.replace("loss_", "loss/"), value)
            rows = self.batch_size * len(self._pending)
            tf.summary.scalar("speed/examples_per_second", rows / seconds)
            waited = self.clock.waited_seconds - self._waited
            tf.summary.scalar("speed/share_waiting_for_input", waited / seconds)
            tf.summary.scalar("input/bad_records", self.bad_records)
        self._pending.clear()
        self.model.reset_metrics()
        self._restart()


def require_finite(step: int, losses: Mapping[str, Any]) -> None:
    """Raises ValueError naming the step and the tasks whose loss is not a finite number."""
    wrong = {
        name.removeprefix("loss_"): float(value)
        for name, value in losses.items()
        if not np.isfinite(float(value))
    }
    if wrong:
        shown = ", ".join(f"{task}: {value}" for task, value in wrong.items())
        raise ValueError(
            f"the loss is not finite at step {step} ({shown}). Look for NaN or infinite features, "
            "lower --learning_rate, or train with --precision=float32"
        )


def write_options(writer: tf.summary.SummaryWriter, **options: Any) -> None:
    """Every option as a table in TensorBoard's text tab."""
    for title, values in options.items():
        lines = [f"| {name} | {value} |" for name, value in dataclasses.asdict(values).items()]
        text = "\n".join(["| option | value |", "| --- | --- |", *lines])
        with writer.as_default(step=0):
            tf.summary.text(title, text)


def write_metrics(writer: tf.summary.SummaryWriter, metrics: Mapping[str, Any], step: int) -> None:
    """The contents of metrics.json as scalars; undefined ones are left out."""
    values: dict[str, float | None] = {
        f"average/{name}": value for name, value in metrics["average"].items()
    }
    for task, of_task in metrics["tasks"].items():
        values |= {f"{name}/{task}": value for name, value in of_task.items()}
    for part, of_part in metrics["slices"].items():
        values[f"rows/{part}"] = of_part["rows"]
        for task, of_task in of_part["tasks"].items():
            values |= {f"{name}_{part}/{task}": value for name, value in of_task.items()}
    with writer.as_default(step=step):
        for name, value in values.items():
            if value is not None:
                tf.summary.scalar(name, value)


def write_diagnostics(
    writer: tf.summary.SummaryWriter, diagnostics: Mapping[str, tf.Tensor], step: int
) -> None:
    """Gates expert by expert; other vectors, such as macro weights, as histograms."""
    with writer.as_default(step=step):
        for name, value in diagnostics.items():
            if value.shape.rank == 0:
                tf.summary.scalar(name, value)
            elif name.split("/")[0].endswith("gates"):
                for index, entry in enumerate(tf.unstack(value)):
                    tf.summary.scalar(f"{name}/expert_{index}", entry)
            else:
                tf.summary.histogram(name, value)
