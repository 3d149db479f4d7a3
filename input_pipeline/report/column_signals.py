"""What single columns of features say of the labels, before any model.

Axes: E entries of a table (nodes of a window, or events that tell contexts), T tasks, V ids.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from input_pipeline.exact_auc import auc_of_counts
from input_pipeline.feature import Feature
from input_pipeline.features.registry import value_names
from input_pipeline.graph.node_table import Column, DenseColumn, ListColumn, NodeTable
from input_pipeline.log.rows import Rows
from input_pipeline.report.ranking import Ranking, effective
from input_pipeline.report.window_statistics import Rankings
from input_pipeline.spec import INPUT_OWNERS, DatasetSpec

# As many rows of the mean rate are added to those of each id, so that rare ids say little.
_PRIOR_ROWS = 20.0


@dataclasses.dataclass(frozen=True)
class _Outcomes:
    """How many rows of each entry are positive, and how many negative: int64 [T, E] each."""

    positives: NDArray[Any]
    negatives: NDArray[Any]

    @classmethod
    def of(cls, rows: Rows, places: NDArray[Any], size: int, num_tasks: int) -> _Outcomes:
        counts = np.zeros((2, num_tasks, size), np.int64)
        for task in range(num_tasks):
            bit = np.uint32(task)
            labelled = ((rows.unlabeled >> bit) & np.uint32(1)) == 0
            positive = ((rows.positive >> bit) & np.uint32(1)) == 1
            for sign, chosen in enumerate((positive, labelled & ~positive)):
                counts[sign, task] = np.bincount(places[chosen], minlength=size)
        return cls(*counts)

    def take(self, entries: NDArray[Any]) -> _Outcomes:
        return _Outcomes(self.positives[:, entries], self.negatives[:, entries])

    def ranking(self, scores: NDArray[Any], task: int) -> Ranking | None:
        """Of the rows, given a score an entry, [E]; ties count half, None with one class."""
        _, ranks = np.unique(scores, return_inverse=True)
        positives, negatives = self.positives[task], self.negatives[task]
        auc = auc_of_counts(np.bincount(ranks, positives), np.bincount(ranks, negatives))
        return None if auc is None else Ranking(auc, effective(positives), effective(negatives))


class ColumnSignals:
    """How one column after another ranks the rows, window by window.

    A number ranks rows by its value, and where some have none, whether it is missing is a signal of
    its own. An id ranks rows by the share of positive rows that it had in *earlier* windows, so
    that rare ids cannot know the labels that they rank; of several ids the mean share counts.

    Args:
      spec: of the data set.
    """

    def __init__(self, spec: DatasetSpec):
        self._spec = spec
        self._features = [
            feature
            for owner in INPUT_OWNERS
            for feature in spec.select(owner)
            if feature.role in ("side", "numeric")
        ]
        # [2, T, V + 1]: positive and negative rows of each id so far; the last is of no id.
        self._seen = {
            feature.name: np.zeros((2, len(spec.tasks), self._size(feature) + 1))
            for feature in self._features
            if feature.role == "side"
        }

    def _size(self, feature: Feature) -> int:
        assert feature.vocabulary is not None
        return self._spec.vocabulary(feature.vocabulary).size

    def add(
        self, rows: Rows, tables: Mapping[str, NodeTable], places: Mapping[str, NDArray[Any]]
    ) -> Rankings:
        """Takes in a window's rows, and returns how they are ranked by what came before.

        Args:
          rows: R of them.
          tables: by owner, what they read.
          places: by owner, the entry of each row, [R].

        Returns:
          By signal and task.
        """
        aucs: Rankings = {}
        outcomes: dict[str, _Outcomes] = {}
        for feature in self._features:
            column = tables[feature.owner][feature.column]
            if feature.owner not in outcomes:
                place = places[feature.owner]
                outcomes[feature.owner] = _Outcomes.of(
                    rows, place, len(column), len(self._spec.tasks)
                )
            found = outcomes[feature.owner]
            if feature.role == "numeric":
                assert isinstance(column, DenseColumn)
                aucs |= self._of_number(feature, column, found)
            else:
                aucs[feature.name] = self._of_ids(feature, column, found)
                self._take_in(feature, column, found)
        return aucs

    def _of_number(self, feature: Feature, column: DenseColumn, outcomes: _Outcomes) -> Rankings:
        aucs: Rankings = {}
        # [E, W]
        values = column.values.reshape(len(column), -1)
        names = value_names(feature, self._spec.task_names)
        for entry in range(values.shape[1]):
            name = names[entry]
            there = ~np.isnan(values[:, entry])
            known = outcomes.take(np.flatnonzero(there))
            aucs[name] = self._by_task(functools.partial(known.ranking, values[there, entry]))
            if not there.all():
                missing = functools.partial(outcomes.ranking, ~there)
                aucs[f"{name} is missing"] = self._by_task(missing)
        return aucs

    def _of_ids(
        self, feature: Feature, column: Column, outcomes: _Outcomes
    ) -> dict[str, Ranking | None]:
        positives, negatives = self._seen[feature.name]
        total = positives + negatives

        def ranking(task: int) -> Ranking | None:
            # [V + 1]; the lists of an id overlap, so the mean is not quite that of the rows.
            mean = positives[task].sum() / max(1.0, total[task].sum())
            rates = (positives[task] + _PRIOR_ROWS * mean) / (total[task] + _PRIOR_ROWS)
            if isinstance(column, DenseColumn):
                return outcomes.ranking(rates[column.values], task)
            entries = rates[column.arrays["rows"]]
            lengths = np.diff(column.indptr)
            sums = np.diff(np.append(0.0, np.cumsum(entries))[column.indptr])
            # Rounded, as equal lists have sums that differ in the last digits.
            means = np.round(np.where(lengths > 0, sums / np.maximum(lengths, 1), rates[-1]), 9)
            return outcomes.ranking(means, task)

        return self._by_task(ranking)

    def _take_in(self, feature: Feature, column: Column, outcomes: _Outcomes) -> None:
        seen = self._seen[feature.name]
        if isinstance(column, ListColumn):
            lengths = np.diff(column.indptr)
            # Of an empty list, the entry of no id.
            ids = np.concatenate([column.arrays["rows"], np.full((lengths == 0).sum(), -1)])
            entries = np.concatenate(
                [np.repeat(np.arange(len(column)), lengths), np.flatnonzero(lengths == 0)]
            )
        else:
            ids, entries = column.values, np.arange(len(column))
        ids = np.where(ids < 0, seen.shape[2] - 1, ids)
        for sign, counts in enumerate((outcomes.positives, outcomes.negatives)):
            for task in range(seen.shape[1]):
                seen[sign, task] += np.bincount(ids, counts[task][entries], seen.shape[2])

    def _by_task(self, ranking: Callable[[int], Ranking | None]) -> dict[str, Ranking | None]:
        return {name: ranking(task) for task, name in enumerate(self._spec.task_names)}
