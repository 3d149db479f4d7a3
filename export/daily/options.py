"""The options of a month of days."""

from __future__ import annotations

import dataclasses

from input_pipeline.commands.options import option
from input_pipeline.files import filesystem
from mgoe_tf.models.registry import model_class

# Options that may differ when a directory is gone on with.
MAY_CHANGE = frozenset({"output", "days"})


@dataclasses.dataclass(frozen=True)
class DailyOptions:
    """What is lived, and where it goes."""

    output: str = option(
        "", "Directory for log, data sets, models, exports and page.", is_path=True
    )
    days: int = option(30, "How many days; more of them go on from those that are there.")
    log_days: int = option(30, "How many days the log has, beside the ten that it begins with.")
    users: int = option(600, "Users of the generated log.")
    items: int = option(800, "Items of the generated log.")
    events: int = option(40_000, "Lines of the generated log.")
    seed: int = option(0, "Seed of the log and of everything that is drawn.")
    model: str = option("mgoe", "Which model, with its default options.")
    first_epochs: int = option(3, "The most passes over all rows of training from nothing.")
    epochs: int = option(1, "Passes over the newest day where a model goes on.")
    batch_size: int = option(256, "Rows per training step.")
    anew: bool = option(True, "Also train anew each day, for comparison: most of the time.")
    min_auc: float | None = option(None, "As of export.savedmodel.")
    max_auc_drop: float | None = option(0.03, "As of export.savedmodel.")
    keep: int = option(3, "Newest published versions to keep, as of export.savedmodel.")

    def __post_init__(self) -> None:
        if not self.output:
            raise ValueError("--output: must name a directory, got ''")
        for name in ("days", "log_days", "users", "items", "events", "first_epochs", "epochs"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name}: must be at least 1, got {getattr(self, name)}")
        if self.days > self.log_days:
            raise ValueError(f"--days: must be at most --log_days={self.log_days}, got {self.days}")
        model_class(self.model)

    @property
    def served_path(self) -> str:
        """What a server watches."""
        return filesystem.join(self.output, "exports", self.model)
