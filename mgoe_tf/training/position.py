"""Where a run stands: what a resumed run must know besides weights and moments.

It lies in a file of its own beside each checkpoint of the run, and never in one: a checkpoint that
is exported or evaluated knows nothing of the data that it was trained on.
"""

from __future__ import annotations

import dataclasses
import json
import math

from input_pipeline.files import filesystem
from input_pipeline.files.json_file import read_json


@dataclasses.dataclass
class Position:
    """How far a run has come.

    The seed of a run, the epoch and the number of the batch tell which rows come next
    (`Examples.shuffled_batches`); nothing of the reader's state is needed.

    Attributes:
      epoch: finished epochs.
      batch: steps taken in the epoch after these.
      step: steps taken.
      best_score: of the best epoch of the last phase of training, by `selection.score`.
      epochs_since_best: finished epochs after that one, or of the phase.
      logged_step: of the last point on the curves of training.
      validated_step: of the last point on the curves of validation.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    best_score: float = -math.inf
    epochs_since_best: int = 0
    logged_step: int = 0
    validated_step: int = 0

    def finish_epoch(self, score: float) -> bool:
        """Counts an epoch; returns whether it is the best so far."""
        is_best = self.epoch == 0 or score > self.best_score
        self.epoch += 1
        self.batch = 0
        self.epochs_since_best = 0 if is_best else self.epochs_since_best + 1
        if is_best:
            self.best_score = score
        return is_best

    def begin_phase(self) -> None:
        """Forgets the best epoch: the next one is compared with none, and patience counts anew."""
        self.best_score = -math.inf
        self.epochs_since_best = 0

    def has_stalled(self, patience: int) -> bool:
        """Whether so many epochs have passed without a better one; 0: never."""
        return bool(patience) and self.epochs_since_best >= patience

    def write(self, path: str) -> None:
        """Writes a JSON file."""
        filesystem.write_text(path, json.dumps(dataclasses.asdict(self), indent=2) + "\n")

    @classmethod
    def read(cls, path: str) -> Position:
        """Reads what `write` wrote.

        Raises:
          ValueError: there is no such file, or it is of another version.
        """
        if not filesystem.exists(path):
            raise ValueError(f"{path}: the checkpoint's position is missing")
        values = read_json(path, "The checkpoint beside it cannot be resumed without it")
        names = [field.name for field in dataclasses.fields(cls)]
        found = sorted(values) if isinstance(values, dict) else values
        if found != sorted(names):
            raise ValueError(f"{path}: expected {sorted(names)}, got {found}")
        return cls(**values)
