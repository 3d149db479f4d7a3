"""A synthetic log, recoded and cut into windows: where the stages of preparation begin."""

from __future__ import annotations

import dataclasses
import tempfile

from input_pipeline.engines.local.engine import LocalEngine
from input_pipeline.features.provider import LogFacts
from input_pipeline.files import filesystem
from input_pipeline.log.interactions import Interactions, Past
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.prepare import describe
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
        with tempfile.TemporaryDirectory(dir=preparation.data_dir) as folder:
            filesystem.make_dirs(filesystem.join(folder, "vocabulary"))
            with LocalEngine(preparation, folder) as engine:
                log, index = engine.read(), engine.index("pairs", "time")
                spec, facts = describe(log, index, preparation, "pairs", "time")
                return cls(preparation, engine.interactions, spec, facts)

    def past(self, windows: int) -> Past:
        """What is known after the first windows."""
        past = Past(self.interactions, len(self.spec.tasks))
        for _ in range(windows):
            past.add_window()
        return past
