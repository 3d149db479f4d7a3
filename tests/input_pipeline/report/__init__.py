"""Helpers of the tests of the data report."""

import numpy as np


def auc_of(scores: np.ndarray, positives: int) -> float:
    """AUC of distinct scores, of which the first ones are of positive rows."""
    ranks = np.empty(len(scores))
    ranks[np.argsort(scores)] = np.arange(1, len(scores) + 1)
    wins = ranks[:positives].sum() - positives * (positives + 1) / 2
    return float(wins / positives / (len(scores) - positives))
