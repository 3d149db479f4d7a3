"""The log in vocabulary rows and in the order of time, and what is known of it window by window."""

from __future__ import annotations

import dataclasses

import numpy as np

from input_pipeline.graph.merging_matrix import Pairs
from input_pipeline.log.events import EventLog
from input_pipeline.log.rows import Rows
from input_pipeline.log.vocabulary import Column, order_by_appearance
from input_pipeline.log.windows import Windows

OWNERS = ("user", "item")


@dataclasses.dataclass(frozen=True)
class Interactions:
    """The events of a log, ordered by window, then time, then line; N of them.

    Attributes:
      windows: where each window begins and ends.
      ids: by owner, the id column.
      features: by owner and name, the side feature columns.
      events: one row an event.
      pair_keys: int64 [P], ascending: user * (number of items) + item of every pair.
      pair: int64 [N], the entry of `pair_keys` of each event.
    """

    windows: Windows
    ids: dict[str, Column]
    features: dict[str, dict[str, Column]]
    events: Rows
    pair_keys: np.ndarray
    pair: np.ndarray

    @property
    def num_items(self) -> int:
        return len(self.ids["item"].values)

    @property
    def columns(self) -> dict[str, tuple[str, Column]]:
        """Owner and column by name: the ids, then the side features.

        Raises:
          ValueError: two columns have one name.
        """
        named = {f"{owner}_id": (owner, self.ids[owner]) for owner in OWNERS}
        for owner in OWNERS:
            for name, column in self.features[owner].items():
                if name in named:
                    raise ValueError(
                        f"side features must have names of their own, got {name!r} twice"
                    )
                named[name] = owner, column
        return named

    def counts(self, column: Column) -> np.ndarray:
        """int64 [known at t_{n-1}]: events by the end of training of each value known by then."""
        validation = self.windows.num_windows - 2
        seen = column.rows[: self.windows.bounds[validation]]
        return np.bincount(seen, minlength=int(column.known[validation - 1]))


def build_interactions(log: EventLog, windows: Windows) -> Interactions:
    """Recodes a log to vocabulary rows."""
    lines = windows.lines
    ids = {
        "user": order_by_appearance(log.user_id, windows),
        "item": order_by_appearance(log.item_id, windows),
    }
    raw_features = {"user": log.user_features, "item": log.item_features}
    features = {
        owner: {
            name: order_by_appearance(column, windows)
            for name, column in raw_features[owner].items()
        }
        for owner in OWNERS
    }
    unlabeled = np.zeros(len(log), np.uint32) if log.unlabeled is None else log.unlabeled
    events = Rows(
        ids["user"].rows,
        ids["item"].rows,
        log.behaviors[lines],
        unlabeled[lines] & ~log.behaviors[lines],
        None if log.timestamp is None else log.timestamp[lines],
        np.zeros(len(log), bool),
        np.arange(len(log)),
    )
    keys = events.user.astype(np.int64) * len(ids["item"].values) + events.item
    pair_keys, pair = np.unique(keys, return_inverse=True)
    return Interactions(windows, ids, features, events, pair_keys, pair)


class Past:
    """What is known after some windows: pairs, behaviours and the latest side features."""

    def __init__(self, interactions: Interactions, num_tasks: int):
        self._interactions = interactions
        num_pairs = len(interactions.pair_keys)
        self._behaviors = np.zeros(num_pairs, np.uint32)
        self._touched = np.zeros(num_pairs, bool)
        self._latest = np.full((num_tasks, num_pairs), np.iinfo(np.int64).min)
        self._features = {
            owner: {
                name: np.full(len(interactions.ids[owner].values), -1, np.int32) for name in columns
            }
            for owner, columns in interactions.features.items()
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
        for owner, columns in log.features.items():
            # The last event of each node: the first one when read backwards.
            nodes, back = np.unique(log.ids[owner].rows[part][::-1], return_index=True)
            for name, column in columns.items():
                self._features[owner][name][nodes] = column.rows[part][::-1][back]
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

    def touched_keys(self) -> np.ndarray:
        """int64, ascending: the keys of all pairs so far."""
        return self._interactions.pair_keys[self._touched]

    def events_of_item(self) -> np.ndarray:
        """int64 [number of items of the log]: events so far."""
        return self._events_of_item.copy()

    def features(self, owner: str) -> dict[str, np.ndarray]:
        """The latest side features of the known nodes, int32 [known] by name."""
        known = self.known(owner)
        return {name: rows[:known].copy() for name, rows in self._features[owner].items()}

    def next_window_features(self, owner: str) -> dict[str, np.ndarray]:
        """The same for the next window, where new nodes have those of their first event in it."""
        log, part = self._interactions, self._interactions.windows.slice(self.num_windows)
        size, known = int(log.ids[owner].known[self.num_windows]), self.known(owner)
        nodes, first = np.unique(log.ids[owner].rows[part], return_index=True)
        new = nodes >= known
        extended = {}
        for name, rows in self._features[owner].items():
            extended[name] = rows[:size].copy()
            extended[name][nodes[new]] = log.features[owner][name].rows[part][first[new]]
        return extended
