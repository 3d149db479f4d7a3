"""The study: which trials there are, how they stand and what they scored, in study.json.

<study_dir>/
  study.json                   what this module writes, whole, at every change
  events.out.tfevents...       what TensorBoard's hyperparameters show of all trials
  <model>/best.flags           a flagfile of the best trial so far
  <model>/trial-0007/          a model directory as mgoe_tf.train writes it, and its training.log
  <model>/trial-0007-seed-1/   the same flags with another seed, of a finalist
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from statistics import fmean
from typing import Any

from input_pipeline.files import filesystem
from input_pipeline.files.json_file import read_json

STUDY_FILE = "study.json"
RUNNING, COMPLETE, PRUNED, FAIL = STATES = ("RUNNING", "COMPLETE", "PRUNED", "FAIL")
_ADVICE = "Put a copy back, or search in another --study_dir"


@dataclasses.dataclass
class Rung:
    """What a trial had come to when it stopped.

    Attributes:
      epochs: for which it was told to train until then.
      score: of its best epoch on the validation window, by `selection.score`: the higher, the
        better.
      criterion: of `selection.CRITERIA`, what the score is.
      seconds: from the rung before until then, the start of a process included; of a search that
        was killed meanwhile, those since it was taken up again.
    """

    epochs: int
    score: float
    criterion: str
    seconds: float


@dataclasses.dataclass
class Final:
    """A finalist's flags trained to the end with a seed of its own.

    Attributes:
      seed: of the training.
      score: as of `Rung`; None: it failed.
      seconds: that it took.
    """

    seed: int
    score: float | None
    seconds: float


@dataclasses.dataclass
class Trial:
    """A trial that has begun.

    Attributes:
      model: of which model.
      number: from 0 on.
      flags: option values by name.
      state: RUNNING, on its way to a rung; COMPLETE, at the last one; PRUNED, stopped at a rung
        before, from which it may yet be promoted while the search goes on; FAIL.
      rungs: in order.
      seconds: of all rungs and of what came before a failure.
      weights: how many the model has, once it has trained.
      error: why it failed.
      finals: its trainings with other seeds, where it is a finalist, in the order of their ends.
    """

    model: str
    number: int
    flags: dict[str, Any]
    state: str = RUNNING
    rungs: list[Rung] = dataclasses.field(default_factory=list)
    seconds: float = 0.0
    weights: int | None = None
    error: str | None = None
    finals: list[Final] = dataclasses.field(default_factory=list)

    @property
    def name(self) -> str:
        """Of its directory."""
        return f"trial-{self.number:04}"

    def run_name(self, seed: int | None = None) -> str:
        """Of the directory of its training with another seed; None: its own."""
        return self.name if seed is None else f"{self.name}-seed-{seed}"

    @property
    def score(self) -> float | None:
        """Of its last rung; None before the first."""
        return self.rungs[-1].score if self.rungs else None

    @property
    def mean_score(self) -> float | None:
        """Over all seeds that it was trained with; None before the first rung, or one failed."""
        scores = [self.score, *(final.score for final in self.finals)]
        known = [score for score in scores if score is not None]
        return fmean(known) if len(known) == len(scores) else None


class Study:
    """The trials of a study directory, each change of which is written at once.

    Args:
      study_dir: where study.json is.
      settings: what all trials have in common.
      trials: in the order in which they began.
    """

    def __init__(self, study_dir: str, settings: Mapping[str, Any], trials: Iterable[Trial]):
        self.study_dir = study_dir
        self._settings = dict(settings)
        self.trials = list(trials)

    @classmethod
    def open(cls, study_dir: str, settings: Mapping[str, Any]) -> Study:
        """Goes on with the study of a directory, or begins one there.

        Args:
          study_dir: an existing directory.
          settings: JSON objects; those of `spaces` are by model, and models may be added.

        Raises:
          ValueError: study.json is damaged or was begun with other settings; names the first.
        """
        settings = dict(json.loads(json.dumps(settings)))
        path = filesystem.join(study_dir, STUDY_FILE)
        if not filesystem.exists(path):
            return cls(study_dir, settings, [])
        begun_with, trials = _read(path)
        for name in settings.keys() | begun_with.keys():
            if name != "spaces":
                _require_same(study_dir, name, begun_with.get(name), settings.get(name))
        spaces = begun_with["spaces"]
        for model in settings["spaces"].keys() & spaces.keys():
            ours, theirs = spaces[model], settings["spaces"][model]
            _require_same(study_dir, f"space of {model}", ours, theirs)
        return cls(study_dir, settings | {"spaces": spaces | settings["spaces"]}, trials)

    @property
    def spaces(self) -> dict[str, Any]:
        """By model, what its flags may be, as a space file has it."""
        return dict(self._settings["spaces"])

    def of(self, model: str) -> list[Trial]:
        """The trials of a model, by number."""
        found = [trial for trial in self.trials if trial.model == model]
        return sorted(found, key=lambda trial: trial.number)

    def model_dir(self, trial: Trial, seed: int | None = None) -> str:
        """Where a trial trains, or a finalist with another seed."""
        return filesystem.join(self.study_dir, trial.model, trial.run_name(seed))

    def ranking(self, model: str) -> list[Trial]:
        """The trials that have a score, the best first, the first of equal ones before the others.

        Those with most seeds come first: a mean over few is less sure, and the more there are to
        choose from, the likelier the best one is only lucky.
        """
        scored = [t for t in self.of(model) if t.mean_score is not None and t.state != FAIL]
        return sorted(scored, key=lambda t: (-len(t.finals), -(t.mean_score or 0.0), t.number))

    def best(self, model: str) -> Trial | None:
        """The first of `ranking`; None: no trial has a score."""
        return next(iter(self.ranking(model)), None)

    def write(self) -> None:
        """Writes study.json whole: a reader finds the old one or the new one."""
        contents = {
            "settings": self._settings,
            "trials": [dataclasses.asdict(trial) for trial in self.trials],
        }
        path = filesystem.join(self.study_dir, STUDY_FILE)
        filesystem.write_text(path, json.dumps(contents, indent=2) + "\n")


def _read(path: str) -> tuple[dict[str, Any], list[Trial]]:
    contents = read_json(path, _ADVICE)
    try:
        trials = [
            Trial(
                **values
                | {"rungs": [Rung(**rung) for rung in values["rungs"]]}
                | {"finals": [Final(**final) for final in values.get("finals", [])]}
            )
            for values in contents["trials"]
        ]
        if any(trial.state not in STATES for trial in trials):
            raise ValueError
        return {"spaces": {}} | contents["settings"], trials
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"{path}: is no study of this version. {_ADVICE}") from None


def _require_same(study_dir: str, name: str, begun_with: Any, given: Any) -> None:
    if begun_with != given:
        raise ValueError(
            f"--study_dir={study_dir}: its {name} must stay what it was begun with, {begun_with}, "
            f"got {given}. Search in another directory"
        )
