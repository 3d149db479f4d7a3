"""Figures of one look, as SVG elements of a page or as pixels."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

BLUE, RED = "#4878a8", "#d6604d"
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # Text stays text: small files, and the reader's own font.
    "svg.hashsalt": "report",  # Equal data gives equal bytes.
    "font.family": "sans-serif",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
}
_PIXELS_OF_INCH = 100


def style(*, grid: bool = True) -> AbstractContextManager[None]:
    """The look of figures that are made within."""
    return matplotlib.rc_context({**_STYLE, "axes.grid": grid})


def subplots(width: float, height: float, columns: int = 1) -> tuple[Figure, Sequence[Axes]]:
    """A figure, in inches, and its axes side by side."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(1, columns, squeeze=False)[0]


def svg(figure: Figure) -> str:
    """The figure as an SVG element."""
    buffer = io.StringIO()
    with style():
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def pixels(figure: Figure) -> NDArray[Any]:
    """The figure as an opaque picture, uint8 [height, width, 3]."""
    buffer = io.BytesIO()
    with style():
        figure.savefig(buffer, format="rgba", dpi=_PIXELS_OF_INCH)
    width, height = (int(inches * _PIXELS_OF_INCH) for inches in figure.get_size_inches())
    # [height, width, 4]
    values = np.frombuffer(buffer.getvalue(), np.uint8).reshape(height, width, 4)
    return values[..., :3].copy()
