"""How far metrics would be others with other users of the kind: errors over users.

A metric M of N rows is moved by a row as its influence says: M with the row counted (1 + e) times
is M + e I_n + O(e^2). Draw users with replacement, as a bootstrap does: the deviation of M is to
first order that of the sum of I_n over the drawn users, sqrt(U / (U - 1) sum_u (sum_n I_n)^2).
That is what a bootstrap over users comes to, from one sort and without drawing. Of two models on
the same rows the difference of their influences gives the error of their difference, in which what
is hard for both cancels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

QUANTILE = 1.959964
Influence = Callable[[NDArray[Any], NDArray[Any]], NDArray[Any]]


class Difference(NamedTuple):
    """Of a metric between two models on the same rows.

    Attributes:
      value: the second less the first.
      deviation: its standard error over users.
    """

    value: float
    deviation: float

    @property
    def is_beyond(self) -> bool:
        """Whether its 95 % interval leaves 0 out."""
        return abs(self.value) > QUANTILE * self.deviation


def of_auc(labels: NDArray[Any], logits: NDArray[Any]) -> NDArray[Any]:
    """The influence of each row on the AUC: float64 [N], whose sum is 0.

    (w_n - A) / P of a positive row and (w_n - A) / N of a negative one, where w_n is the share of
    the rows of the other class that it is ordered rightly against, ties counting one half.

    Args:
      labels: 0 or 1, [N], both there.
      logits: [N].
    """
    _, ranks = np.unique(logits, return_inverse=True)
    positive = labels > 0
    size = int(ranks.max()) + 1
    positives = np.bincount(ranks[positive], minlength=size)
    negatives = np.bincount(ranks[~positive], minlength=size)
    num_positives, num_negatives = positives.sum(), negatives.sum()
    wins = (np.cumsum(negatives) - negatives / 2) / num_negatives
    above = 1 - (np.cumsum(positives) - positives / 2) / num_positives
    auc = (positives * wins).sum() / num_positives
    return np.where(
        positive, (wins[ranks] - auc) / num_positives, (above[ranks] - auc) / num_negatives
    )


def of_logloss(labels: NDArray[Any], logits: NDArray[Any]) -> NDArray[Any]:
    """The influence of each row on the logloss: float64 [N]; (loss_n - mean) / N."""
    logits = logits.astype(np.float64)
    losses = np.logaddexp(0.0, logits) - logits * labels
    return (losses - losses.mean()) / len(losses)


INFLUENCES: dict[str, Influence] = {"auc": of_auc, "logloss": of_logloss}


def by_user(influence: NDArray[Any], users: NDArray[Any]) -> NDArray[Any]:
    """The influences of all rows of each user: float64 [U], of the users that have rows."""
    _, place = np.unique(users, return_inverse=True)
    return np.bincount(place, influence)


def deviation(of_users: NDArray[Any]) -> float:
    """The standard error of a metric, from the influences of U users; NaN of one user."""
    number = len(of_users)
    if number < 2:
        return math.nan
    return float(np.sqrt(number / (number - 1) * (of_users**2).sum()))
