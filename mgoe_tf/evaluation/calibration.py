"""Whether probabilities can be believed: what was predicted, and what came."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_QUANTILE = 1.959964


class Bin(NamedTuple):
    """Rows of about the same prediction.

    Attributes:
      rows: how many.
      predicted: their mean predicted probability.
      observed: the share that is positive.
      low, high: the 95 % interval of that share (Wilson).
    """

    rows: int
    predicted: float
    observed: float
    low: float
    high: float


def reliability(labels: NDArray[Any], logits: NDArray[Any], bins: int = 10) -> list[Bin]:
    """The rows in bins of equal size, from the smallest prediction to the largest.

    Args:
      labels: 0 or 1, [N].
      logits: [N].
      bins: how many, where there are as many rows; rows of one logit stay together.
    """
    if bins < 1:
        raise ValueError(f"bins: must be at least 1, got {bins}")
    if not len(labels):
        return []
    order = np.argsort(logits, kind="stable")
    labels, logits = labels[order], logits[order].astype(np.float64)
    predictions = np.exp(-np.logaddexp(0.0, -logits))
    ends = np.linspace(0, len(labels), bins + 1).round().astype(int)[1:]
    # to the end of the rows of the last one's logit
    ends = np.unique(np.searchsorted(logits, logits[np.maximum(ends - 1, 0)], "right"))
    starts = np.append(0, ends[:-1])
    rows = ends - starts
    positives = np.add.reduceat(labels.astype(np.int64), starts)
    predicted = np.add.reduceat(predictions, starts) / rows
    return [
        Bin(n, mean, k / n, *wilson(k, n))
        for n, mean, k in zip(rows.tolist(), predicted.tolist(), positives.tolist(), strict=True)
    ]


def wilson(positives: int, rows: int) -> tuple[float, float]:
    """The 95 % interval of a share, from how many of how many there were."""
    share, z2 = positives / rows, _QUANTILE**2
    middle = (share + z2 / (2 * rows)) / (1 + z2 / rows)
    half = _QUANTILE / (1 + z2 / rows) * math.sqrt(share * (1 - share) / rows + z2 / (4 * rows**2))
    return max(0.0, middle - half), min(1.0, middle + half)
