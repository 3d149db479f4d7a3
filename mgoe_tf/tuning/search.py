"""The search: which trial comes next, what became of it, and what is written then."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from input_pipeline.commands.options import as_flag
from mgoe_tf.training.stopping import Interrupted, StopRequest
from mgoe_tf.tuning.jobs import Failed, Job, Launcher, RunningJob, Scored, Stopped
from mgoe_tf.tuning.plan import Plan
from mgoe_tf.tuning.pruning import promotion
from mgoe_tf.tuning.study import COMPLETE, FAIL, PRUNED, RUNNING, Final, Rung, Study, Trial

_POLL_SECONDS = 0.2


class Listener(Protocol):
    """What is told how a search goes."""

    def waiting(self, running: int) -> None:
        """Again and again while so many trials are under way."""

    def ended(self, trial: Trial) -> None:
        """A trial came to a rung or failed; study.json is written next."""

    def final_ended(self, trial: Trial) -> None:
        """The last of a finalist's `finals` came to its end; study.json is written next."""


@dataclasses.dataclass
class _Running:
    """A job of a trial: on its way to a rung, or, of a finalist, with another seed."""

    trial: Trial
    rung: int
    job: RunningJob
    begun: float
    seed: int | None = None


class Search:
    """Takes a study from where it stands to its end.

    With one worker the course of a search depends on its plan and on scores alone. What was under
    way when a search was killed comes first, then trials that have not begun, then promotions, then
    finals: the best trials, and the first one, are trained to the end, and with other seeds too;
    models in their order.

    Args:
      study: whose trials belong to the plan.
      plan: of all trials.
      launch: begins a trial.
      listener: told of what happens.
      data_dir: of the data set.
      finalists: trials of each model that are trained with other seeds.
      final_seeds: how many other seeds.
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
        finalists: int = 0,
        final_seeds: int = 0,
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
        self._num_finalists = finalists
        self._final_seeds = [plan.seed + 1 + number for number in range(final_seeds)]
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

    def _next(self) -> tuple[Trial, int, int | None] | None:
        """A trial, the rung that it is to train to, and the seed if it is not the plan's."""
        for model in self._plan.models:
            trials = self._study.of(model)
            of_model = [one for one in self._running if one.trial.model == model]
            under_way = [one for one in of_model if one.seed is None]
            for trial in trials:
                if trial.state == RUNNING and all(one.trial is not trial for one in under_way):
                    return trial, len(trial.rungs), None
            if len(trials) < len(self._plan.flags[model]):
                number = len(trials)
                return Trial(model, number, dict(self._plan.flags[model][number])), 0, None
            promoted = self._promotion(model, trials, is_settled=not under_way)
            if promoted:
                return *promoted, None
            if not under_way and (final := self._final(model, of_model)):
                return final
        return None

    def _final(self, model: str, of_model: list[_Running]) -> tuple[Trial, int, int | None] | None:
        """What is left to train of a model's finalists."""
        last = len(self._plan.rungs) - 1
        under_way = {(one.trial.number, one.seed) for one in of_model}
        chosen = finalists(self._study.of(model), self._num_finalists if self._final_seeds else 0)
        for trial in chosen:
            if trial.state == PRUNED:
                return trial, len(trial.rungs), None
        for trial in chosen:
            for seed in self._final_seeds:
                is_done = any(final.seed == seed for final in trial.finals)
                if not is_done and (trial.number, seed) not in under_way:
                    return trial, last, seed
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

    def _begin(self, trial: Trial, rung: int, seed: int | None) -> None:
        if seed is None:
            trial.state = RUNNING
        if all(other is not trial for other in self._study.trials):
            self._study.trials.append(trial)
        self._study.write()
        epochs = self._plan.rungs[rung]
        model_dir = self._study.model_dir(trial, seed)
        arguments = (
            *(f"--data_dir={self._data_dir}", f"--model_dir={model_dir}"),
            *(f"--model={trial.model}", f"--seed={self._plan.seed if seed is None else seed}"),
            *(f"--epochs={epochs}", f"--patience={self._plan.patience}"),
            *("--resume", "--noevaluate_test", "--noreport"),
            *(as_flag(name, value) for name, value in trial.flags.items() if value is not None),
        )
        begun = self._clock()
        title = f"{trial.model}/{trial.run_name(seed)}"
        job = self._launch(Job(title, model_dir, arguments))
        self._running.append(_Running(trial, rung, job, begun, seed))

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
        if one.seed is not None:
            if not isinstance(outcome, Stopped):
                score = outcome.score if isinstance(outcome, Scored) else None
                trial.finals.append(Final(one.seed, score, seconds))
                self._listener.final_ended(trial)
            self._study.write()
            return True
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


def finalists(trials: Sequence[Trial], number: int) -> list[Trial]:
    """The trials of a model that are trained with other seeds: the first, and the best others.

    The first has the default flags, where the space holds them.

    Args:
      trials: by number, none of which is to come to another rung.
      number: of finalists; 0: there are none.
    """
    scored = [trial for trial in trials if trial.rungs and trial.state != FAIL]
    best = sorted(
        scored, key=lambda trial: (trial.number > 0, -trial.rungs[-1].score, trial.number)
    )
    return best[:number]
