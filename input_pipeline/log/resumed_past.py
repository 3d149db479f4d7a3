"""A log that ended, as its later events see it: without the events that it was made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from input_pipeline.graph.merging_matrix import Pairs
from input_pipeline.graph.node_table import NodeTable, updated
from input_pipeline.log.interactions import OWNERS, Interactions, NodeActivity, Past


class ResumedPast(Past):
    """What is known before the last window, which alone has events.

    Args:
      interactions: the later events; their pairs are those of all events.
      num_tasks: T.
      pairs: all before.
      activity: by owner, of the nodes before.
      events_of_item: of the items before, int64.
      tables: by owner, of the nodes before; columns of side features are read.
    """

    def __init__(
        self,
        interactions: Interactions,
        num_tasks: int,
        *,
        pairs: Pairs,
        activity: Mapping[str, NodeActivity],
        events_of_item: NDArray[Any],
        tables: Mapping[str, NodeTable],
    ):
        super().__init__(interactions, num_tasks)
        keys = pairs.user.astype(np.int64) * interactions.num_items + pairs.item
        places = np.searchsorted(interactions.pair_keys, keys)
        self._behaviors[places] = pairs.behaviors
        self._touched[places] = True
        self._latest[:, places] = pairs.latest
        self._events_of_item[: len(events_of_item)] = events_of_item
        self._activity = activity
        self._side = {
            owner: {name: tables[owner][name] for name in interactions.features[owner]}
            for owner in OWNERS
        }
        self.num_windows = interactions.windows.num_windows - 1

    def told(self, owner: str) -> NodeTable:
        events = self.latest_event(owner)
        nodes = np.flatnonzero(events >= 0)
        found = self._told(owner, events[nodes])
        return updated(self._side[owner], nodes, found, len(events))

    def told_by_next_window(self, owner: str, nodes: NDArray[Any]) -> NodeTable:
        new = np.flatnonzero(nodes >= self.known(owner))
        found = self._told(owner, self.next_window_event(owner)[nodes[new]])
        known = {name: column.take(nodes) for name, column in self._side[owner].items()}
        return updated(known, new, found, len(nodes))

    def activity(self, owner: str) -> NodeActivity:
        later = super().activity(owner)
        return self._activity[owner].and_later(later)
