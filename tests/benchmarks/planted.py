"""A synthetic log, recoded and cut into windows: where the stages of preparation begin."""

from __future__ import annotations

import dataclasses

from input_pipeline.features.provider import LogFacts
from input_pipeline.log.interactions import Interactions, Past, build_interactions
from input_pipeline.log.windows import cut_windows
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.prepare import describe
from input_pipeline.sources import read_events
from input_pipeline.spec import DatasetSpec


@dataclasses.dataclass(frozen=True)
class Planted:
    """A log with what its stages need.

    Attributes:
      preparation: the options; `data_dir` is a folder for scratch.
      interactions: the log.
      spec: of the data set, without counts of rows.
      facts: what its features were described by.
    """

    preparation: PreparationOptions
    interactions: Interactions
    spec: DatasetSpec
    facts: LogFacts

    @classmethod
    def of(cls, preparation: PreparationOptions) -> Planted:
        """Generates the log of these options."""
        log = read_events(preparation)
        windows = cut_windows(log, "time", "pairs", preparation.cuts, preparation.seed)
        interactions = build_interactions(log, windows)
        spec, facts = describe(log, interactions, preparation, "pairs", "time")
        return cls(preparation, interactions, spec, facts)

    def past(self, windows: int) -> Past:
        """What is known after the first windows."""
        past = Past(self.interactions, len(self.spec.tasks))
        for _ in range(windows):
            past.add_window()
        return past
