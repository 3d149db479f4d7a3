"""The tables of the data report that show what is in the columns of features."""

from __future__ import annotations

import html
from collections.abc import Iterator

import numpy as np

from input_pipeline.engines.merging_graph import Snapshot
from input_pipeline.features.registry import table_of_events
from input_pipeline.graph.node_table import DenseColumn
from input_pipeline.log.interactions import Interactions
from input_pipeline.log.vocabulary import Column, ListsColumn, NumbersColumn
from input_pipeline.report.page import table
from input_pipeline.spec import DatasetSpec

_TOP = 5
_BINS = 24
_SHOWN = (0.005, 0.995)
_VALUE_CHARACTERS = 24


def ids_table(interactions: Interactions) -> str:
    """Features that hold ids, over all events, as HTML; "" where there are none."""
    rows = []
    for owner, features in interactions.features.items():
        for name, column in features.items():
            if isinstance(column, Column):
                rows.append(_ids_row(name, owner, column, len(interactions.events)))
    head = ["feature", "of", "ids", "missing", "most frequent", "ids a cell"]
    return table(head, rows) if rows else ""


def _ids_row(name: str, owner: str, column: Column, num_events: int) -> str:
    counts = column.counts(num_events, len(column.values))
    if isinstance(column, ListsColumn):
        lengths = np.diff(column.indptr)[column.cells]
        missing = int((lengths == 0).sum())
        shown = f"{lengths.mean():.1f} {bars(np.bincount(lengths)[:_BINS])}"
    else:
        empty = column.values == b"" if column.dtype == "bytes" else np.zeros(len(counts), bool)
        missing, shown = int((column.rows < 0).sum() + counts[empty].sum()), "1"
    top = np.argsort(-counts, kind="stable")[:_TOP]
    frequent = ", ".join(
        f"{_shown(column.values[row])} <small>{counts[row] / num_events:.1%}</small>" for row in top
    )
    return (
        f"<tr><td>{name}</td><td>{owner}</td><td>{len(column.values):,}</td>"
        f"<td>{missing / num_events:.1%}</td><td>{frequent}</td><td>{shown}</td></tr>"
    )


def _shown(value: int | bytes) -> str:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    if len(text) > _VALUE_CHARACTERS:
        text = text[:_VALUE_CHARACTERS] + "..."
    return html.escape(text) or "(empty)"


def numbers_table(spec: DatasetSpec, interactions: Interactions, snapshot: Snapshot) -> str:
    """Features that are numbers, as HTML; "" where there are none."""
    rows = []
    for name, owner, over, values in _numbers(spec, interactions, snapshot):
        there = values[~np.isnan(values)]
        low, median, high = np.quantile(there, (0.0, 0.5, 1.0)) if len(there) else (np.nan,) * 3
        rows.append(
            f"<tr><td>{name}</td><td>{owner}</td><td>{over}</td>"
            f"<td>{1 - len(there) / max(1, len(values)):.1%}</td><td>{low:.6g}</td>"
            f"<td>{median:.6g}</td><td>{high:.6g}</td><td>{bars(_histogram(there))}</td></tr>"
        )
    head = ["feature", "of", "over", "missing", "least", "median", "most", "distribution"]
    return table(head, rows) if rows else ""


def _numbers(
    spec: DatasetSpec, interactions: Interactions, snapshot: Snapshot
) -> Iterator[tuple[str, str, str, np.ndarray]]:
    """Name, owner, what the values are of, and values; lists of numbers one by one."""
    for feature in spec.select(role="numeric"):
        told = interactions.features[feature.owner].get(feature.name)
        if isinstance(told, NumbersColumn):
            yield feature.name, feature.owner, "events", told.values
            continue
        if feature.owner == "context":
            over, events = "events", np.arange(len(interactions.events))
            column = table_of_events(interactions, events)[feature.column]
        else:
            over = "nodes at the end"
            column = snapshot.tables[feature.owner][feature.column]
        assert isinstance(column, DenseColumn)
        columns = column.values.reshape(len(column), -1).T
        for entry, values in enumerate(columns):
            name = feature.name if feature.length is None else f"{feature.name}[{entry}]"
            yield name, feature.owner, over, values


def _histogram(values: np.ndarray) -> np.ndarray:
    """Counts in bins between the shown quantiles; what lies outside is in the outermost ones."""
    if not len(values):
        return np.zeros(0, np.int64)
    low, high = np.quantile(values, _SHOWN)
    return np.histogram(np.clip(values, low, high), bins=_BINS)[0]


def bars(counts: np.ndarray) -> str:
    """Counts side by side, as a small SVG element."""
    most = max(1, int(counts.max(initial=0)))
    parts = "".join(
        f"<rect x='{6 * place}' y='{28 * (1 - count / most):.1f}' width='5' "
        f"height='{28 * count / most:.1f}'/>"
        for place, count in enumerate(counts.tolist())
    )
    return f"<svg width='{6 * len(counts)}' height='28' fill='#4878a8'>{parts}</svg>"
