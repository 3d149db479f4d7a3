"""What the columns of the whole log hold, for the report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from input_pipeline.features.registry import table_of_events, value_names
from input_pipeline.graph.node_table import DenseColumn, NodeTable
from input_pipeline.log.interactions import Interactions
from input_pipeline.log.vocabulary import Column, NumbersColumn
from input_pipeline.report.log_statistics import (
    IdsStatistics,
    LogStatistics,
    NumbersStatistics,
    events_by_day,
)
from input_pipeline.spec import DatasetSpec


def log_statistics(
    interactions: Interactions, spec: DatasetSpec, tables: Mapping[str, NodeTable]
) -> LogStatistics:
    """Counts the columns of a log.

    Args:
      interactions: the log.
      spec: of the data set.
      tables: by owner, of all nodes at the end of the log.
    """
    events, by_day = interactions.events, None
    if events.timestamp is not None and spec.timestamp_unit is not None:
        by_day = events_by_day(
            events.timestamp, events.positive, spec.timestamp_unit, len(spec.tasks)
        )
    ids = tuple(
        IdsStatistics.of(name, owner, column, len(events))
        for owner, features in interactions.features.items()
        for name, column in features.items()
        if isinstance(column, Column)
    )
    return LogStatistics(by_day, ids, tuple(_numbers(interactions, spec, tables)))


def _numbers(
    interactions: Interactions, spec: DatasetSpec, tables: Mapping[str, NodeTable]
) -> Iterator[NumbersStatistics]:
    """Of every number, and of lists of numbers one by one."""
    for feature in spec.select(role="numeric"):
        told = interactions.features[feature.owner].get(feature.name)
        if isinstance(told, NumbersColumn):
            yield NumbersStatistics.of(feature.name, feature.owner, "events", told.values)
            continue
        if feature.owner == "context":
            over, events = "events", np.arange(len(interactions.events))
            column = table_of_events(interactions, events)[feature.column]
        else:
            over, column = "nodes at the end", tables[feature.owner][feature.column]
        assert isinstance(column, DenseColumn)
        names = value_names(feature, spec.task_names)
        for name, values in zip(names, column.values.reshape(len(column), -1).T, strict=True):
            yield NumbersStatistics.of(name, feature.owner, over, values)
