"""The tables of the data report that show what is in the columns of features."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from input_pipeline.pages.page import table
from input_pipeline.report.log_statistics import IdsStatistics, NumbersStatistics

_MOST_LENGTHS = 24
_VALUE_CHARACTERS = 24


def ids_table(columns: Sequence[IdsStatistics]) -> str:
    """Features that hold ids, over all events, as HTML; "" where there are none."""
    head = ["feature", "of", "ids", "missing", "most frequent", "ids a cell"]
    return table(head, [_ids_row(column) for column in columns]) if columns else ""


def _ids_row(column: IdsStatistics) -> str:
    frequent = ", ".join(
        f"{_shown(value)} <small>{share:.1%}</small>" for value, share in column.frequent
    )
    shown = "1"
    if column.lengths is not None:
        mean = np.average(np.arange(len(column.lengths)), weights=column.lengths)
        shown = f"{mean:.1f} {bars(column.lengths[:_MOST_LENGTHS])}"
    return (
        f"<tr><td>{column.name}</td><td>{column.owner}</td><td>{column.size:,}</td>"
        f"<td>{column.missing:.1%}</td><td>{frequent}</td><td>{shown}</td></tr>"
    )


def _shown(value: int | bytes) -> str:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    if len(text) > _VALUE_CHARACTERS:
        text = text[:_VALUE_CHARACTERS] + "..."
    return html.escape(text) or "(empty)"


def numbers_table(columns: Sequence[NumbersStatistics]) -> str:
    """Features that are numbers, as HTML; "" where there are none."""
    rows = [
        f"<tr><td>{column.name}</td><td>{column.owner}</td><td>{column.over}</td>"
        f"<td>{column.missing:.1%}</td><td>{column.low:.6g}</td><td>{column.median:.6g}</td>"
        f"<td>{column.high:.6g}</td><td>{bars(column.histogram)}</td></tr>"
        for column in columns
    ]
    head = ["feature", "of", "over", "missing", "least", "median", "most", "distribution"]
    return table(head, rows) if rows else ""


def bars(counts: NDArray[Any]) -> str:
    """Counts side by side, as a small SVG element."""
    most = max(1, int(counts.max(initial=0)))
    parts = "".join(
        f"<rect x='{6 * place}' y='{28 * (1 - count / most):.1f}' width='5' "
        f"height='{28 * count / most:.1f}'/>"
        for place, count in enumerate(counts.tolist())
    )
    return f"<svg width='{6 * len(counts)}' height='28' fill='#4878a8'>{parts}</svg>"
