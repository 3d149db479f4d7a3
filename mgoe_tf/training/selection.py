"""By which number of the validation window the epochs of a run are compared.

It is the mean AUC of the tasks. Where the window has labels of one class alone in every task, no
AUC is defined, and it is their mean logloss; without any label the latest epoch is the best.
Which of them it is depends on the labels alone, so it is the same in all epochs of a run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CRITERIA = ("auc", "logloss", "epoch")


def criterion(metrics: Mapping[str, Any]) -> str:
    """One of CRITERIA, for the contents of metrics.json."""
    average = metrics["average"]
    return next((name for name in ("auc", "logloss") if average[name] is not None), "epoch")


def score(metrics: Mapping[str, Any], epoch: int) -> float:
    """The higher, the better, within a run.

    Args:
      metrics: of the validation window.
      epoch: after which they were taken.
    """
    name = criterion(metrics)
    if name == "epoch":
        return float(epoch)
    value: float = metrics["average"][name]
    return value if name == "auc" else -value


def warning(metrics: Mapping[str, Any]) -> str | None:
    """What whoever relies on the comparison has to know; None where AUC decides."""
    name = criterion(metrics)
    if name == "auc":
        return None
    positives = ", ".join(
        f"{task} {values.get('positives', 0):,}" for task, values in metrics["tasks"].items()
    )
    decides = {
        "logloss": "the mean logloss decides which epoch is the best",
        "epoch": "the latest epoch is taken for the best",
    }
    return (
        f"the validation window has one class in every task ({metrics['rows']:,} rows; positive: "
        f"{positives}), so that AUC is undefined there: {decides[name]}. More rows, or other "
        "--cuts in preparation, would tell more"
    )
