"""The rows of a window and what a model says of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import Any

from numpy.typing import NDArray

from mgoe_tf.evaluation import metrics

# Parts of the rows that are looked at by themselves.
SLICES = ("new_pairs", "repeated_pairs", "cold_item", "cold_user", "warm")


@dataclasses.dataclass(frozen=True)
class Rows:
    """What the model does not change of N rows, in the order of the files.

    Attributes:
      labels: by task, int8 [N]: 0, 1, or -1 where the row does not tell.
      nodes: by owner, `user` and `item`, the rows in the vocabulary of the whole log, int [N]; -1:
        not there.
      macro: by owner, the macro nodes, int32 [N]; -1: none.
      slices: by name, which rows are in it, bool [N].
      unknown: by the name of the id, what `unknown_ids` tells.
    """

    labels: dict[str, NDArray[Any]]
    nodes: dict[str, NDArray[Any]]
    macro: dict[str, NDArray[Any]]
    slices: dict[str, NDArray[Any]]
    unknown: dict[str, Any]

    @property
    def users(self) -> NDArray[Any]:
        """Who each row is of, at least 0: all users of no vocabulary are one, [N]."""
        return self.nodes["user"] + 1


@dataclasses.dataclass(frozen=True)
class Scored:
    """A window's rows and their predictions.

    Attributes:
      split: `validation` or `test`.
      rows: what they are.
      logits: by task, float32 [N].
      averaged: the tasks that enter averages; None: all.
    """

    split: str
    rows: Rows
    logits: dict[str, NDArray[Any]]
    averaged: Collection[str] | None = None

    @property
    def averaged_tasks(self) -> Collection[str]:
        """The tasks that enter averages."""
        return tuple(self.logits) if self.averaged is None else self.averaged

    def metrics(self) -> dict[str, Any]:
        """The contents of metrics.json."""
        rows = self.rows
        report = metrics.report(
            self.split, rows.labels, self.logits, rows.users, rows.slices, self.averaged
        )
        return report | {"unknown_ids": rows.unknown}

    def of_task(self, task: str) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Labels, logits and users of the rows that tell the task's label."""
        known = self.rows.labels[task] >= 0
        return self.rows.labels[task][known], self.logits[task][known], self.rows.users[known]
