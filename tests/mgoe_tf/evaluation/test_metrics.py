"""Metrics against hand-worked numbers and scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from mgoe_tf.evaluation import metrics

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
    assert metrics.auc(LABELS, SCORES) == 3.5 / 4


@pytest.mark.parametrize("values", [1, 3, 50, 10**6])
def test_auc_equals_scikit_learn_with_ties(values: int) -> None:
    labels, logits, _ = random_rows(values=values)
    expected = sklearn_metrics.roc_auc_score(labels, logits)
    assert metrics.auc(labels, logits) == pytest.approx(expected, abs=1e-9)


def test_gauc_equals_a_loop_over_users() -> None:
    labels, logits, users = random_rows(users=700)
    total = weight = 0.0
    for user in np.unique(users):
        mine = users == user
        if len(np.unique(labels[mine])) == 2:
            total += mine.sum() * sklearn_metrics.roc_auc_score(labels[mine], logits[mine])
            weight += mine.sum()
    assert 0 < weight < len(users)
    assert metrics.gauc(labels, logits, users) == pytest.approx(total / weight, abs=1e-9)


def test_gauc_by_hand() -> None:
    # user 7: one pair, won; user 2^31 - 1: two pairs, one lost, one tied: 0.25, of three rows;
    # user 3 has one class
    users = np.array([7, 7, 2**31 - 1, 2**31 - 1, 2**31 - 1, 3])
    scores = np.array([2, 1, 5, 5, 6, 9], np.float32)
    labels = np.array([1, 0, 1, 0, 0, 1], np.int8)
    assert metrics.gauc(labels, scores, users) == (2 * 1.0 + 3 * 0.25) / 5


def test_losses_equal_scikit_learn() -> None:
    labels, logits, _ = random_rows()
    predictions = 1 / (1 + np.exp(-logits.astype(np.float64)))
    expected = sklearn_metrics.log_loss(labels, predictions)
    assert metrics.logloss(labels, logits) == pytest.approx(expected, abs=1e-9)
    entropy = sklearn_metrics.log_loss(labels, np.full(len(labels), labels.mean()))
    entropy = expected / entropy
    assert metrics.normalized_entropy(labels, logits) == pytest.approx(entropy, abs=1e-9)
    ratio = predictions.mean() / labels.mean()
    assert metrics.calibration(labels, logits) == pytest.approx(ratio, abs=1e-9)


def test_logloss_of_extreme_logits_is_finite() -> None:
    labels = np.array([0, 1], np.int8)
    assert metrics.logloss(labels, np.array([500, -500], np.float32)) == 500


@pytest.mark.parametrize("labels", [[0, 0], [1, 1], []])
def test_one_class_has_no_auc(labels: list[int]) -> None:
    y, z = np.array(labels, np.int8), np.arange(len(labels), dtype=np.float32)
    assert metrics.auc(y, z) is None
    assert metrics.gauc(y, z, np.zeros(len(y), int)) is None
    assert metrics.normalized_entropy(y, z) is None


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (np.zeros(2), "must be float32, got float64"),
        (np.array([np.nan, 0], np.float32), "must be numbers, got NaN"),
    ],
)
def test_scores_are_checked(scores: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        metrics.auc(np.array([0, 1], np.int8), scores)


def test_report_leaves_unlabelled_rows_and_one_class_tasks_out() -> None:
    labels = {"click": LABELS, "like": np.array([-1, 1, 0, -1], np.int8), "buy": LABELS * 0}
    logits = dict.fromkeys(labels, SCORES)
    first = np.array([True, True, False, False])
    report = metrics.report("test", labels, logits, np.array([0, 0, 1, 1]), {"first": first})
    assert report["rows"] == 4
    assert report["tasks"]["click"]["auc"] == 3.5 / 4
    assert report["tasks"]["like"]["auc"] == 1.0
    assert report["tasks"]["like"]["positives"] == 1
    assert report["tasks"]["buy"]["auc"] is None
    assert report["tasks"]["buy"]["calibration"] is None
    assert report["average"]["auc"] == (3.5 / 4 + 1) / 2
    part = report["slices"]["first"]
    assert part["rows"] == 2
    assert part["tasks"]["click"]["auc"] is None
    expected = np.mean(np.log1p(np.exp(-SCORES[:2].astype(float))))
    assert part["tasks"]["click"]["logloss"] == pytest.approx(expected, abs=1e-12)
