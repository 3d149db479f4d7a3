"""Mean and deviation of what models read of numeric features, window by window."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from input_pipeline.engines.local.window_nodes import WindowNodes
from input_pipeline.feature import Feature, Transform
from input_pipeline.features.registry import table_of_events
from input_pipeline.graph.node_table import DenseColumn, NodeTable
from input_pipeline.log.interactions import Interactions
from input_pipeline.log.vocabulary import NumbersColumn
from input_pipeline.spec import DatasetSpec


class NumericStatistics:
    """Takes in the events up to t_{n-1}, and completes the transforms of numeric features.

    An event counts once, with the number that its own line tells; for features that no line tells,
    such as counts of the past, with what a row of the event would read.

    Args:
      interactions: the log.
      spec: of the data set.
    """

    def __init__(self, interactions: Interactions, spec: DatasetSpec):
        self._interactions = interactions
        self._features = spec.select(role="numeric")
        self._moments = {feature.name: _Moments() for feature in self._features}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """By feature, what was found in each window: float64 [windows, 6, W]."""
        return {name: moments.array() for name, moments in self._moments.items()}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Begins with what `arrays` gave of earlier windows."""
        self._moments = {f.name: _Moments(list(arrays[f.name])) for f in self._features}

    def add(self, window: int, nodes: WindowNodes) -> None:
        """Takes in a window.

        Args:
          window: one after another.
          nodes: those of its events.
        """
        windows = self._interactions.windows
        places = nodes.places(self._interactions.events.take(windows.slice(window)))
        for feature in self._features:
            values = self._values(feature, windows.slice(window), nodes.tables, places)
            assert feature.transform is not None
            if feature.transform.kind == "log":
                values = np.sign(values) * np.log1p(np.abs(values))
            self._moments[feature.name].add(values)

    def _values(
        self,
        feature: Feature,
        part: slice,
        tables: Mapping[str, NodeTable],
        places: Mapping[str, NDArray[Any]],
    ) -> NDArray[Any]:
        """float64 [events of the window, W]."""
        log, owner = self._interactions, feature.owner
        told = log.features[owner].get(feature.name)
        if isinstance(told, NumbersColumn):
            values = told.values[part]
        elif owner == "context":
            events = np.arange(part.start, part.stop)
            values = numbers_of(feature, table_of_events(log, events))
        else:
            values = numbers_of(feature, tables[owner])[places[owner]]
        return values.reshape(len(values), -1).astype(np.float64)

    def transforms(self) -> dict[str, Transform]:
        """By feature, the transform by what was found up to t_{n-1}."""
        found, last = {}, self._interactions.windows.num_windows - 2
        for feature in self._features:
            assert feature.transform is not None
            found[feature.name] = self._moments[feature.name].complete(feature.transform, last)
        return found


def numbers_of(feature: Feature, table: NodeTable) -> NDArray[Any]:
    """The values of a numeric feature in a table, [V, ...]."""
    column = table[feature.column]
    assert isinstance(column, DenseColumn)
    return column.values


class _Moments:
    """Of W columns of numbers, window by window, six numbers each.

    Count, mean, sum of squares about it, least, largest, and whether any is missing.
    """

    def __init__(self, parts: Sequence[NDArray[Any]] = ()) -> None:
        self._parts = list(parts)

    def array(self) -> NDArray[Any]:
        return np.stack(self._parts)

    def add(self, values: NDArray[Any]) -> None:
        """Takes in float64 [N, W]; NaN is missing."""
        there = ~np.isnan(values)
        known = np.where(there, values, 0.0)
        count = there.sum(axis=0)
        mean = known.sum(axis=0) / np.maximum(count, 1)
        squares = (np.where(there, values - mean, 0.0) ** 2).sum(axis=0)
        low = np.where(there, values, np.inf).min(axis=0, initial=np.inf)
        high = np.where(there, values, -np.inf).max(axis=0, initial=-np.inf)
        is_missing = (~there).any(axis=0)
        self._parts.append(np.stack([count, mean, squares, low, high, is_missing]))

    def complete(self, transform: Transform, num_windows: int) -> Transform:
        """The transform by the first windows; `none` leaves numbers as they are."""
        # [windows, 6, W]
        parts = np.stack(self._parts[:num_windows])
        count, means, squares, low, high, is_missing = np.moveaxis(parts, 1, 0)
        total = np.maximum(count.sum(axis=0), 1)
        mean = (count * means).sum(axis=0) / total
        variance = (squares + count * (means - mean) ** 2).sum(axis=0) / total
        # Rounding leaves a little of a deviation that is 0.
        same = high.max(axis=0) <= low.min(axis=0)
        mean = np.where(same & (count.sum(axis=0) > 0), low.min(axis=0), mean)
        deviation = np.where(same | (variance == 0), 1.0, np.sqrt(variance))
        if transform.kind == "none":
            mean, deviation = np.zeros_like(mean), np.ones_like(deviation)
        return dataclasses.replace(
            transform,
            mean=tuple(mean.tolist()),
            deviation=tuple(deviation.tolist()),
            has_missing=bool(is_missing.any()),
        )
