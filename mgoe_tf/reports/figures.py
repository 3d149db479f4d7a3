"""The figures about trained models, each as it is drawn: for a page, or as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import (
    FormatStrFormatter,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    PercentFormatter,
)
from numpy.typing import NDArray

from input_pipeline.pages.drawing import BLUE, style, subplots
from mgoe_tf.evaluation.calibration import Bin

_WIDTH, _HEIGHT = 4.2, 3.0
# From where on a share has room for its number, and on which colours that number is white.
_LABELLED_SHARE = 0.08
_DARK = 0.55


def curves(
    lines: Mapping[str, Sequence[tuple[float, float]]],
    *,
    marked: float | None = None,
    logarithmic: bool = False,
    colors: Mapping[str, int] | None = None,
) -> Figure:
    """Values over epochs, a line each.

    Args:
      lines: (epoch, value) points by name.
      marked: an epoch to mark.
      logarithmic: the axis of values.
      colors: by name, the number of the line's colour; None: each its own.
    """
    with style():
        figure, (axes,) = subplots(_WIDTH, _HEIGHT)
        for name, points in lines.items():
            epochs, values = zip(*points, strict=True) if points else ((), ())
            marker = "." if len(points) < 30 else None
            color = None if colors is None else f"C{colors[name]}"
            axes.plot(epochs, values, label=name, marker=marker, color=color)
        if marked is not None:
            axes.axvline(marked, color="#999", linewidth=1, linestyle="--")
        if logarithmic:
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axes.yaxis.set_major_formatter(FormatStrFormatter("%g"))
            axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        if lines:
            figure.legend(loc="outside lower center", ncols=4, fontsize=8)
        return figure


def reliability(bins: Sequence[Bin], title: str = "") -> Figure:
    """Shares that were positive over predicted probabilities, with 95 % intervals."""
    with style():
        figure, (axes,) = subplots(_WIDTH, _HEIGHT)
        predicted, observed, low, high = (
            np.array([getattr(one, name) for one in bins])
            for name in ("predicted", "observed", "low", "high")
        )
        most = max(predicted.max(initial=0.0), observed.max(initial=0.0)) * 1.08 or 1.0
        axes.plot([0, most], [0, most], color="#999", linewidth=1, linestyle="--")
        errors = np.maximum(np.stack([observed - low, high - observed]), 0.0)
        axes.errorbar(predicted, observed, errors, color=BLUE, marker="o", markersize=4, capsize=2)
        axes.set(xlim=(0, most), ylim=(0, most), title=title)
        axes.set_xlabel("predicted")
        axes.set_ylabel("came true")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(5))
            axis.set_major_formatter(PercentFormatter(1))
        return figure


def gates(shares: Mapping[str, NDArray[Any]], experts: Sequence[str]) -> Figure:
    """How tasks divide their attention between experts: a bar a task.

    Args:
      shares: by task, of each expert, [X].
      experts: their names; those of experts that all tasks share begin with `shared`.
    """
    with style(grid=False):
        figure, (axes,) = subplots(_WIDTH, 0.9 + 0.42 * len(shares))
        tasks, start = list(shares), np.zeros(len(shares))
        for index, (expert, color) in enumerate(zip(experts, _colors(experts), strict=True)):
            widths = np.array([shares[task][index] for task in tasks])
            bars = axes.barh(
                tasks, widths, left=start, color=color, label=expert.replace("_", " "), height=0.7
            )
            texts = [f"{width:.0%}" if width > _LABELLED_SHARE else "" for width in widths]
            ink = "white" if np.mean(color[:3]) < _DARK else "black"
            axes.bar_label(bars, texts, label_type="center", fontsize=8, color=ink)
            start += widths
        axes.invert_yaxis()
        axes.set_xlim(0, 1)
        axes.xaxis.set_major_formatter(PercentFormatter(1))
        figure.legend(loc="outside lower center", ncols=4, fontsize=8)
        return figure


def _colors(experts: Sequence[str]) -> list[tuple[float, ...]]:
    """Shades of blue for experts that are shared, of orange for others."""
    shared = [name.startswith("shared") for name in experts]
    colors: list[tuple[float, ...]] = [()] * len(experts)
    for kind, name in ((True, "Blues"), (False, "Oranges")):
        places = [index for index, is_shared in enumerate(shared) if is_shared == kind]
        for place, shade in zip(places, np.linspace(0.75, 0.4, len(places)), strict=True):
            colors[place] = matplotlib.colormaps[name](shade)
    return colors


def shares_map(shares: Mapping[str, NDArray[Any]], most: float, title: str = "") -> Figure:
    """Shares over macro nodes, a row each, compared with equal ones: log2 of K times the share.

    Args:
      shares: by name of the row, [K].
      most: where the colours end, above 0.
      title: above the figure.
    """
    with style(grid=False):
        figure, (axes,) = subplots(_WIDTH, 1.1 + 0.26 * len(shares))
        values = np.stack(list(shares.values()))
        with np.errstate(divide="ignore"):
            values = np.log2(np.maximum(values * values.shape[1], 1e-9))
        image = axes.imshow(values, cmap="RdBu_r", vmin=-most, vmax=most, aspect="auto")
        axes.set_yticks(range(len(shares)), list(shares), fontsize=8)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("macro node", fontsize=8)
        axes.set_title(title)
        axes.tick_params(axis="x", labelsize=8)
        figure.colorbar(image, ax=axes, extend="both", aspect=10)
        return figure


def runs(values: Mapping[str, Sequence[float]], *, label: str, best: float | None = None) -> Figure:
    """A metric of runs, a line a group: each run a dot, the mean a stroke.

    Args:
      values: by group.
      label: what they are.
      best: the best that is possible.
    """
    with style():
        figure, (axes,) = subplots(_WIDTH, 0.9 + 0.35 * len(values))
        for place, of_group in enumerate(values.values()):
            axes.plot(of_group, [place] * len(of_group), "o", color=BLUE, markersize=5, alpha=0.7)
            axes.plot([np.mean(of_group)], [place], "|", color="black", markersize=16)
        if best is not None:
            axes.axvline(best, color="#999", linewidth=1, linestyle="--")
        axes.set_yticks(range(len(values)), list(values), fontsize=8)
        axes.set_ylim(len(values) - 0.5, -0.5)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.set_xlabel(label, fontsize=8)
        return figure
