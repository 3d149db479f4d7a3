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
    return _text(rung.score, rung.criterion)


def mean_text(trial: Trial) -> str:
    """The same of a trial with a score, and over how many seeds it is the mean."""
    text = _text(trial.mean_score, trial.rungs[-1].criterion)
    return f"{text} over {1 + len(trial.finals)} seeds" if trial.finals else text


def _text(score: float | None, criterion: str) -> str:
    if score is None:
        return "no score"
    return f"{_CRITERIA[criterion]} {tables.number(-score if criterion == 'logloss' else score)}"


class SearchProgress:
    """A line for each trial that ends, and one that is redrawn on a terminal: done, best, left.

    Elsewhere that one follows each trial's.

    Args:
      study: that is told of.
      plan: of its trials.
      workers: how many trials train at a time.
      finals: how often a model's finalists are trained with other seeds, all of them together.
      after_end: called with a trial that has ended.
      stream: where it is written; default: standard output.
    """

    def __init__(
        self,
        study: Study,
        plan: Plan,
        *,
        workers: int,
        finals: int = 0,
        after_end: Callable[[Trial], None],
        stream: TextIO | None = None,
    ) -> None:
        self._study = study
        self._plan = plan
        self._workers = workers
        self._finals = finals
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
        self._tell(_told(trial))

    def final_ended(self, trial: Trial) -> None:
        """Tells of a finalist's training with another seed."""
        self._after_end(trial)
        final = trial.finals[-1]
        text = _text(final.score, trial.rungs[-1].criterion)
        run = f"{trial.model}/{trial.run_name(final.seed)}"
        self._tell(f"{run}: {text}, in {duration(final.seconds)}; so far {mean_text(trial)}")

    def _tell(self, text: str) -> None:
        self.print(text)
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
        if self._finals:
            ended = sum(len(trial.finals) for trial in trials)
            parts.append(f"{ended} of {self._finals * len(models)} finals")
        if found:
            best = max(found, key=lambda trial: trial.mean_score or 0.0)
            parts.append(f"best: {best.model} {mean_text(best)}")
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
            finals = [final for trial in trials for final in trial.finals]
            epochs[model] += len(finals) * self._plan.rungs[-1]
            seconds[model] += sum(final.seconds for final in finals)
            left[model] += max(0, self._finals - len(finals)) * self._plan.rungs[-1]
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
        found = [mean_text(best), best.name, best.state, str(rung.epochs)]
        weights = "-" if best.weights is None else f"{best.weights:,}"
        rows.append(
            (best.mean_score or 0.0, [model, *found, weights, duration(best.seconds), *counts])
        )
    rows.sort(key=lambda row: -row[0])  # equal ones stay in the order of models
    header = ["model", "validation", "best trial", "state", "epochs", "weights", "time"]
    return table([*header, "trials", "failed", "time of all"], [row for _, row in rows])
