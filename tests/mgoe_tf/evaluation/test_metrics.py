"""Metrics against hand-worked numbers and scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from mgoe_tf.evaluation import metrics
from tests.input_pipeline.test_exact_auc import LABELS, SCORES, random_rows


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


def test_auprc_by_hand() -> None:
    labels = np.array([1, 0, 1, 0, 1], np.int8)
    logits = np.array([4, 3, 2, 2, 1], np.float32)
    # thresholds 4, 3, 2, 1: recall 1/3, 1/3, 2/3, 1 and precision 1, 1/2, 2/4, 3/5
    assert metrics.auprc(labels, logits) == pytest.approx(1 / 3 + (2 / 4) / 3 + (3 / 5) / 3)
    assert metrics.auprc(labels * 0, logits) is None
    assert metrics.auprc(labels[:0], logits[:0]) is None
    assert metrics.auprc(np.ones(5, np.int8), logits) == 1.0
    # all alike: the share of positives
    assert metrics.auprc(labels, np.zeros(5, np.float32)) == pytest.approx(3 / 5)


def test_auprc_equals_scikit_learn() -> None:
    labels, logits, _ = random_rows()
    expected = sklearn_metrics.average_precision_score(labels, logits)
    assert metrics.auprc(labels, logits) == pytest.approx(expected, abs=1e-12)
    rounded = np.round(logits)
    expected = sklearn_metrics.average_precision_score(labels, rounded)
    assert metrics.auprc(labels, rounded) == pytest.approx(expected, abs=1e-12)
