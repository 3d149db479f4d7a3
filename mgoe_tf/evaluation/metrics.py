"""Exact ranking metrics and losses of predictions, in NumPy.

A ranking metric needs one sort of all rows. User, score and label are packed into one uint64 a row,
which NumPy sorts in place: ten million rows take seconds and some hundred megabytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

_SCORE_BITS = 32
_LABEL_BITS = 1
_USER_SHIFT = _SCORE_BITS + _LABEL_BITS


def _packed(labels: np.ndarray, scores: np.ndarray, users: np.ndarray | None) -> np.ndarray:
    """uint64 [N], ascending: user, then score, then label."""
    if scores.dtype != np.float32:
        raise ValueError(f"scores: must be float32, got {scores.dtype}")
    if np.isnan(scores).any():
        raise ValueError("scores: must be numbers, got NaN")
    bits = (scores + np.float32(0)).view(np.uint32)  # -0.0 becomes 0.0, its equal
    # floats compare as their bits do once negative ones are flipped and positive ones moved above
    negative = bits >> np.uint32(31) == 1
    bits ^= np.where(negative, np.uint32(0xFFFFFFFF), np.uint32(0x80000000))
    keys = bits.astype(np.uint64)
    keys <<= np.uint64(_LABEL_BITS)
    keys |= (labels > 0).astype(np.uint64)
    if users is not None:
        keys |= users.astype(np.uint64) << np.uint64(_USER_SHIFT)
    keys.sort()
    return keys


def _areas(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
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


def auc(labels: np.ndarray, scores: np.ndarray) -> float | None:
    """Area under the ROC curve: how likely a positive row scores above a negative one.

    Args:
      labels: 0 or 1, [N].
      scores: float32 [N]; ties count one half.

    Returns:
      None where only one class is there.
    """
    return gauc(labels, scores, None)


def gauc(labels: np.ndarray, scores: np.ndarray, users: np.ndarray | None) -> float | None:
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


def logloss(labels: np.ndarray, logits: np.ndarray) -> float | None:
    """Mean binary cross-entropy, from logits so that no probability is rounded to 0 or 1."""
    if not len(labels):
        return None
    logits = logits.astype(np.float64)
    losses = np.logaddexp(0.0, logits)
    losses -= np.multiply(logits, labels, out=logits)
    return float(losses.mean())


def normalized_entropy(labels: np.ndarray, logits: np.ndarray) -> float | None:
    """Logloss over that of always predicting the mean label; None where there is one class."""
    rate = labels.mean(dtype=np.float64) if len(labels) else 0.0
    if not 0 < rate < 1:
        return None
    entropy = -(rate * np.log(rate) + (1 - rate) * np.log1p(-rate))
    loss = logloss(labels, logits)
    assert loss is not None
    return float(loss / entropy)


def calibration(labels: np.ndarray, logits: np.ndarray) -> float | None:
    """Mean prediction over mean label; None where no label is positive."""
    positives = np.count_nonzero(labels)
    if not positives:
        return None
    predictions = np.exp(-np.logaddexp(0.0, -logits.astype(np.float64)))
    return float(predictions.sum() / positives)


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def report(
    split: str,
    labels: Mapping[str, np.ndarray],
    logits: Mapping[str, np.ndarray],
    users: np.ndarray,
    slices: Mapping[str, np.ndarray],
) -> dict[str, Any]:
    """The contents of metrics.json.

    Args:
      split: name of the rows' window.
      labels: by task, int8 [N]: 0, 1, or -1 where the row does not tell.
      logits: by task, float32 [N].
      users: row of each row's user in the vocabulary, int [N].
      slices: by name, bool [N].

    Returns:
      Numbers, or None where a metric is undefined (one class, no rows).
    """
    tasks, parts = {}, {name: {} for name in slices}  # type: ignore[var-annotated]
    for task, task_labels in labels.items():
        known = task_labels >= 0
        y, z = task_labels[known], logits[task][known]
        tasks[task] = {
            "auc": auc(y, z),
            "gauc": gauc(y, z, users[known]),
            "logloss": logloss(y, z),
            "normalized_entropy": normalized_entropy(y, z),
            "calibration": calibration(y, z),
            "positives": int(np.count_nonzero(y)),
        }
        for name, members in slices.items():
            chosen = members[known]
            parts[name][task] = {
                "auc": auc(y[chosen], z[chosen]),
                "logloss": logloss(y[chosen], z[chosen]),
            }
    return {
        "split": split,
        "rows": len(users),
        "tasks": tasks,
        "average": {
            name: _mean([values[name] for values in tasks.values()]) for name in ("auc", "logloss")
        },
        "slices": {
            name: {"rows": int(np.count_nonzero(members)), "tasks": parts[name]}
            for name, members in slices.items()
        },
    }
