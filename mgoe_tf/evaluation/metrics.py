"""Metrics of predictions, in NumPy; ranking metrics are exact."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from input_pipeline.exact_auc import auc, gauc


def logloss(labels: NDArray[Any], logits: NDArray[Any]) -> float | None:
    """Mean binary cross-entropy, from logits so that no probability is rounded to 0 or 1."""
    if not len(labels):
        return None
    logits = logits.astype(np.float64)
    losses = np.logaddexp(0.0, logits)
    losses -= np.multiply(logits, labels, out=logits)
    return float(losses.mean())


def normalized_entropy(labels: NDArray[Any], logits: NDArray[Any]) -> float | None:
    """Logloss over that of always predicting the mean label; None where there is one class."""
    rate = labels.mean(dtype=np.float64) if len(labels) else 0.0
    if not 0 < rate < 1:
        return None
    entropy = -(rate * np.log(rate) + (1 - rate) * np.log1p(-rate))
    loss = logloss(labels, logits)
    assert loss is not None
    return float(loss / entropy)


def calibration(labels: NDArray[Any], logits: NDArray[Any]) -> float | None:
    """Mean prediction over mean label; None where no label is positive."""
    positives = np.count_nonzero(labels)
    if not positives:
        return None
    predictions = np.exp(-np.logaddexp(0.0, -logits.astype(np.float64)))
    return float(predictions.sum() / positives)


def auprc(labels: NDArray[Any], logits: NDArray[Any]) -> float | None:
    """Area under the precision-recall curve as average precision; None where no label is positive.

    sum_k (recall_k - recall_{k-1}) precision_k over the distinct logits from the highest down: rows
    of one logit enter together, and nothing is interpolated. By chance it is the positives' share.
    """
    if not np.count_nonzero(labels):
        return None
    order = np.argsort(-logits, kind="stable")
    ordered = logits[order]
    # last: where a run of equal logits ends
    last = np.append(np.flatnonzero(ordered[1:] != ordered[:-1]), len(ordered) - 1)
    found = np.cumsum(labels[order] > 0, dtype=np.int64)[last]
    gained = np.diff(found, prepend=0)
    return float((gained * (found / (last + 1))).sum() / found[-1])


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def report(
    split: str,
    labels: Mapping[str, NDArray[Any]],
    logits: Mapping[str, NDArray[Any]],
    users: NDArray[Any],
    slices: Mapping[str, NDArray[Any]],
    averaged: Collection[str] | None = None,
) -> dict[str, Any]:
    """The contents of metrics.json.

    Args:
      split: name of the rows' window.
      labels: by task, int8 [N]: 0, 1, or -1 where the row does not tell.
      logits: by task, float32 [N].
      users: row of each row's user in the vocabulary, int [N].
      slices: by name, bool [N].
      averaged: the tasks of the averages; None: all.

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
            "auprc": auprc(y, z),
            "positives": int(np.count_nonzero(y)),
            "labels": len(y),
        }
        for name, members in slices.items():
            chosen = members[known]
            parts[name][task] = {
                "auc": auc(y[chosen], z[chosen]),
                "logloss": logloss(y[chosen], z[chosen]),
                "positives": int(np.count_nonzero(y[chosen])),
            }
    averaged_tasks = [task for task in tasks if averaged is None or task in averaged]
    return {
        "split": split,
        "rows": len(users),
        "tasks": tasks,
        "average": {
            name: _mean([tasks[task][name] for task in averaged_tasks])
            for name in ("auc", "logloss")
        },
        "averaged_tasks": averaged_tasks,
        "slices": {
            name: {"rows": int(np.count_nonzero(members)), "tasks": parts[name]}
            for name, members in slices.items()
        },
    }
