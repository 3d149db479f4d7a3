"""How a run went, as its directory tells: curves, epochs, time and versions."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

from input_pipeline.files import filesystem
from input_pipeline.files.json_file import read_json
from mgoe_tf.training import event_files
from mgoe_tf.training.run_card import RUN_FILE
from mgoe_tf.training.run_checkpoints import best_epoch

Points = list[tuple[int, float]]
_PARTS = ("train", "validation")


@dataclasses.dataclass(frozen=True)
class RunHistory:
    """Of one run.

    Attributes:
      card: the contents of run.json.
      curves: of `train` and `validation`: every (step, value) by tag.
      best_epoch: whose weights were kept, counted from 1.
    """

    card: dict[str, Any]
    curves: dict[str, dict[str, Points]]
    best_epoch: int

    @classmethod
    def read(cls, model_dir: str) -> RunHistory:
        """Reads a model directory.

        Raises:
          ValueError: it has no run.json, or no finished epoch.
        """
        path = filesystem.join(model_dir, RUN_FILE)
        best = best_epoch(model_dir)
        if not filesystem.exists(path) or best is None:
            raise ValueError(
                f"{path} or a best epoch is missing: the run in {model_dir} has not been finished"
            )
        folders = {part: filesystem.join(model_dir, "events", part) for part in _PARTS}
        curves = {part: event_files.read_scalars(folder) for part, folder in folders.items()}
        card = read_json(path, "Train on with --resume, which writes it anew once it is deleted")
        return cls(card, curves, best)

    @property
    def sessions(self) -> list[dict[str, Any]]:
        """The parts of the run that a process trained, in order."""
        return list(self.card["sessions"])

    @property
    def epochs(self) -> int:
        """How many were finished."""
        return int(self.sessions[-1].get("epochs_finished", 0))

    @property
    def steps_per_epoch(self) -> float:
        """NaN before the first epoch was finished."""
        return self.sessions[-1]["ended_at_step"] / self.epochs if self.epochs else float("nan")

    @property
    def seconds(self) -> float:
        """How long all processes trained and validated."""
        return sum(map(_seconds, self.sessions))

    def by_epoch(self, part: str, tag: str) -> list[tuple[float, float]]:
        """A curve over epochs, [] where there is none."""
        points = self.curves[part].get(tag, [])
        return [(step / self.steps_per_epoch, value) for step, value in points]


def training_seconds(model_dir: str) -> float:
    """How long all processes trained and validated; 0 where no run.json tells."""
    path = filesystem.join(model_dir, RUN_FILE)
    if not filesystem.exists(path):
        return 0.0
    advice = "It is for people alone: delete it, and no time is told"
    return sum(map(_seconds, read_json(path, advice)["sessions"]))


def _seconds(session: dict[str, Any]) -> float:
    begun, ended = session["begun"], session.get("ended", session["begun"])
    moments = [datetime.datetime.fromisoformat(text) for text in (begun, ended)]
    return (moments[1] - moments[0]).total_seconds()
