"""What a search asks for: that a trial trains to an epoch, and what may come of it."""

from __future__ import annotations

import dataclasses
from typing import Protocol


@dataclasses.dataclass(frozen=True)
class Job:
    """A trial on its way to a rung.

    Attributes:
      title: what the trial is called on a terminal and in TensorBoard.
      model_dir: where it trains, on from where it was.
      arguments: the command-line flags of training.
    """

    title: str
    model_dir: str
    arguments: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Scored:
    """The trial came to its rung.

    Attributes:
      score, criterion: see `study.Rung`.
      weights: of its model.
    """

    score: float
    criterion: str
    weights: int


@dataclasses.dataclass(frozen=True)
class Failed:
    """The trial ended early, and would again.

    Attributes:
      error: the last line of what it said.
    """

    error: str


@dataclasses.dataclass(frozen=True)
class Stopped:
    """The trial was told to end, and can go on."""


Outcome = Scored | Failed | Stopped


class RunningJob(Protocol):
    """A job under way."""

    def poll(self) -> Outcome | None:
        """What came of it; None while it is under way."""

    def stop(self) -> None:
        """Tells it to save itself and end, which `poll` then tells."""


class Launcher(Protocol):
    """Begins jobs."""

    def __call__(self, job: Job) -> RunningJob:
        """Returns at once."""
