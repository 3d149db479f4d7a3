"""Trials whose scores are written down, for tests of searches."""

from __future__ import annotations

import dataclasses
import re

from mgoe_tf.tuning.jobs import Failed, Job, Outcome, Scored, Stopped
from mgoe_tf.tuning.plan import Plan


class KilledError(Exception):
    """The search is killed here."""


def plan(trials: int, *models: str, stops: tuple[int, ...] = (1, 3, 9)) -> Plan:
    """Trials whose flag tells their number."""
    flags = {model: [{"batch_size": 10 + n} for n in range(trials)] for model in models}
    settings = {"rungs": list(stops), "spaces": {model: {} for model in models}}
    return Plan(flags, stops, patience=2, seed=5, settings=settings)


@dataclasses.dataclass
class ScriptedLauncher:
    """Begins jobs that end by themselves after some looks.

    Attributes:
      scores: by (title, epochs); text: the error of a failure. What is missing has the last score
        of its title, or 0.5.
      looks: by (title, epochs), how often a job is looked at before it has ended; default 0.
      killed_at: the number of the job at whose start the search dies.
      begun: (title, epochs) of all jobs.
      jobs: as they were asked for.
      under_way: titles of jobs that have not ended, at most `most` at a time.
    """

    scores: dict[tuple[str, int], float | str]
    looks: dict[tuple[str, int], int] = dataclasses.field(default_factory=dict)
    killed_at: int | None = None
    begun: list[tuple[str, int]] = dataclasses.field(default_factory=list)
    jobs: list[Job] = dataclasses.field(default_factory=list)
    under_way: set[str] = dataclasses.field(default_factory=set)
    most: int = 0

    def __call__(self, job: Job) -> _Scripted:
        epochs = int(re.search(r"--epochs=(\d+)", " ".join(job.arguments))[1])
        if len(self.begun) == self.killed_at:
            raise KilledError
        self.begun.append((job.title, epochs))
        self.jobs.append(job)
        assert job.title not in self.under_way
        self.under_way.add(job.title)
        self.most = max(self.most, len(self.under_way))
        return _Scripted(self, job.title, epochs)


class _Scripted:
    def __init__(self, launcher: ScriptedLauncher, title: str, epochs: int) -> None:
        self._launcher, self._title, self._epochs = launcher, title, epochs
        self._looks = launcher.looks.get((title, epochs), 0)
        self._is_stopped = False

    def poll(self) -> Outcome | None:
        if self._looks and not self._is_stopped:
            self._looks -= 1
            return None
        self._launcher.under_way.discard(self._title)
        if self._is_stopped:
            return Stopped()
        known = {e: s for (t, e), s in self._launcher.scores.items() if t == self._title}
        reached = [known[epochs] for epochs in sorted(known) if epochs <= self._epochs]
        result = reached[-1] if reached else 0.5
        return Failed(result) if isinstance(result, str) else Scored(result, "auc", weights=100)

    def stop(self) -> None:
        self._is_stopped = True
