"""Suite `evaluate`: exact AUC, GAUC and logloss of many rows, beside scikit-learn."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import log_loss, roc_auc_score

from mgoe_tf.evaluation import metrics
from tests.benchmarks.context import Context
from tests.benchmarks.line import Goal, Line
from tests.benchmarks.measure import alternate, peak_memory, seconds

_ROWS_PER_USER = 300
_POSITIVE_RATE = 0.1


def run(context: Context) -> list[Line]:
    """Time and memory of all three metrics, and their distance from scikit-learn's."""
    random = np.random.default_rng(0)
    size = context.scale.evaluated_rows
    labels = (random.random(size) < _POSITIVE_RATE).astype(np.int8)
    logits = (labels + random.standard_normal(size)).astype(np.float32)
    users = random.integers(0, max(1, size // _ROWS_PER_USER), size, dtype=np.int32)
    found: dict[str, dict[str, float]] = {}

    def ours() -> None:
        found["ours"] = {
            "auc": metrics.auc(labels, logits),
            "gauc": metrics.gauc(labels, logits, users),
            "logloss": metrics.logloss(labels, logits),
        }

    def peer() -> None:
        probabilities = 1 / (1 + np.exp(-logits.astype(np.float64)))
        found["peer"] = {
            "auc": roc_auc_score(labels, logits),
            "logloss": log_loss(labels, probabilities),
        }

    with peak_memory() as peak:
        ours()
    samples = alternate({"ours": seconds(ours), "peer": seconds(peer)}, context.scale.rounds)
    found["peer"]["gauc"] = _gauc(labels, logits, users)
    errors = {name: abs(value - found["ours"][name]) for name, value in found["peer"].items()}
    peer_name = "scikit-learn (without GAUC)"
    sizes = {"rows": size, "users": int(users.max()) + 1}
    return [
        Line(
            "AUC, GAUC and logloss", "s", samples["ours"], samples["peer"], peer_name,
            Goal("ours", at_most=30), {**sizes, "found": found["ours"]},
        ),
        Line(
            "peak memory of the process", "GB", [peak.gigabytes], goal=Goal("ours", at_most=1),
            details={**sizes, "before the call": peak.before_gigabytes},
        ),
        Line(
            "largest distance from scikit-learn", "", [max(errors.values())],
            goal=Goal("ours", at_most=1e-9), details=errors,
        ),
    ]  # fmt: skip


def _gauc(labels: np.ndarray, logits: np.ndarray, users: np.ndarray) -> float:
    """scikit-learn's AUC of every user with both labels, weighted by rows."""
    order = np.argsort(users, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(users[order])) + 1)
    areas, weights = [], []
    for rows in parts:
        if 0 < labels[rows].sum() < len(rows):
            areas.append(roc_auc_score(labels[rows], logits[rows]))
            weights.append(len(rows))
    return float(np.average(areas, weights=weights))
