"""The search: which trial comes next, what became of it, and what is written then."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from typing import Protocol

from input_pipeline.commands.options import as_flag
from mgoe_tf.training.stopping import Interrupted, StopRequest
from mgoe_tf.tuning.jobs import Failed, Job, Launcher, RunningJob, Scored, Stopped
from mgoe_tf.tuning.plan import Plan
from mgoe_tf.tuning.pruning import promotion
from mgoe_tf.tuning.study import COMPLETE, FAIL, PRUNED, RUNNING, Rung, Study, Trial

_POLL_SECONDS = 0.2


class Listener(Protocol):
    """What is told how a search goes."""

    def waiting(self, running: int) -> None:
        """Again and again while so many trials are under way."""

    def ended(self, trial: Trial) -> None:
        """A trial came to a rung or failed; study.json is written next."""


@dataclasses.dataclass
class _Running:
    trial: Trial
    rung: int
    job: RunningJob
    begun: float


class Search:
    """Takes a study from where it stands to its end.

    With one worker the course of a search depends on its plan and on scores alone. What was under
    way when a search was killed comes first, then trials that have not begun, then promotions;
    models in their order.

    Args:
      study: whose trials belong to the plan.
      plan: of all trials.
      launch: begins a trial.
      listener: told of what happens.
      data_dir: of the data set.
      workers: how many trials train at a time.
      stop: looked at while trials train.
      pause: called between two looks at them.
      clock: seconds.

    Raises:
      ValueError: the study has trials that the plan has not.
    """

    def __init__(
        self,
        study: Study,
        plan: Plan,
        launch: Launcher,
        listener: Listener,
        *,
        data_dir: str,
        workers: int = 1,
        stop: StopRequest | None = None,
        pause: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._study = study
        self._plan = plan
        self._launch = launch
        self._listener = listener
        self._data_dir = data_dir
        self._workers = workers
        self._stop = StopRequest() if stop is None else stop
        self._pause = pause
        self._clock = clock
        self._running: list[_Running] = []
        self._require_planned()

    def run(self) -> None:
        """Returns once every model's trials are done.

        Raises:
          Interrupted: it was told to stop; trials have saved themselves, and the same search goes
            on with them.
        """
        try:
            while True:
                while len(self._running) < self._workers and self._stop.number is None:
                    if (next_one := self._next()) is None:
                        break
                    self._begin(*next_one)
                if self._stop.number is not None:
                    raise Interrupted(self._stop.number)
                if not self._running:
                    return
                self._look()
        finally:
            self._end_all()

    def _next(self) -> tuple[Trial, int] | None:
        """A trial and the rung that it is to train to."""
        for model in self._plan.models:
            trials = self._study.of(model)
            under_way = [one for one in self._running if one.trial.model == model]
            for trial in trials:
                if trial.state == RUNNING and all(one.trial is not trial for one in under_way):
                    return trial, len(trial.rungs)
            if len(trials) < len(self._plan.flags[model]):
                number = len(trials)
                return Trial(model, number, dict(self._plan.flags[model][number])), 0
            promoted = self._promotion(model, trials, is_settled=not under_way)
            if promoted:
                return promoted
        return None

    def _promotion(
        self, model: str, trials: list[Trial], *, is_settled: bool
    ) -> tuple[Trial, int] | None:
        num_rungs = len(self._plan.rungs)
        scores: list[dict[int, float | None]] = [{} for _ in range(num_rungs)]
        begun: list[set[int]] = [set() for _ in range(num_rungs)]
        for trial in trials:
            for number, rung in enumerate(trial.rungs):
                scores[number][trial.number] = rung.score
            come = len(trial.rungs)
            if trial.state == FAIL:
                scores[come][trial.number] = None
            for number in range(come + (trial.state in (RUNNING, FAIL))):
                begun[number].add(trial.number)
        found = promotion(scores, begun, is_settled=is_settled)
        return (trials[found[0]], found[1]) if found else None

    def _begin(self, trial: Trial, rung: int) -> None:
        trial.state = RUNNING
        if all(other is not trial for other in self._study.trials):
            self._study.trials.append(trial)
        self._study.write()
        epochs = self._plan.rungs[rung]
        model_dir = self._study.model_dir(trial)
        arguments = (
            *(f"--data_dir={self._data_dir}", f"--model_dir={model_dir}"),
            *(f"--model={trial.model}", f"--seed={self._plan.seed}"),
            *(f"--epochs={epochs}", f"--patience={self._plan.patience}"),
            *("--resume", "--noevaluate_test", "--noreport"),
            *(as_flag(name, value) for name, value in trial.flags.items() if value is not None),
        )
        begun = self._clock()
        job = self._launch(Job(f"{trial.model}/{trial.name}", model_dir, arguments))
        self._running.append(_Running(trial, rung, job, begun))

    def _look(self) -> None:
        """Waits until a trial ends, or the search is told to stop; writes what came of it."""
        while self._stop.number is None:
            if self._num_ended():
                return
            self._listener.waiting(len(self._running))
            self._pause(_POLL_SECONDS)

    def _num_ended(self) -> int:
        return sum(map(self._has_ended, list(self._running)))

    def _has_ended(self, one: _Running) -> bool:
        outcome = one.job.poll()
        if outcome is None:
            return False
        self._running.remove(one)
        trial, seconds = one.trial, self._clock() - one.begun
        trial.seconds += seconds
        if isinstance(outcome, Scored):
            epochs = self._plan.rungs[one.rung]
            trial.rungs.append(Rung(epochs, outcome.score, outcome.criterion, seconds))
            trial.weights = outcome.weights
            is_last = one.rung == len(self._plan.rungs) - 1
            trial.state = COMPLETE if is_last else PRUNED
        elif isinstance(outcome, Failed):
            trial.state, trial.error = FAIL, outcome.error
        if not isinstance(outcome, Stopped):
            self._listener.ended(trial)
        # last: what a search that is killed before this has not written comes again
        self._study.write()
        return True

    def _end_all(self) -> None:
        """Trials that are under way save themselves, and stay RUNNING."""
        for one in self._running:
            one.job.stop()
        while self._running:
            if not self._num_ended():
                self._pause(_POLL_SECONDS)

    def _require_planned(self) -> None:
        for model in self._plan.models:
            trials, planned = self._study.of(model), self._plan.flags[model]
            if len(trials) > len(planned):
                raise ValueError(
                    f"--trials: must be at least the {len(trials)} that {model} has in "
                    f"{self._study.study_dir}, got {len(planned)}"
                )
            for trial in trials:
                expected = json.loads(json.dumps(planned[trial.number]))
                if json.loads(json.dumps(trial.flags)) != expected:
                    raise ValueError(
                        f"{trial.name} of {model} in {self._study.study_dir} has flags "
                        f"{trial.flags}, and this version draws {expected}: search in another "
                        "directory"
                    )
