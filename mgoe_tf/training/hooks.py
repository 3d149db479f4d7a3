"""What is done between the steps of training: curves, validation, checkpoints."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from mgoe_tf.evaluation import tables
from mgoe_tf.evaluation.evaluator import Evaluator
from mgoe_tf.training import checkpoints, collapse, selection, summaries
from mgoe_tf.training.loop import Hook, Losses, Run
from mgoe_tf.training.optimizers import inner_optimizer
from mgoe_tf.training.run_checkpoints import RunCheckpoints
from mgoe_tf.training.step import TrainingStep

LOG_EVERY_STEPS = 50
EARLY_VALIDATION_STEP = 100


class TrainingLog(Hook):
    """Writes training scalars to TensorBoard and stops at a loss that is not finite.

    Losses are means since the last point. They are looked at some steps later, so that a GPU
    need not wait for the host at every step.

    Args:
      writer: of TensorBoard.
      step: whose losses are written.
      batch_size: rows of a step.
      bad_records: rows that were left out so far.
      report: called with a line about each epoch.
    """

    def __init__(
        self,
        writer: tf.summary.SummaryWriter,
        step: TrainingStep,
        *,
        batch_size: int,
        bad_records: int,
        report: Callable[[str], None],
    ) -> None:
        self._writer = writer
        self._step = step
        self._batch_size = batch_size
        self._bad_records = bad_records
        self._report = report
        self._pending: list[tuple[int, Losses]] = []
        self._last_point = ""

    def begin(self, run: Run) -> None:
        self._restart(run)

    def after_step(self, run: Run, losses: Losses) -> None:
        if not self._pending and run.position.batch == 1:
            self._restart(run)  # what was done since the last epoch is no training
        self._pending.append((run.position.step, losses))
        if run.position.step % LOG_EVERY_STEPS == 0 or run.position.step == 1:
            self._write(run)

    def after_epoch(self, run: Run) -> None:
        if run.position.step != run.position.logged_step:
            self._write(run)
        if self._last_point:
            self._report(f"training loss in epoch {run.position.epoch + 1}: {self._last_point}")

    def require_finite(self) -> None:
        """Raises ValueError where a loss since the last point is not finite."""
        for step, losses in self._pending:
            require_finite(step, losses)

    def _restart(self, run: Run) -> None:
        self._start = time.perf_counter()
        self._waited = run.waited_seconds

    def _write(self, run: Run) -> None:
        self.require_finite()
        task, optimizer = self._step.task, inner_optimizer(self._step.optimizer)
        seconds = time.perf_counter() - self._start
        results = task.results()
        losses = {name: float(results[f"loss_{name}"]) for name in task.task_names}
        coefficients = self._step.weighting.coefficients().numpy().tolist()
        weights = dict(zip(task.task_names, coefficients, strict=True))
        total = sum(weights[name] * losses[name] for name in losses)
        self._last_point = (
            f"{total:.4f} = {weighted_sum(losses, weights)} (mean of the last "
            f"{len(self._pending):,} steps, without penalties on weights)"
        )
        with self._writer.as_default(step=run.position.step):
            tf.summary.scalar("loss", total)
            for name in losses:
                tf.summary.scalar(f"loss/{name}", losses[name])
                tf.summary.scalar(f"weight/{name}", weights[name])
            for name in task.penalty_names:
                tf.summary.scalar(f"penalty/{name}", results[f"penalty_{name}"])
            tf.summary.scalar("learning_rate", optimizer.learning_rate)
            rows = self._batch_size * len(self._pending)
            tf.summary.scalar("speed/examples_per_second", rows / seconds)
            waited = run.waited_seconds - self._waited
            tf.summary.scalar("speed/share_waiting_for_input", waited / seconds)
            tf.summary.scalar("input/bad_records", self._bad_records)
        self._pending.clear()
        task.forget()
        run.position.logged_step = run.position.step
        self._restart(run)


def weighted_sum(losses: Mapping[str, float], weights: Mapping[str, float]) -> str:
    """How the losses of the tasks add up to what is minimised, as it is printed."""
    return " + ".join(
        f"{task} {loss:.4f}" if weights[task] == 1 else f"{weights[task]:.4g} x {task} {loss:.4f}"
        for task, loss in losses.items()
    )


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


class Validation(Hook):
    """Evaluates early, and after each epoch, which it counts; keeps the best epoch.

    Weights are those of the optimizer's moving average, where it has one.

    Args:
      evaluator: of the validation window.
      step: whose model is evaluated.
      saved: where the best epoch goes.
      writer: of TensorBoard.
      metrics_file: JSON file of the best epoch's metrics.
      report: called with a line about each epoch.
      agreed: from the score of an epoch to the one that counts, where several processes evaluate.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        step: TrainingStep,
        saved: RunCheckpoints,
        writer: tf.summary.SummaryWriter,
        *,
        metrics_file: str,
        report: Callable[[str], None],
        agreed: Callable[[float], float] = float,
    ) -> None:
        self._evaluator = evaluator
        self._step = step
        self._saved = saved
        self._writer = writer
        self._metrics_file = metrics_file
        self._report = report
        self._agreed = agreed
        self._told: set[str] = set()
        self._diagnose = tf.function(step.model.diagnostics, autograph=False)

    def after_step(self, run: Run, losses: Losses) -> None:
        if run.position.step == EARLY_VALIDATION_STEP and not run.is_epoch_end:
            with self._averaged():
                self._evaluate(run)

    def after_epoch(self, run: Run) -> None:
        with self._averaged():
            metrics = self._evaluate(run)
            score = self._agreed(selection.score(metrics, run.position.epoch + 1))
            if run.position.finish_epoch(score):
                self._saved.save_best(run.position.epoch)
                checkpoints.write_json(self._metrics_file, metrics)
        warning = selection.warning(metrics)
        if warning and run.position.epoch == 1:
            self._report(f"warning: {warning}")
        self._report(_summary(run, metrics))

    def _averaged(self) -> Any:
        return inner_optimizer(self._step.optimizer).averaged(self._step.model.trainable_variables)

    def _evaluate(self, run: Run) -> dict[str, Any]:
        metrics = self._evaluator.evaluate()
        step = run.position.step
        summaries.write_metrics(self._writer, metrics, step)
        found = self._diagnose(self._evaluator.first_features())
        experts = self._step.model.expert_names
        summaries.write_diagnostics(self._writer, found, step, experts)
        for warning in collapse.warnings(self._step.model, found):
            if warning not in self._told:
                self._told.add(warning)
                self._report(f"warning: {warning}")
        self._writer.flush()
        run.position.validated_step = step
        return metrics


