"""The raw ids of a row, its labels and its time."""

from __future__ import annotations

from typing import Any

from input_pipeline.feature import NODES, Feature
from input_pipeline.features.provider import LogFacts, Provider


class Ids(Provider):
    """`user_id` and `item_id`, the features that everything else is looked up by."""

    def describe(self, facts: LogFacts) -> tuple[Feature, ...]:
        return tuple(
            Feature(name, owner, "id", facts.vocabularies[name].dtype, vocabulary=name)
            for owner, name in ((owner, f"{owner}_id") for owner in NODES)
        )


class Outcomes(Provider):
    """`timestamp`, where the log has a clock, and `label_<task>`; no model reads them as input."""

    def describe(self, facts: LogFacts) -> tuple[Feature, ...]:
        clock = (Feature("timestamp", "row", "timestamp", "int64"),) if facts.has_clock else ()
        absent: dict[str, Any] = {"missing": -1.0, "optional": True}
        labels = (
            Feature(f"label_{task}", "row", "label", "float", task=task, **absent)
            for task in facts.tasks
        )
        return (*clock, *labels)
