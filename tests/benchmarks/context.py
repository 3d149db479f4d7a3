"""What every suite is given: sizes, a folder and the cores."""

from __future__ import annotations

import dataclasses
import os

from input_pipeline.files import filesystem
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.prepare import prepare


@dataclasses.dataclass(frozen=True)
class Scale:
    """How large the measured work is.

    Attributes:
      users, items, events: of the synthetic log.
      evaluated_rows: of the metrics.
      table_sizes: ids of the embedding tables, ascending.
      steps: training steps, requests or batches of one sample.
      rounds: samples of everything.
    """

    users: int
    items: int
    events: int
    evaluated_rows: int
    table_sizes: tuple[int, ...]
    steps: int
    rounds: int


# `paper` has the users and items of the paper's Taobao data and some 1.4 million pairs; `tiny`
# only shows that the benchmark runs.
SCALES: dict[str, Scale] = {
    "tiny": Scale(60, 80, 3_000, 2_000, (100, 200), 2, 2),
    "small": Scale(3_000, 6_500, 160_000, 1_000_000, (10_000, 100_000, 1_000_000), 50, 5),
    "paper": Scale(29_000, 65_000, 1_600_000, 10_000_000, (10**5, 10**6, 10**7), 100, 3),
    "10x": Scale(290_000, 650_000, 16_000_000, 10_000_000, (10**5, 10**6, 10**7), 100, 3),
}


@dataclasses.dataclass(frozen=True)
class Context:
    """What `run(context)` of a suite has to work with.

    Attributes:
      scale: sizes.
      folder: scratch, shared by the suites of a run and removed at its end.
      size: of MGOE.
    """

    scale: Scale
    folder: str
    size: str = "base"

    def sized(self, model: str) -> str:
        """A model of the registry as `Run.of` names it."""
        return f"{model}-{self.size}" if model == "mgoe" and self.size != "base" else model

    @property
    def cores(self) -> int:
        """To which the threads of all parties are fixed."""
        return len(os.sched_getaffinity(0))

    def preparation(self, **changes: object) -> PreparationOptions:
        """The options of the log and data set at this scale: the synthetic source's defaults."""
        scale = self.scale
        sizes = {"users": scale.users, "items": scale.items, "events": scale.events}
        return PreparationOptions(source="synthetic", **{**sizes, **changes})  # type: ignore[arg-type]

    def data_dir(self, record_layout: str = "example") -> str:
        """A data set with records of this layout, made when first asked for."""
        path = filesystem.join(self.folder, record_layout)
        if not filesystem.exists(path):
            prepare(self.preparation(data_dir=path, record_layout=record_layout))
        return path
