"""AUC against hand-worked numbers and scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from input_pipeline.exact_auc import auc, auc_of_counts, auc_of_ranks, gauc

# scores      0.1  0.4  0.4  0.8      positives 0.4 and 0.8; pairs won: 0.4 beats 0.1 and ties 0.4,
# labels      0    0    1    1        0.8 beats both: 3.5 of 4
SCORES = np.array([0.4, 0.8, 0.1, 0.4], np.float32)
LABELS = np.array([1, 1, 0, 0], np.int8)


def random_rows(n: int = 3000, users: int = 40, values: int = 50, seed: int = 0):
    """Labels, logits with many ties (and signed zeros), and users of n rows."""
    rng = np.random.default_rng(seed)
    logits = (rng.integers(-values, values, n) / values * 3).astype(np.float32)
    logits[rng.random(n) < 0.05] = -0.0
    labels = (rng.random(n) < 1 / (1 + np.exp(-logits))).astype(np.int8)
    return labels, logits, rng.integers(0, users, n)


def test_auc_by_hand() -> None:
    assert auc(LABELS, SCORES) == 3.5 / 4


@pytest.mark.parametrize("values", [1, 3, 50, 10**6])
def test_auc_equals_scikit_learn_with_ties(values: int) -> None:
    labels, logits, _ = random_rows(values=values)
    expected = sklearn_metrics.roc_auc_score(labels, logits)
    assert auc(labels, logits) == pytest.approx(expected, abs=1e-9)


def test_gauc_equals_a_loop_over_users() -> None:
    labels, logits, users = random_rows(users=700)
    total = weight = 0.0
    for user in np.unique(users):
        mine = users == user
        if len(np.unique(labels[mine])) == 2:
            total += mine.sum() * sklearn_metrics.roc_auc_score(labels[mine], logits[mine])
            weight += mine.sum()
    assert 0 < weight < len(users)
    assert gauc(labels, logits, users) == pytest.approx(total / weight, abs=1e-9)


def test_gauc_by_hand() -> None:
    # user 7: one pair, won; user 2^31 - 1: two pairs, one lost, one tied: 0.25, of three rows;
    # user 3 has one class
    users = np.array([7, 7, 2**31 - 1, 2**31 - 1, 2**31 - 1, 3])
    scores = np.array([2, 1, 5, 5, 6, 9], np.float32)
    labels = np.array([1, 0, 1, 0, 0, 1], np.int8)
    assert gauc(labels, scores, users) == (2 * 1.0 + 3 * 0.25) / 5


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (np.zeros(2), "must be float32, got float64"),
        (np.array([np.nan, 0], np.float32), "must be numbers, got NaN"),
    ],
)
def test_scores_are_checked(scores: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        auc(np.array([0, 1], np.int8), scores)


def test_ranks_and_counts_give_what_scores_give() -> None:
    labels, scores, _ = random_rows()
    _, ranks = np.unique(scores + np.float32(0), return_inverse=True)
    expected = auc(labels, scores)
    assert auc_of_ranks(labels > 0, ranks) == pytest.approx(expected, abs=1e-12)
    counts = (np.bincount(ranks, labels == label) for label in (1, 0))
    assert auc_of_counts(*counts) == pytest.approx(expected, abs=1e-12)
    assert auc_of_ranks(np.array([True, True]), np.array([2, 1])) is None
