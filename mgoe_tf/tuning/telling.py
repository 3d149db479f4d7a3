"""How a search goes, on a terminal or in a log, and what came of it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

from input_pipeline.commands.text_table import table
from mgoe_tf.evaluation import tables
from mgoe_tf.training.progress import duration
from mgoe_tf.tuning.plan import Plan
from mgoe_tf.tuning.pruning import epochs_left
from mgoe_tf.tuning.study import FAIL, PRUNED, RUNNING, Rung, Study, Trial

_REDRAW_SECONDS = 1.0
_CRITERIA = {"auc": "mean AUC", "logloss": "mean logloss"}


def score_text(rung: Rung) -> str:
    """Such as `mean AUC 0.7655`."""
    value = -rung.score if rung.criterion == "logloss" else rung.score
    return f"{_CRITERIA[rung.criterion]} {tables.number(value)}"


class SearchProgress:
    """A line for each trial that ends, and one that is redrawn on a terminal: done, best, left.

    Elsewhere that one follows each trial's.

    Args:
      study: that is told of.
      plan: of its trials.
      workers: how many trials train at a time.
      after_end: called with a trial that has ended.
      stream: where it is written; default: standard output.
    """

    def __init__(
        self,
        study: Study,
        plan: Plan,
        *,
        workers: int,
        after_end: Callable[[Trial], None],
        stream: TextIO | None = None,
    ) -> None:
        self._study = study
        self._plan = plan
        self._workers = workers
        self._after_end = after_end
        self._stream = sys.stdout if stream is None else stream
        self._is_terminal = self._stream.isatty()
        self._redrawn = 0.0

    def waiting(self, running: int) -> None:
        """Redraws the line of a terminal."""
        now = time.monotonic()
        if self._is_terminal and now - self._redrawn >= _REDRAW_SECONDS:
            self._redrawn = now
            self._stream.write(f"\r\x1b[K{self.line(running)}")
            self._stream.flush()

    def ended(self, trial: Trial) -> None:
        """Tells of a trial."""
        self._after_end(trial)
        self.print(_told(trial))
        if not self._is_terminal:
            self.print(self.line())

    def print(self, text: str) -> None:
        """Writes a line that stays."""
        self._stream.write(f"\r\x1b[K{text}\n" if self._is_terminal else f"{text}\n")
        self._stream.flush()
        self._redrawn = 0.0

    def line(self, running: int = 0) -> str:
        """Trials done, the best score, the time left."""
        models = self._plan.models
        planned = sum(len(flags) for flags in self._plan.flags.values())
        trials = [trial for model in models for trial in self._study.of(model)]
        done = sum(trial.state != RUNNING for trial in trials)
        found = [best for model in models if (best := self._study.best(model)) is not None]
        parts = [f"{done} of {planned} trials"]
        if found:
            best = max(found, key=lambda trial: trial.rungs[-1].score)
            parts.append(f"best: {best.model} {score_text(best.rungs[-1])}")
        left = self.seconds_left()
        parts.append("time left not known yet" if left is None else f"{duration(left)} left")
        return "; ".join([*parts, *([f"{running} under way"] if running else [])])

    def seconds_left(self) -> float | None:
        """By what an epoch of each model took so far; of a model without any: of all models."""
        epochs: dict[str, int] = {}
        seconds: dict[str, float] = {}
        left: dict[str, int] = {}
        for model in self._plan.models:
            trials = self._study.of(model)
            rungs = [rung for trial in trials for rung in trial.rungs]
            epochs[model] = sum(trial.rungs[-1].epochs for trial in trials if trial.rungs)
            seconds[model] = sum(rung.seconds for rung in rungs)
            come = [len(trial.rungs) + (trial.state == FAIL) for trial in trials]
            counts = [sum(n > rung for n in come) for rung in range(len(self._plan.rungs))]
            left[model] = epochs_left(counts, self._plan.rungs, len(self._plan.flags[model]))
        if not sum(epochs.values()):
            return None
        of_all = sum(seconds.values()) / sum(epochs.values())
        rates = {model: seconds[model] / n if n else of_all for model, n in epochs.items()}
        return sum(left[model] * rates[model] for model in rates) / self._workers


def _told(trial: Trial) -> str:
    begin = f"{trial.model}/{trial.name}:"
    if trial.state == FAIL:
        return f"{begin} FAIL: {trial.error}"
    rung = trial.rungs[-1]
    state = "stopped, unless it is promoted" if trial.state == PRUNED else "complete"
    epochs = f"{rung.epochs} epoch{'s' if rung.epochs > 1 else ''}"
    return f"{begin} {score_text(rung)} at {epochs}, in {duration(rung.seconds)}; {state}"


def result_table(study: Study, plan: Plan) -> str:
    """A line per model, the best score first: its best trial, what that has, what all took."""
    rows = []
    for model in plan.models:
        trials, best = study.of(model), study.best(model)
        failed = sum(trial.state == FAIL for trial in trials)
        seconds = duration(sum(trial.seconds for trial in trials))
        counts = [str(len(trials)), str(failed), seconds]
        if best is None:
            rows.append((-float("inf"), [model, "-", "-", "-", "-", "-", "-", *counts]))
            continue
        rung = best.rungs[-1]
        found = [score_text(rung), best.name, best.state, str(rung.epochs)]
        weights = "-" if best.weights is None else f"{best.weights:,}"
        rows.append((rung.score, [model, *found, weights, duration(best.seconds), *counts]))
    rows.sort(key=lambda row: -row[0])  # equal ones stay in the order of models
    header = ["model", "validation", "best trial", "state", "epochs", "weights", "time"]
    return table([*header, "trials", "failed", "time of all"], [row for _, row in rows])
