"""The exact area under the ROC curve, of all rows or user by user, or of counts by rank.

Of scores it takes one sort of all rows. User, score and label are packed into one uint64 a row,
which NumPy sorts in place: ten million rows take seconds and some hundred megabytes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_SCORE_BITS = 32
_LABEL_BITS = 1
_USER_SHIFT = _SCORE_BITS + _LABEL_BITS


def _packed(labels: NDArray[Any], scores: NDArray[Any], users: NDArray[Any] | None) -> NDArray[Any]:
    """uint64 [N], ascending: user, then score, then label."""
    keys = _ordered_bits(scores).astype(np.uint64)
    keys <<= np.uint64(_LABEL_BITS)
    keys |= (labels > 0).astype(np.uint64)
    if users is not None:
        keys |= users.astype(np.uint64) << np.uint64(_USER_SHIFT)
    keys.sort()
    return keys


def _ordered_bits(scores: NDArray[Any]) -> NDArray[Any]:
    """uint32 [N] that compare as the floats do."""
    if scores.dtype != np.float32:
        raise ValueError(f"scores: must be float32, got {scores.dtype}")
    if np.isnan(scores).any():
        raise ValueError("scores: must be numbers, got NaN")
    bits = (scores + np.float32(0)).view(np.uint32)  # -0.0 becomes 0.0, its equal
    # floats compare as their bits do once negative ones are flipped and positive ones moved above
    negative = bits >> np.uint32(31) == 1
    bits ^= np.where(negative, np.uint32(0xFFFFFFFF), np.uint32(0x80000000))
    return bits


def _areas(keys: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Counts of each user's rows, ascending by user.

    Returns:
      Twice the number of (positive, negative) pairs in the right order, ties counting one half;
      positives; negatives. int64 [U] each, exact up to 2^31 rows.
    """
    # a run is the rows of one user with one score; its rows are bounds[r]:bounds[r + 1]
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] ^ keys[:-1] > 1]))
    # narrow places, since these arrays are what the memory goes to
    place = np.int32 if len(keys) < 2**31 else np.int64
    bounds = np.append(starts, len(keys)).astype(place)
    del starts
    positives_before = np.zeros(len(keys) + 1, place)
    np.cumsum((keys & np.uint64(1)).astype(np.int8), out=positives_before[1:])
    positives_before = positives_before[bounds]
    positives = np.diff(positives_before)
    negatives = np.diff(bounds)
    negatives -= positives
    negatives_before = bounds[:-1] - positives_before[:-1]
    run_users = keys[bounds[:-1]] >> np.uint64(_USER_SHIFT)
    first = np.flatnonzero(np.concatenate([[True], run_users[1:] != run_users[:-1]]))
    del run_users, bounds, positives_before
    user_positives = np.add.reduceat(positives, first, dtype=np.int64)
    user_negatives = np.add.reduceat(negatives, first, dtype=np.int64)
    won = negatives_before.astype(np.int64)
    won *= 2
    won += negatives
    won *= positives
    won = np.add.reduceat(won, first)
    won -= 2 * negatives_before[first].astype(np.int64) * user_positives
    return won, user_positives, user_negatives


def auc(labels: NDArray[Any], scores: NDArray[Any]) -> float | None:
    """Area under the ROC curve: how likely a positive row scores above a negative one.

    Args:
      labels: 0 or 1, [N].
      scores: float32 [N]; ties count one half.

    Returns:
      None where only one class is there.
    """
    return gauc(labels, scores, None)


def gauc(labels: NDArray[Any], scores: NDArray[Any], users: NDArray[Any] | None) -> float | None:
    """Mean AUC of users with both labels, weighted by their numbers of rows.

    Args:
      labels: 0 or 1, [N].
      scores: float32 [N].
      users: who a row belongs to, below 2^31, int [N]; None: all rows are of one user.

    Returns:
      None where no user has both labels.
    """
    if not len(labels):
        return None
    won, positives, negatives = _areas(_packed(labels, scores, users))
    both = (positives > 0) & (negatives > 0)
    if not both.any():
        return None
    won, positives, negatives = won[both], positives[both], negatives[both]
    return float(np.average(won / (2 * positives * negatives), weights=positives + negatives))


def auc_of_counts(positives: NDArray[Any], negatives: NDArray[Any]) -> float | None:
    """`auc` from how many rows of each class have each score.

    Args:
      positives, negatives: at least 0, [S], by ascending score.
    """
    if not positives.any() or not negatives.any():
        return None
    below = np.cumsum(negatives) - negatives
    wins = (positives * (below + negatives / 2)).sum()
    return float(wins / positives.sum() / negatives.sum())


def auc_of_ranks(labels: NDArray[Any], ranks: NDArray[Any]) -> float | None:
    """`auc` of scores that are whole numbers of at least 0.

    Args:
      labels: bool [N].
      ranks: int [N], or what `np.unique` numbers other scores.
    """
    positives = np.bincount(ranks[labels], minlength=int(ranks.max(initial=0)) + 1)
    return auc_of_counts(positives, np.bincount(ranks, minlength=len(positives)) - positives)
