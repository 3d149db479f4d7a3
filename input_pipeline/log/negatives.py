"""Sampled negatives: distinct items that the user has not touched, drawn by popularity."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Users who have touched nearly all that is popular are rare, and get an exact draw after so many
# misses.
_ROUNDS = 12
_EXACT_CELLS = 1 << 22


def sample_negatives(
    users: NDArray[Any],
    items: NDArray[Any],
    weights: NDArray[Any],
    touched: NDArray[Any],
    num_items: int,
    count: int,
    random: np.random.Generator,
) -> NDArray[Any]:
    """Draws for each row up to `count` distinct items that its user has not touched, by weight.

    Args:
      users: int32 [R], the user of each row.
      items: int32 [M], ascending: the candidates.
      weights: float64 [M], above 0.
      touched: int64, ascending: user * num_items + item of every pair that may not be drawn.
      num_items: above every item.
      count: N.
      random: the source of draws.

    Returns:
      int32 [R, N]; -1 where a user has no item left, always after the items drawn.
    """
    drawn = np.full((len(users), count), -1, np.int32)
    cumulative = np.cumsum(weights)
    keys = users.astype(np.int64) * num_items
    open_rows = np.arange(len(users))
    for slot in range(count):
        # Rejection keeps the distribution: a draw counts only where the item is allowed.
        missing = open_rows
        for _ in range(_ROUNDS):
            if not len(missing):
                break
            draw = items[_pick(cumulative, random.random(len(missing)))]
            allowed = ~_contains(touched, keys[missing] + draw)
            for earlier in range(slot):
                allowed &= drawn[missing, earlier] != draw
            drawn[missing[allowed], slot] = draw[allowed]
            missing = missing[~allowed]
        _draw_exactly(drawn, slot, missing, keys, items, weights, touched, random)
        open_rows = open_rows[drawn[open_rows, slot] >= 0]
    return drawn


def _pick(cumulative: NDArray[Any], uniform: NDArray[Any]) -> NDArray[Any]:
    """The index that each number of [0, 1) falls on, given cumulative weights."""
    index = np.searchsorted(cumulative, uniform * cumulative[-1], side="right")
    return np.minimum(index, len(cumulative) - 1)


def _contains(keys: NDArray[Any], queries: NDArray[Any]) -> NDArray[Any]:
    """Whether each query is among the ascending keys."""
    if not len(keys):
        return np.zeros(len(queries), bool)
    index = np.minimum(np.searchsorted(keys, queries), len(keys) - 1)
    return keys[index] == queries


def _draw_exactly(
    drawn: NDArray[Any],
    slot: int,
    missing: NDArray[Any],
    keys: NDArray[Any],
    items: NDArray[Any],
    weights: NDArray[Any],
    touched: NDArray[Any],
    random: np.random.Generator,
) -> None:
    """Fills `slot` of the missing rows from all of their allowed items, where there are any."""
    chunk = max(1, _EXACT_CELLS // len(items))
    for start in range(0, len(missing), chunk):
        rows = missing[start : start + chunk]
        # [C, M]
        allowed = ~_contains(touched, (keys[rows, None] + items).ravel()).reshape(len(rows), -1)
        for earlier in range(slot):
            allowed &= drawn[rows, earlier, None] != items
        cumulative = np.cumsum(np.where(allowed, weights, 0.0), axis=1)
        threshold = random.random((len(rows), 1)) * cumulative[:, -1:]
        # Rounding may put the threshold at the very end; the last allowed item is then meant.
        index = np.minimum(
            (cumulative <= threshold).sum(axis=1), (cumulative < cumulative[:, -1:]).sum(axis=1)
        )
        found = cumulative[:, -1] > 0
        drawn[rows[found], slot] = items[index[found]]
