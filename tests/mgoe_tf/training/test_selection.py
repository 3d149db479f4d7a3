"""By what epochs are compared."""

import pytest

from mgoe_tf.training import selection


def _metrics(auc: float | None, logloss: float | None) -> dict:
    tasks = {"click": {"auc": auc, "logloss": logloss, "positives": 0}}
    return {"rows": 1200, "tasks": tasks, "average": {"auc": auc, "logloss": logloss}}


@pytest.mark.parametrize(
    ("auc", "logloss", "criterion", "score"),
    [(0.7, 0.5, "auc", 0.7), (None, 0.5, "logloss", -0.5), (None, None, "epoch", 3.0)],
)
def test_auc_then_logloss_then_the_latest(auc, logloss, criterion, score) -> None:
    metrics = _metrics(auc, logloss)
    assert selection.criterion(metrics) == criterion
    assert selection.score(metrics, 3) == score
    warning = selection.warning(metrics)
    assert (warning is None) == (criterion == "auc")
    if warning is not None:
        assert "one class in every task (1,200 rows; positive: click 0)" in warning
        assert ("logloss decides" in warning) == (criterion == "logloss")
