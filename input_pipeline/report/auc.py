"""The exact area under the ROC curve."""

from __future__ import annotations

import numpy as np


def auc(scores: np.ndarray, labels: np.ndarray) -> float | None:
    """Ties count half; None where there is only one class.

    Args:
      scores: non-negative integers, [R]; of other numbers their ranks.
      labels: bool [R].
    """
    positives = np.bincount(scores[labels], minlength=int(scores.max(initial=0)) + 1)
    negatives = np.bincount(scores, minlength=len(positives)) - positives
    if not positives.sum() or not negatives.sum():
        return None
    below = np.cumsum(negatives) - negatives
    wins = (positives * (below + negatives / 2)).sum()
    return float(wins / positives.sum() / negatives.sum())
