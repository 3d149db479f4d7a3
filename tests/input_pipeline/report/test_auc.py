import numpy as np

from input_pipeline.report.auc import auc


def test_hand_worked_auc():
    # Positives 2, 1; negatives 1, 0. Pairs: 2 > 1, 2 > 0, 1 = 1 (half), 1 > 0: 3.5 of 4.
    labels = np.array([True, True, False, False])
    assert auc(np.array([2, 1, 1, 0]), labels) == 3.5 / 4
    assert auc(np.array([2, 1]), np.array([True, True])) is None
