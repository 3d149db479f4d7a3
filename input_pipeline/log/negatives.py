"""Sampled negatives: distinct items that the user has not touched, drawn by popularity.

A draw is a function of its pair alone (`keyed_random`), so that the pairs of a window may be drawn
for in parts and in any order. Axes: R rows, N draws of a row, M candidates.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from input_pipeline.log.keyed_random import keyed_uniform

# Users who have touched nearly all that is popular are rare, and get exact draws after so many
# misses for each negative.
_TRIES = 12
_EXACT_CELLS = 1 << 22
_EXACT = 1 << 32


class Candidates(Protocol):
    """The items that may be drawn, ascending, of which more may be than fit in memory."""

    @property
    def total(self) -> float:
        """Of all weights."""

    @property
    def max_block(self) -> int:
        """The most candidates of a block."""

    def __len__(self) -> int:
        """M."""

    def blocks(self) -> Iterator[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]:
        """Items int32, weights above 0 and the cumulative weights, block by block, [M'] each."""


@dataclasses.dataclass(frozen=True)
class CandidateArrays:
    """Candidates in memory.

    Attributes:
      items: int32 [M], ascending.
      weights: float64 [M], above 0.
    """

    items: NDArray[Any]
    weights: NDArray[Any]

    @property
    def total(self) -> float:
        return float(np.cumsum(self.weights)[-1]) if len(self.items) else 0.0

    @property
    def max_block(self) -> int:
        return len(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def blocks(self) -> Iterator[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]:
        yield self.items, self.weights, np.cumsum(self.weights)


def sample_negatives(
    users: NDArray[Any],
    items: NDArray[Any],
    candidates: Candidates,
    touched: NDArray[Any],
    num_items: int,
    count: int,
    key: tuple[int, ...],
) -> NDArray[Any]:
    """Draws for each row up to `count` distinct items that its user has not touched, by weight.

    Args:
      users, items: int32 [R], the pair of each row, which with `key` decides on its draws.
      candidates: what is drawn from.
      touched: int64, ascending: user * num_items + item of every pair of these users that may not
        be drawn.
      num_items: above every item.
      count: N.
      key: of all rows: the seed and the window.

    Returns:
      int32 [R, N]; -1 where a user has no item left, always after the items drawn.
    """
    drawn = np.full((len(users), count), -1, np.int32)
    filled = np.zeros(len(users), np.int64)
    keys = users.astype(np.int64) * num_items
    missing = np.arange(len(users) if len(candidates) and count else 0)
    # Rejection keeps the distribution: a draw counts only where the item is allowed.
    for attempt in range(_TRIES):
        if not len(missing):
            break
        numbers = np.arange(attempt * count, (attempt + 1) * count)
        uniform = keyed_uniform(*key, users[missing, None], items[missing, None], numbers)
        # [R', N]
        draws = _pick(candidates, uniform)
        allowed = ~contains(touched, (keys[missing, None] + draws).ravel()).reshape(draws.shape)
        for draw, accepted in zip(draws.T, allowed.T, strict=True):
            is_new = accepted & (filled[missing] < count)
            is_new &= ~(drawn[missing] == draw[:, None]).any(axis=1)
            rows = missing[is_new]
            drawn[rows, filled[rows]] = draw[is_new]
            filled[rows] += 1
        missing = missing[filled[missing] < count]
    chunk = max(1, _EXACT_CELLS // max(1, candidates.max_block))
    for start in range(0, len(missing), chunk):
        rows = missing[start : start + chunk]
        _draw_exactly(drawn, filled, rows, items[rows], users[rows], keys, candidates, touched, key)
    return drawn


def _pick(candidates: Candidates, uniform: NDArray[Any]) -> NDArray[Any]:
    """The item that each number of [0, 1) falls on, int32."""
    wanted = uniform.ravel() * candidates.total
    found = np.full(len(wanted), -1, np.int32)
    for items, _, cumulative in candidates.blocks():
        if len(items) == len(candidates):
            place = np.searchsorted(cumulative, wanted, side="right")
            return items[np.minimum(place, len(items) - 1)].reshape(uniform.shape)
        here = np.flatnonzero((found < 0) & (wanted < cumulative[-1]))
        found[here] = items[np.searchsorted(cumulative, wanted[here], side="right")]
        last = items[-1]
    found[found < 0] = last
    return found.reshape(uniform.shape)


def contains(keys: NDArray[Any], queries: NDArray[Any]) -> NDArray[Any]:
    """Whether each query is among the ascending keys."""
    if not len(keys):
        return np.zeros(len(queries), bool)
    index = np.minimum(np.searchsorted(keys, queries), len(keys) - 1)
    return keys[index] == queries


def _draw_exactly(
    drawn: NDArray[Any],
    filled: NDArray[Any],
    rows: NDArray[Any],
    items: NDArray[Any],
    users: NDArray[Any],
    keys: NDArray[Any],
    candidates: Candidates,
    touched: NDArray[Any],
    key: tuple[int, ...],
) -> None:
    """Fills some rows from all of their allowed items, where there are any."""
    count = drawn.shape[1]
    for slot in range(count):
        open_rows = np.flatnonzero(filled[rows] == slot)
        if not len(open_rows):
            continue
        these = rows[open_rows]
        uniform = keyed_uniform(*key, users[open_rows], items[open_rows], _EXACT + slot)
        total = np.zeros(len(these))
        for _, cumulative in _allowed(drawn[these], keys[these], candidates, touched):
            total = cumulative[:, -1]
        # Rounding may put the threshold at the very end; the last allowed item is then meant.
        threshold, found = uniform * total, np.full(len(these), -1, np.int32)
        for block, cumulative in _allowed(drawn[these], keys[these], candidates, touched):
            index = np.minimum(
                (cumulative <= threshold[:, None]).sum(axis=1),
                (cumulative < total[:, None]).sum(axis=1),
            )
            here = np.flatnonzero((found < 0) & (index < len(block)) & (total > 0))
            found[here] = block[index[here]]
        chosen = found >= 0
        drawn[these[chosen], slot] = found[chosen]
        filled[these[chosen]] += 1


def _allowed(
    drawn: NDArray[Any], keys: NDArray[Any], candidates: Candidates, touched: NDArray[Any]
) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """By block, items [M'] and each row's cumulative weights of those it may have, [R', M']."""
    before = np.zeros((len(keys), 1))
    for items, weights, _ in candidates.blocks():
        allowed = ~contains(touched, (keys[:, None] + items).ravel()).reshape(len(keys), -1)
        for earlier in range(drawn.shape[1]):
            allowed &= drawn[:, earlier, None] != items
        steps = np.concatenate([before, np.where(allowed, weights, 0.0)], axis=1)
        cumulative = np.cumsum(steps, axis=1)[:, 1:]
        yield items, cumulative
        before = cumulative[:, -1:]
