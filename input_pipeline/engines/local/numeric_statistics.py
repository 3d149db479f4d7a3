"""Mean and deviation of what models read of numeric features, window by window."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from input_pipeline.engines.local.window_nodes import WindowNodes
from input_pipeline.feature import Feature, Transform
from input_pipeline.features.moments import Moments
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
        self._moments = {feature.name: Moments() for feature in self._features}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """By feature, what was found in each window: float64 [windows, 6, W]."""
        return {name: moments.parts() for name, moments in self._moments.items()}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Begins with what `arrays` gave of earlier windows."""
        self._moments = {f.name: Moments.of_parts(arrays[f.name]) for f in self._features}

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
