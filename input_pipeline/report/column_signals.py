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
_NO_ID = -1


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


@dataclasses.dataclass(frozen=True)
class _SeenIds:
    """The rows of ids so far, M of which had any.

    Attributes:
      ids: ascending, [M].
      counts: positive and negative rows of each, [2, T, M + 1]; the last are of no id, zeros.
    """

    ids: NDArray[Any]
    counts: NDArray[Any]

    @classmethod
    def nothing(cls, num_tasks: int) -> _SeenIds:
        return cls(np.zeros(0, np.int64), np.zeros((2, num_tasks, 1)))

    def places(self, ids: NDArray[Any]) -> NDArray[Any]:
        """Where ids lie, M for those that had no rows; int64, as `ids`."""
        if not len(self.ids):
            return np.zeros(len(ids), np.int64)
        place = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
        return np.where(self.ids[place] == ids, place, len(self.ids))

    def and_more(self, ids: NDArray[Any], counts: NDArray[Any]) -> _SeenIds:
        """With rows of ids, ascending [M'], and what they are, [2, T, M']."""
        joined = np.union1d(self.ids, ids)
        total = np.zeros((*self.counts.shape[:2], len(joined) + 1))
        total[:, :, np.searchsorted(joined, self.ids)] = self.counts[:, :, :-1]
        total[:, :, np.searchsorted(joined, ids)] += counts
        return _SeenIds(joined, total)


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
        self._seen = {
            feature.name: _SeenIds.nothing(len(spec.tasks))
            for feature in self._features
            if feature.role == "side"
        }

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
        seen = self._seen[feature.name]
        positives, negatives = seen.counts
        total = positives + negatives
        ids = column.values if isinstance(column, DenseColumn) else column.arrays["rows"]
        places = seen.places(ids)
        nothing = seen.places(np.array([_NO_ID]))

        def ranking(task: int) -> Ranking | None:
            # The lists of an id overlap, so the mean is not quite that of the rows.
            mean = positives[task].sum() / max(1.0, total[task].sum())
            # [M + 1]; the last is that of ids without rows
            rates = (positives[task] + _PRIOR_ROWS * mean) / (total[task] + _PRIOR_ROWS)
            if isinstance(column, DenseColumn):
                return outcomes.ranking(rates[places], task)
            entries = rates[places]
            lengths = np.diff(column.indptr)
            sums = np.diff(np.append(0.0, np.cumsum(entries))[column.indptr])
            # Rounded, as equal lists have sums that differ in the last digits.
            means = np.where(lengths > 0, sums / np.maximum(lengths, 1), rates[nothing])
            means = np.round(means, 9)
            return outcomes.ranking(means, task)

        return self._by_task(ranking)

    def _take_in(self, feature: Feature, column: Column, outcomes: _Outcomes) -> None:
        if isinstance(column, ListColumn):
            lengths = np.diff(column.indptr)
            # Of an empty list, the entry of no id.
            ids = np.concatenate([column.arrays["rows"], np.full((lengths == 0).sum(), _NO_ID)])
            entries = np.concatenate(
                [np.repeat(np.arange(len(column)), lengths), np.flatnonzero(lengths == 0)]
            )
        else:
            ids, entries = column.values, np.arange(len(column))
        found, place = np.unique(ids, return_inverse=True)
        counts = np.array(
            [
                [np.bincount(place, of_task[entries], len(found)) for of_task in of_sign]
                for of_sign in (outcomes.positives, outcomes.negatives)
            ]
        )
        self._seen[feature.name] = self._seen[feature.name].and_more(found, counts)

    def _by_task(self, ranking: Callable[[int], Ranking | None]) -> dict[str, Ranking | None]:
        return {name: ranking(task) for task, name in enumerate(self._spec.task_names)}
