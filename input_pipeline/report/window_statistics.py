"""What the rows of one window are: how many, with which labels, and what single numbers win."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from input_pipeline.exact_auc import auc_of_ranks
from input_pipeline.log.rows import Rows
from input_pipeline.report.ranking import Ranking

Rankings = dict[str, dict[str, Ranking | None]]
SIGNALS = ("item cold", "user cold", "pair touched before", "item popularity")


def signals(
    rows: Rows,
    macro: Mapping[str, NDArray[Any]],
    touched: NDArray[Any],
    num_items: int,
    events_of_item: NDArray[Any],
) -> dict[str, NDArray[Any]]:
    """What is told of a row without knowing its user or item, int64 [R] by name of SIGNALS.

    Args:
      rows: of one window.
      macro: by owner, the macro node of each node as the window sees it, -1 for cold ones.
      touched: ascending keys, user * num_items + item, of the pairs logged before the window.
      num_items: of the whole log.
      events_of_item: events before the window.
    """
    before = np.zeros(len(rows), np.int64)
    logged = np.flatnonzero(~rows.sampled)
    if len(touched):
        keys = rows.user[logged].astype(np.int64) * num_items + rows.item[logged]
        index = np.minimum(np.searchsorted(touched, keys), len(touched) - 1)
        before[logged] = touched[index] == keys
    values = (
        macro["item"][rows.item] < 0,
        macro["user"][rows.user] < 0,
        before,
        events_of_item[rows.item],
    )
    return {name: value.astype(np.int64) for name, value in zip(SIGNALS, values, strict=True)}


@dataclasses.dataclass(frozen=True)
class WindowStatistics:
    """One window's rows.

    Attributes:
      name: of the window.
      rows: how many.
      positives, labels: how many by task.
      aucs: how well single numbers rank the rows, by signal and task; None: of one class.
      users: how many different ones the rows are of.
    """

    name: str
    rows: int
    positives: dict[str, int]
    labels: dict[str, int]
    aucs: Rankings
    users: int = 0

    def rate(self, task: str) -> float:
        return self.positives[task] / max(1, self.labels[task])


def window_statistics(
    name: str, rows: Rows, tasks: Sequence[str], values: dict[str, NDArray[Any]]
) -> WindowStatistics:
    """Counts one window's rows; `values` are its signals, or none for history."""
    positives, labels = {}, {}
    aucs: Rankings = {signal: {} for signal in values}
    for bit, task in enumerate(tasks):
        labelled = ((rows.unlabeled >> np.uint32(bit)) & np.uint32(1)) == 0
        positive = ((rows.positive >> np.uint32(bit)) & np.uint32(1)) == 1
        positives[task], labels[task] = int(positive.sum()), int(labelled.sum())
        for signal, value in values.items():
            auc = auc_of_ranks(positive[labelled], value[labelled])
            aucs[signal][task] = (
                None
                if auc is None
                else Ranking(auc, positives[task], labels[task] - positives[task])
            )
    users = int(np.count_nonzero(np.bincount(rows.user)))
    return WindowStatistics(name, len(rows), positives, labels, aucs, users)
