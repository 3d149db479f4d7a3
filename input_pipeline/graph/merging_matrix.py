"""The merging interaction matrix (Eq. 6 and 7): what a user did on an item, as one number."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse


@dataclasses.dataclass(frozen=True)
class Pairs:
    """The (user, item) pairs of a graph window, ordered by user, then item.

    Attributes:
      user, item: int32 [P], vocabulary rows.
      behaviors: uint32 [P]; bit t is set where u did task t on i (the set C_ui).
      latest: int64 [T, P], the time of the latest such event; anything where the bit is not set.
    """

    user: NDArray[Any]
    item: NDArray[Any]
    behaviors: NDArray[Any]
    latest: NDArray[Any]

    def take(self, places: NDArray[Any]) -> Pairs:
        """Some of them, ascending, or as a mask."""
        return Pairs(
            self.user[places], self.item[places], self.behaviors[places], self.latest[:, places]
        )


def task_places(levels: Sequence[int]) -> NDArray[Any]:
    """int64 [T]: what each task adds to rho(C).

    Sets are compared by how many tasks of the highest level they hold, then of the next, and so on.
    That is the order of numbers with one digit a level, the digit of a level with n tasks counting
    from 0 to n; and since every such number stands for some set, it is the dense rank.
    """
    place, places = 1, {}
    for level in sorted(set(levels)):
        places[level] = place
        place *= list(levels).count(level) + 1
    return np.array([places[level] for level in levels], np.int64)


def ranks(behaviors: NDArray[Any], levels: Sequence[int]) -> NDArray[Any]:
    """rho(C) of each set of tasks, int64 [P]; 0 for the empty set."""
    total = np.zeros(len(behaviors), np.int64)
    for task, place in enumerate(task_places(levels)):
        total += ((behaviors >> np.uint32(task)) & np.uint32(1)).astype(np.int64) * place
    return total


def behavior_counts(ranks: NDArray[Any], levels: Sequence[int]) -> NDArray[Any]:
    """How many tasks the sets of some ranks hold, int64 [P]: the sum of their digits."""
    rest, counts = np.asarray(ranks, np.int64), np.zeros(len(ranks), np.int64)
    for level in sorted(set(levels)):
        rest, digit = np.divmod(rest, list(levels).count(level) + 1)
        counts += digit
    return counts


def require_float32(values: NDArray[Any], what: str) -> None:
    """Raises ValueError where scores, or what is summed of them, are too large for a row."""
    largest, limit = values.max(initial=0.0), np.finfo(np.float32).max
    if largest > limit:
        raise ValueError(f"--beta: {what} must not exceed {limit:.3g}, got {largest:.3g}")


def box_cox(ranks: NDArray[Any], beta: float) -> NDArray[Any]:
    """s = ((rho + 1)^beta - 1) / beta, float64; ln(rho + 1) at beta = 0, rho at 1 (Eq. 6).

    An infinity where that is too large.
    """
    if beta == 1:  # exactly rho, without the rounding of logarithms
        return ranks.astype(np.float64)
    logarithms = np.log1p(ranks)
    # So near to 0 the formula and its limit are the same number, and beta * x loses digits.
    if abs(beta) < 1e-20:
        return logarithms
    with np.errstate(over="ignore"):
        return np.expm1(beta * logarithms) / beta


def ranks_of_scores(scores: NDArray[Any], beta: float) -> NDArray[Any]:
    """rho of scores that `box_cox` gave, int64.

    Raises:
      ValueError: no rank has such a score.
    """
    distinct, place = np.unique(scores, return_inverse=True)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        if beta == 1:
            found = distinct
        elif abs(beta) < 1e-20:
            found = np.expm1(distinct)
        else:
            found = np.expm1(np.log1p(beta * distinct) / beta)
    rounded = np.rint(np.where((found > 0) & (found < 2.0**53), found, 0)).astype(np.int64)
    # Far below 0, scores of neighbouring ranks are so near that the inverse misses by a few.
    candidates = np.maximum(rounded + np.arange(-3, 4)[:, np.newaxis], 1)
    distances = np.abs(box_cox(candidates, beta) - distinct)
    ranks = np.take_along_axis(candidates, distances.argmin(axis=0)[np.newaxis], axis=0)[0]
    strange = ~np.isclose(box_cox(ranks, beta), distinct, rtol=1e-9, atol=0)
    if strange.any():
        raise ValueError(f"--beta={beta}: no rank has the score {distinct[strange][0]}")
    return ranks[place]


def merging_matrix(
    pairs: Pairs, levels: Sequence[int], beta: float, num_users: int, num_items: int
) -> sparse.csr_matrix:
    """S = [s_ui], float64 CSR [U, I], without entries for empty C_ui; called E below (Eq. 7).

    Raises:
      ValueError: a score is too large for float32, which rows hold, or too small.
    """
    active = pairs.behaviors > 0
    user, item = pairs.user[active], pairs.item[active]
    scores = box_cox(ranks(pairs.behaviors[active], levels), beta)
    require_float32(scores, "scores")
    smallest, least = scores.min(initial=1.0), np.finfo(np.float32).tiny
    if smallest < least:
        raise ValueError(f"--beta: scores must be at least {least:.3g}, got {smallest:.3g}")
    indptr = np.searchsorted(user, np.arange(num_users + 1))
    return sparse.csr_matrix((scores, item, indptr), shape=(num_users, num_items))
