"""How well a single number ranks the rows of a task, and within which bounds that is known."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

# 97.5 % of a normal distribution: bounds that hold in 95 of 100 cases.
_QUANTILE = 1.959964
_HALVINGS = 60


class Ranking(NamedTuple):
    """The AUC of a number, and of how many rows.

    Attributes:
      auc: how likely a positive row has the larger number.
      positives, negatives: rows of each class, as if they were independent: rows that share an
        item share its price, too, and count as less (`effective`).
    """

    auc: float
    positives: float
    negatives: float

    @property
    def strength(self) -> float:
        """The AUC with the better sign: a model only has to turn a number around."""
        return max(self.auc, 1 - self.auc)

    def bounds(self) -> tuple[float, float]:
        """The 95 % interval of the strength.

        All AUCs A with (strength - A)^2 <= z^2 V(A), where V is the variance of Hanley and McNeil
        (Radiology 143, 1982): a score interval, which is wide with few positives also where the
        AUC is 1 and an estimate of its own variance would be 0.
        """

        def reach(value: float) -> float:
            return _QUANTILE * math.sqrt(_variance(value, self.positives, self.negatives))

        found = self.strength
        low = _first(lambda value: value + reach(value) >= found, 0.0, found)
        high = _first(lambda value: value - reach(value) > found, found, 1.0)
        return low, high


def _variance(auc: float, positives: float, negatives: float) -> float:
    """Of an AUC whose true value is `auc`."""
    of_positive = auc / (2 - auc) - auc**2
    of_negative = 2 * auc**2 / (1 + auc) - auc**2
    total = auc * (1 - auc) + (positives - 1) * of_positive + (negatives - 1) * of_negative
    return max(0.0, total) / (positives * negatives)


def _first(holds: Callable[[float], bool], low: float, high: float) -> float:
    """The least value from `low` to `high` for which a condition holds, `high` where none does."""
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if holds(middle):
            high = middle
        else:
            low = middle
    return high


def effective(counts: NDArray[Any]) -> float:
    """How many independent rows groups of so many rows are worth at least: (sum n)^2 / sum n^2.

    Groups of one row each are worth their number, groups of equal size as many as there are groups.
    """
    counts = counts.astype(np.float64)
    squares = float((counts**2).sum())
    return float(counts.sum() ** 2 / squares) if squares else 0.0


def pooled(rankings: Iterable[Ranking]) -> Ranking | None:
    """Several windows as one; None without any.

    The mean AUC, weighted by P N / (P + N), which is nearly proportional to how exactly each is
    known.
    """
    found = list(rankings)
    if not found:
        return None
    weights = [r.positives * r.negatives / (r.positives + r.negatives) for r in found]
    auc = sum(w * r.auc for w, r in zip(weights, found, strict=True)) / sum(weights)
    return Ranking(auc, sum(r.positives for r in found), sum(r.negatives for r in found))
