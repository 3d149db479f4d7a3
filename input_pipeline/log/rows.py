"""Labelled rows of a window: pairs with sampled negatives, events or exposures."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from input_pipeline.log.negatives import CandidateArrays, sample_negatives


@dataclasses.dataclass(frozen=True)
class Rows:
    """R rows of one window.

    Attributes:
      user, item: int32 [R], vocabulary rows.
      positive: uint32 [R]; bit t is set where label t is 1.
      unlabeled: uint32 [R]; bit t is set where the row has no label t.
      timestamp: int64 [R], or None where the source has no clock.
      sampled: bool [R], whether the row is a sampled negative.
      event: int64 [R], the event of the log that tells the row's context: the row's own, a pair's
        first in the window, a sampled negative's that of its positive.
    """

    user: NDArray[Any]
    item: NDArray[Any]
    positive: NDArray[Any]
    unlabeled: NDArray[Any]
    timestamp: NDArray[Any] | None
    sampled: NDArray[Any]
    event: NDArray[Any]

    def __len__(self) -> int:
        return len(self.user)

    def take(self, index: NDArray[Any] | slice) -> Rows:
        return Rows(
            self.user[index],
            self.item[index],
            self.positive[index],
            self.unlabeled[index],
            None if self.timestamp is None else self.timestamp[index],
            self.sampled[index],
            self.event[index],
        )


def group_pairs(rows: Rows, num_items: int) -> Rows:
    """One row a (user, item), ordered by user, then item; `rows` are events in the order of time.

    A label is 1 where any event shows the task, absent where no event tells of it, else 0; the
    timestamp is that of the first event.
    """
    pair = rows.user.astype(np.int64) * num_items + rows.item
    order = np.argsort(pair, kind="stable")
    first = np.flatnonzero(np.diff(pair[order], prepend=-1))
    positive = np.bitwise_or.reduceat(rows.positive[order], first)
    unlabeled = np.bitwise_and.reduceat(rows.unlabeled[order], first) & ~positive
    pairs = rows.take(order[first])
    return dataclasses.replace(pairs, positive=positive, unlabeled=unlabeled)


def add_negatives(
    pairs: Rows,
    event_items: NDArray[Any],
    touched: NDArray[Any],
    num_items: int,
    negatives: int,
    power: float,
    key: tuple[int, ...],
) -> tuple[Rows, int]:
    """Appends sampled negatives to the pairs of a window.

    Args:
      pairs: rows of the window, one a pair.
      event_items: int32, the item of each event of the window.
      touched: int64, ascending: user * num_items + item of every pair logged up to the window's
        end.
      num_items: of the whole log.
      negatives: wanted for each pair.
      power: items are drawn by (number of events in the window) ** power.
      key: of the window's draws.

    Returns:
      The rows, pairs first, and how many negatives are missing for want of untouched items.
    """
    items, counts = np.unique(event_items, return_counts=True)
    candidates = CandidateArrays(items, counts.astype(np.float64) ** power)
    sampled = sample_negatives(
        pairs.user, pairs.item, candidates, touched, num_items, negatives, key
    )
    return with_sampled(pairs, sampled), int((sampled < 0).sum())


def with_sampled(pairs: Rows, sampled: NDArray[Any]) -> Rows:
    """Pairs, and behind them the rows of their sampled items, [R, N]; -1: there is none."""
    # [R', 2]: pair and slot of each sampled row.
    pair, slot = np.nonzero(sampled >= 0)
    negative = dataclasses.replace(
        pairs.take(pair),
        item=sampled[pair, slot],
        positive=np.zeros(len(pair), np.uint32),
        unlabeled=np.zeros(len(pair), np.uint32),
        sampled=np.ones(len(pair), bool),
    )
    columns: dict[str, Any] = {}
    for field in dataclasses.fields(Rows):
        parts = [getattr(pairs, field.name), getattr(negative, field.name)]
        columns[field.name] = None if parts[0] is None else np.concatenate(parts)
    return Rows(**columns)
