"""Influences against finite differences, and errors against a bootstrap that draws."""

import math

import numpy as np
import pytest

from mgoe_tf.evaluation import metrics, user_errors


def weighted_auc(labels: np.ndarray, logits: np.ndarray, weights: np.ndarray) -> float:
    """By every pair of a positive and a negative row."""
    positive, negative = labels == 1, labels == 0
    better = np.sign(logits[positive][:, None] - logits[negative][None])
    pairs = weights[positive][:, None] * weights[negative][None]
    return float(((better + 1) / 2 * pairs).sum() / pairs.sum())


def weighted_logloss(labels: np.ndarray, logits: np.ndarray, weights: np.ndarray) -> float:
    return float(np.average(np.logaddexp(0, logits) - labels * logits, weights=weights))


WEIGHTED = {"auc": weighted_auc, "logloss": weighted_logloss}


def rows_of_users(seed: int, users: int = 80) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, logits and users; a user's rows are alike in both."""
    random = np.random.default_rng(seed)
    sizes = random.integers(1, 12, users)
    user = np.repeat(np.arange(users), sizes)
    taste = random.normal(size=users)[user]
    labels = (random.random(len(user)) < 1 / (1 + np.exp(-taste))).astype(np.int8)
    logits = (taste + random.normal(size=len(user))).round(1)
    return labels, logits.astype(np.float32), user


@pytest.mark.parametrize("metric", ["auc", "logloss"])
def test_an_influence_is_what_a_row_moves(metric: str) -> None:
    labels, logits, _ = rows_of_users(0)
    found = user_errors.INFLUENCES[metric](labels, logits)
    assert found.sum() == pytest.approx(0, abs=1e-9)
    logits = logits.astype(np.float64)
    ones, step = np.ones(len(labels)), 1e-6
    before = WEIGHTED[metric](labels, logits, ones)
    for row in range(0, len(labels), 17):
        weights = ones.copy()
        weights[row] += step
        moved = (WEIGHTED[metric](labels, logits, weights) - before) / step
        assert found[row] == pytest.approx(moved, abs=1e-6)


@pytest.mark.parametrize("metric", ["auc", "logloss"])
def test_the_deviation_is_that_of_a_bootstrap_over_users(metric: str) -> None:
    labels, logits, users = rows_of_users(1)
    _, others, _ = rows_of_users(2)
    others = (logits + 0.3 * np.resize(others, len(logits))).astype(np.float32)
    of_users = [
        user_errors.by_user(user_errors.INFLUENCES[metric](labels, values), users)
        for values in (logits, others)
    ]
    random = np.random.default_rng(3)
    drawn = []
    for _ in range(500):
        weights = np.bincount(random.integers(0, 80, 80), minlength=80)[users].astype(float)
        drawn.append([WEIGHTED[metric](labels, v.astype(float), weights) for v in (logits, others)])
    first, second = np.array(drawn).T
    assert user_errors.deviation(of_users[0]) == pytest.approx(first.std(), rel=0.15)
    paired = user_errors.deviation(of_users[1] - of_users[0])
    assert paired == pytest.approx((second - first).std(), rel=0.15)
    # what is hard for both cancels
    assert paired < 0.8 * math.hypot(first.std(), second.std())


def test_hand_worked_influences_of_the_auc() -> None:
    labels = np.array([1, 0, 1, 0])
    logits = np.array([2.0, 1.0, 1.0, 0.0], np.float32)
    # wins of the positives: 1 and (1 + 1/2) / 2; of the negatives: 3/4 and 1; AUC 7/8
    expected = [(1 - 7 / 8) / 2, (3 / 4 - 7 / 8) / 2, (3 / 4 - 7 / 8) / 2, (1 - 7 / 8) / 2]
    assert user_errors.of_auc(labels, logits).tolist() == pytest.approx(expected)
    assert metrics.auc(labels, logits) == 7 / 8


def test_one_user_tells_no_deviation() -> None:
    assert math.isnan(user_errors.deviation(np.zeros(1)))
    assert user_errors.by_user(np.array([1.0, 2.0, 4.0]), np.array([7, 3, 7])).tolist() == [2, 5]