def _summary(run: Run, metrics: dict[str, Any]) -> str:
    mark = "" if run.position.epochs_since_best else " (best so far)"
    begin = f"epoch {run.position.epoch}/{run.epochs}: validation"
    name = selection.criterion(metrics)
    if name == "epoch":
        return f"{begin} rows have no labels"
    tasks = ", ".join(
        f"{task} {tables.number(values[name])}" for task, values in metrics["tasks"].items()
    )
    average = {metric: tables.number(value) for metric, value in metrics["average"].items()}
    if name == "logloss":
        return f"{begin} logloss {average['logloss']}{mark}: {tasks}"
    return f"{begin} AUC {average['auc']}{mark}: {tasks}; logloss {average['logloss']}"


class Checkpoints(Hook):
    """Saves the run every so many steps, after each epoch, and where it was told to end.

    To come after all hooks that write to the position.

    Args:
      saved: where the run is saved.
      log: whose losses must be finite, and whose points must be in their file, before that.
      writer: of the log.
      every_steps: 0: after epochs only.
    """

    def __init__(
        self,
        saved: RunCheckpoints,
        log: TrainingLog,
        writer: tf.summary.SummaryWriter,
        *,
        every_steps: int = 0,
    ) -> None:
        self._saved = saved
        self._log = log
        self._writer = writer
        self._every_steps = every_steps
        self._saved_step = -1

    def after_step(self, run: Run, losses: Losses) -> None:
        # the last step of an epoch is saved with its validation
        is_due = self._every_steps and run.position.step % self._every_steps == 0
        if is_due and not run.is_epoch_end:
            self._save(run)

    def after_epoch(self, run: Run) -> None:
        self._save(run)

    def before_exit(self, run: Run) -> None:
        if self._saved_step != run.position.step:
            self._save(run)

    def _save(self, run: Run) -> None:
        self._log.require_finite()
        self._writer.flush()
        self._saved.save(run.position)
        self._saved_step = run.position.step
