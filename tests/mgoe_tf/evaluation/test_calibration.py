"""Reliability bins and Wilson intervals, hand-worked."""

import math

import numpy as np
import pytest

from mgoe_tf.evaluation.calibration import reliability, wilson


def logits_of(predictions: list[float]) -> np.ndarray:
    p = np.array(predictions)
    return np.log(p / (1 - p)).astype(np.float32)


def test_rows_are_binned_by_their_predictions() -> None:
    labels = np.array([1, 0, 0, 1, 1, 0], np.int8)
    bins = reliability(labels, logits_of([0.9, 0.1, 0.2, 0.3, 0.8, 0.4]), bins=3)
    # in order: 0.1 and 0.2, both 0; 0.3 and 0.4, 1 and 0; 0.8 and 0.9, both 1
    assert [one.rows for one in bins] == [2, 2, 2]
    assert [one.predicted for one in bins] == pytest.approx([0.15, 0.35, 0.85])
    assert [one.observed for one in bins] == [0.0, 0.5, 1.0]
    assert all(one.low <= one.observed <= one.high for one in bins)


def test_rows_of_one_prediction_stay_together() -> None:
    labels = np.array([1, 0, 0, 1, 1], np.int8)
    bins = reliability(labels, logits_of([0.2, 0.2, 0.2, 0.2, 0.6]), bins=5)
    assert [(one.rows, one.observed) for one in bins] == [(4, 0.5), (1, 1.0)]


def test_bins_hold_every_row_once() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(size=1003).round(1).astype(np.float32)
    labels = random.integers(0, 2, 1003).astype(np.int8)
    bins = reliability(labels, logits)
    assert sum(one.rows for one in bins) == 1003
    assert sum(one.rows * one.observed for one in bins) == pytest.approx(labels.sum())
    predictions = 1 / (1 + np.exp(-logits.astype(float)))
    assert sum(one.rows * one.predicted for one in bins) == pytest.approx(predictions.sum())
    assert [one.predicted for one in bins] == sorted(one.predicted for one in bins)


def test_no_rows_have_no_bins_and_none_at_all_is_refused() -> None:
    assert reliability(np.zeros(0, np.int8), np.zeros(0, np.float32)) == []
    with pytest.raises(ValueError, match="bins: must be at least 1, got 0"):
        reliability(np.zeros(1, np.int8), np.zeros(1, np.float32), bins=0)


@pytest.mark.parametrize(("positives", "rows"), [(3, 10), (50, 60), (1, 1000)])
def test_wilson_bounds_solve_their_equation(positives: int, rows: int) -> None:
    share = positives / rows
    for bound in wilson(positives, rows):
        deviation = math.sqrt(bound * (1 - bound) / rows)
        assert abs(share - bound) == pytest.approx(1.959964 * deviation)
    assert wilson(0, 7)[0] == 0.0
    assert wilson(7, 7)[1] == 1.0
