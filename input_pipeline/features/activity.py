"""How active a node has been: its events by task, and how long it has been there."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from input_pipeline.feature import NODES, Feature, Transform
from input_pipeline.features.provider import Cut, LogFacts, Provider
from input_pipeline.graph.node_table import DenseColumn, NodeTable
from input_pipeline.log.calendar import UNITS

_SECONDS_OF_DAY = 86_400
_NONE = -1.0


class Activity(Provider):
    """`user_activity` and `item_activity`, where asked for: T + 2 numbers.

    ln(1 + n_t) for each task t, n_t being the node's events by that task before the cut; then the
    days from its first, and from its latest event to the cut's time. A node without events has
    0 by every task, and -1 days.
    """

    def describe(self, facts: LogFacts) -> tuple[Feature, ...]:
        if not facts.activity:
            return ()
        missing = _missing(len(facts.tasks))
        length = len(missing)
        transform = Transform("standard", (0.0,) * length, (1.0,) * length)
        return tuple(
            Feature(
                f"{owner}_activity",
                owner,
                "numeric",
                "float",
                length,
                missing=missing,
                bounds=(_NONE, None),
                transform=transform,
            )
            for owner in NODES
        )

    def entry_names(self, feature: Feature, tasks: tuple[str, ...]) -> tuple[str, ...]:
        if feature.name not in {f"{owner}_activity" for owner in NODES}:
            return ()
        return (
            *(f"log events by {task}" for task in tasks),
            "days since the first event",
            "days since the latest event",
        )

    def columns(self, cut: Cut) -> Mapping[str, NodeTable]:
        if not cut.facts.activity:
            return {}
        num_tasks = len(cut.facts.tasks)
        ticks_of_day = _SECONDS_OF_DAY * UNITS[cut.facts.timestamp_unit or "s"]
        tables: dict[str, NodeTable] = {}
        for owner in NODES:
            activity = cut.past.activity(owner)
            values = np.empty((cut.known(owner), num_tasks + 2), np.float32)
            values[:, :num_tasks] = np.log1p(activity.events).T
            # every known node has an event
            for place, times in enumerate((activity.first, activity.latest), num_tasks):
                values[:, place] = (cut.past.time - times) / ticks_of_day
            column = DenseColumn(values, _missing(num_tasks))
            tables[owner] = {f"{owner}_activity": column}
        return tables


def _missing(num_tasks: int) -> tuple[float, ...]:
    return (*(0.0,) * num_tasks, _NONE, _NONE)
