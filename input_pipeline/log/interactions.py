"""The log in vocabulary rows and in the order of time, and what is known of it window by window."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from input_pipeline.graph.merging_matrix import Pairs
from input_pipeline.graph.node_table import NodeTable
from input_pipeline.log.events import EventLog
from input_pipeline.log.rows import Rows
from input_pipeline.log.vocabulary import (
    Column,
    FeatureValuesColumn,
    order_by_appearance,
    recode,
)
from input_pipeline.log.windows import Windows

OWNERS = ("user", "item")


@dataclasses.dataclass(frozen=True)
class Interactions:
    """The events of a log, ordered by window, then time, then line; N of them.

    Attributes:
      windows: where each window begins and ends.
      ids: by owner, the id column.
      features: by owner, `user`, `item` or `context`, and name, what the events tell.
      events: one row an event.
      pair_keys: int64 [P], ascending: user * (number of items) + item of every pair.
      pair: int64 [N], the entry of `pair_keys` of each event.
    """

    windows: Windows
    ids: dict[str, Column]
    features: dict[str, dict[str, FeatureValuesColumn]]
    events: Rows
    pair_keys: NDArray[Any]
    pair: NDArray[Any]

    @property
    def num_items(self) -> int:
        return len(self.ids["item"].values)

    @property
    def vocabularies(self) -> dict[str, tuple[str, Column]]:
        """Owner and column by name: the ids, then the features that hold ids."""
        named = {f"{owner}_id": (owner, self.ids[owner]) for owner in OWNERS}
        return named | {
            name: (owner, column)
            for owner, features in self.features.items()
            for name, column in features.items()
            if isinstance(column, Column)
        }

    def counts(self, column: Column) -> NDArray[Any]:
        """int64 [known at t_{n-1}]: events by the end of training of each value known by then."""
        validation = self.windows.num_windows - 2
        num_events = int(self.windows.bounds[validation])
        return column.counts(num_events, int(column.known[validation - 1]))


def build_interactions(log: EventLog, windows: Windows) -> Interactions:
    """Recodes a log to vocabulary rows.

    Raises:
      ValueError: two columns have one name.
    """
    ids = {
        "user": order_by_appearance(log.user_id, windows),
        "item": order_by_appearance(log.item_id, windows),
    }
    names = [*(f"{owner}_id" for owner in OWNERS)]
    names += [name for named in log.features.values() for name in named]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"features must have names of their own, got {repeated} twice")
    features = {
        owner: {name: recode(column, windows) for name, column in named.items()}
        for owner, named in log.features.items()
    }
    events = event_rows(log, windows.lines, ids)
    keys = events.user.astype(np.int64) * len(ids["item"].values) + events.item
    pair_keys, pair = np.unique(keys, return_inverse=True)
    return Interactions(windows, ids, features, events, pair_keys, pair)


def event_rows(log: EventLog, lines: NDArray[Any], ids: Mapping[str, Column]) -> Rows:
    """The events of a log, one row an event, in the order of `lines`, int64 [N].

    Args:
      log: of N events.
      lines: its line numbers.
      ids: by owner, the id columns in that order.
    """
    unlabeled = np.zeros(len(log), np.uint32) if log.unlabeled is None else log.unlabeled
    return Rows(
        ids["user"].rows,
        ids["item"].rows,
        log.behaviors[lines],
        unlabeled[lines] & ~log.behaviors[lines],
        None if log.timestamp is None else log.timestamp[lines],
        np.zeros(len(log), bool),
        np.arange(len(log)),
    )


@dataclasses.dataclass(frozen=True)
class NodeActivity:
    """The events of the nodes of one owner, V of them.

    Attributes:
      events: int64 [T, V], by task.
      first, latest: int64 [V], the times of the first and of the latest event; of a node without
        events the largest and the smallest int64.
    """

    events: NDArray[Any]
    first: NDArray[Any]
    latest: NDArray[Any]

    @classmethod
    def of(cls, events: Rows, owner: str, size: int, num_tasks: int) -> NodeActivity:
        """Of some events with times."""
        nodes, counts = getattr(events, owner), np.zeros((num_tasks, size), np.int64)
        for task in range(num_tasks):
            did = ((events.positive >> np.uint32(task)) & np.uint32(1)).astype(bool)
            counts[task] = np.bincount(nodes[did], minlength=size)
        assert events.timestamp is not None
        limits = np.iinfo(np.int64)
        first, latest = np.full(size, limits.max), np.full(size, limits.min)
        np.minimum.at(first, nodes, events.timestamp)
        np.maximum.at(latest, nodes, events.timestamp)
        return cls(counts, first, latest)

    def and_later(self, later: NodeActivity) -> NodeActivity:
        """With later events, of as many nodes or more."""
        more = len(later.first) - len(self.first)
        limits = np.iinfo(np.int64)
        return NodeActivity(
            np.pad(self.events, ((0, 0), (0, more))) + later.events,
            np.minimum(np.pad(self.first, (0, more), constant_values=limits.max), later.first),
            np.maximum(np.pad(self.latest, (0, more), constant_values=limits.min), later.latest),
        )


class Past:
    """What is known after some windows: pairs, behaviours and who tells of the nodes."""

    def __init__(self, interactions: Interactions, num_tasks: int):
        self._interactions = interactions
        self._num_tasks = num_tasks
        num_pairs = len(interactions.pair_keys)
        self._behaviors = np.zeros(num_pairs, np.uint32)
        self._touched = np.zeros(num_pairs, bool)
        self._latest = np.full((num_tasks, num_pairs), np.iinfo(np.int64).min)
        self._latest_event = {
            owner: np.full(len(ids.values), -1) for owner, ids in interactions.ids.items()
        }
        self._events_of_item = np.zeros(interactions.num_items, np.int64)
        self.num_windows = 0

    def known(self, owner: str) -> int:
        """How many users or items have appeared."""
        known = self._interactions.ids[owner].known
        return int(known[self.num_windows - 1]) if self.num_windows else 0

    def add_window(self) -> None:
        """Takes in the events of the next window."""
        log, part = self._interactions, self._interactions.windows.slice(self.num_windows)
        pair, behaviors = log.pair[part], log.events.positive[part]
        np.bitwise_or.at(self._behaviors, pair, behaviors)
        self._touched[pair] = True
        for task, latest in enumerate(self._latest):
            did = ((behaviors >> np.uint32(task)) & np.uint32(1)).astype(bool)
            np.maximum.at(latest, pair[did], log.windows.time[part][did])
        for owner, latest_event in self._latest_event.items():
            # The last event of each node: the first one when read backwards.
            nodes, back = np.unique(log.ids[owner].rows[part][::-1], return_index=True)
            latest_event[nodes] = part.stop - 1 - back
        self._events_of_item += np.bincount(log.events.item[part], minlength=log.num_items)
        self.num_windows += 1

    def pairs(self) -> Pairs:
        """All pairs so far."""
        keys = self.touched_keys()
        num_items = self._interactions.num_items
        return Pairs(
            (keys // num_items).astype(np.int32),
            (keys % num_items).astype(np.int32),
            self._behaviors[self._touched],
            self._latest[:, self._touched],
        )

    def touched_keys(self) -> NDArray[Any]:
        """int64, ascending: the keys of all pairs so far."""
        return self._interactions.pair_keys[self._touched]

    def events_of_item(self) -> NDArray[Any]:
        """int64 [number of items of the log]: events so far."""
        return self._events_of_item.copy()

    def told(self, owner: str) -> NodeTable:
        """What the latest events of all known users, or items, tell of them."""
        return self._told(owner, self.latest_event(owner))

    def told_by_next_window(self, owner: str, nodes: NDArray[Any]) -> NodeTable:
        """The same of some nodes for the next window; new ones by their first event in it."""
        return self._told(owner, self.next_window_event(owner)[nodes])

    def _told(self, owner: str, events: NDArray[Any]) -> NodeTable:
        features = self._interactions.features[owner]
        return {name: column.at(events) for name, column in features.items()}

    def latest_event(self, owner: str) -> NDArray[Any]:
        """int64 [known]: the latest event of each known node, which tells its side features."""
        return self._latest_event[owner][: self.known(owner)].copy()

    def next_window_event(self, owner: str) -> NDArray[Any]:
        """The same for the next window, where new nodes are told of by their first event in it."""
        log, part = self._interactions, self._interactions.windows.slice(self.num_windows)
        size, known = int(log.ids[owner].known[self.num_windows]), self.known(owner)
        nodes, first = np.unique(log.ids[owner].rows[part], return_index=True)
        new = nodes >= known
        events = self._latest_event[owner][:size].copy()
        events[nodes[new]] = part.start + first[new]
        return events

    def activity(self, owner: str) -> NodeActivity:
        """How often, and from when to when, each known node was active; of logs with a clock."""
        log, part = (
            self._interactions,
            slice(0, self._interactions.windows.bounds[self.num_windows]),
        )
        return NodeActivity.of(log.events.take(part), owner, self.known(owner), self._num_tasks)

    @property
    def time(self) -> float:
        """When it is: the last cut, or after it the time of the last event."""
        windows = self._interactions.windows
        if self.num_windows <= len(windows.cut_times):
            return windows.cut_times[self.num_windows - 1]
        return float(windows.time.max())
