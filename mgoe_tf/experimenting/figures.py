"""The figures of the experiments."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from input_pipeline.pages.drawing import BLUE, RED, style, subplots
from mgoe_tf.experimenting.statistics import Spread

_WIDTH, _HEIGHT = 4.2, 3.0
_GREY = "#8a9aa8"
# Of the height of the axes, how far apart names have to be; of their width, what a letter takes,
# and how far a name is from its dot.
_NAME_HEIGHT, _LETTER_WIDTH, _GAP = 0.06, 0.023, 0.022


def sweep(points: Sequence[tuple[float, Spread]], *, label: str, marked: float | None) -> Figure:
    """Mean AUC over a setting, with the deviation over seeds.

    Args:
      points: where, and what.
      label: of the setting.
      marked: the setting of all other tables.
    """
    with style():
        figure, (axes,) = subplots(_WIDTH, _HEIGHT)
        places = [place for place, _ in points]
        means = [spread.mean for _, spread in points]
        reach = [spread.deviation or 0.0 for _, spread in points]
        axes.errorbar(places, means, reach, color=BLUE, marker="o", markersize=5, capsize=3)
        if marked is not None:
            axes.axvline(marked, color="#999", linewidth=1, linestyle="--")
        axes.set_xlabel(label)
        axes.set_ylabel("mean AUC")
        axes.yaxis.set_major_locator(MaxNLocator(5))
        return figure


def grid(values: Mapping[tuple[float, float], float], *, names: tuple[str, str]) -> Figure:
    """Mean AUC over two settings, a cell each, with its number.

    Args:
      values: by the first and the second one.
      names: of both.
    """
    with style(grid=False):
        firsts, seconds = (sorted({pair[axis] for pair in values}) for axis in (0, 1))
        height = 1.1 + 0.45 * len(seconds)
        figure, (axes,) = subplots(_WIDTH, height)
        cells = np.full((len(seconds), len(firsts)), np.nan)
        for (first, second), value in values.items():
            cells[seconds.index(second), firsts.index(first)] = value
        axes.imshow(cells, cmap="Blues", aspect="auto", origin="lower")
        middle = (np.nanmin(cells) + np.nanmax(cells)) / 2
        for row, column in np.ndindex(cells.shape):
            if not math.isnan(cells[row, column]):
                ink = "white" if cells[row, column] > middle else "black"
                text = f"{cells[row, column]:.4f}"
                axes.text(column, row, text, ha="center", va="center", color=ink, fontsize=9)
        axes.set_xticks(range(len(firsts)), [f"{value:g}" for value in firsts])
        axes.set_yticks(range(len(seconds)), [f"{value:g}" for value in seconds])
        axes.set_xlabel(names[0])
        axes.set_ylabel(names[1])
        return figure


def bars(values: Mapping[str, Mapping[str, float]], *, label: str) -> Figure:
    """Bars of several kinds for each model, on a logarithmic axis.

    Args:
      values: by kind and model.
      label: of the axis.
    """
    with style():
        models = list(dict.fromkeys(model for of_kind in values.values() for model in of_kind))
        figure, (axes,) = subplots(_WIDTH, 1.1 + 0.16 * len(models) * (len(values) + 0.6))
        thickness = 0.8 / max(1, len(values))
        for place, (kind, of_kind) in enumerate(values.items()):
            at = np.arange(len(models)) + (place - (len(values) - 1) / 2) * thickness
            widths = [of_kind.get(model, math.nan) for model in models]
            color = (BLUE, "#9cc0dc", RED)[place % 3]
            drawn = axes.barh(at, widths, thickness, color=color, label=kind)
            texts = ["" if math.isnan(width) else f" {_short(width)}" for width in widths]
            axes.bar_label(drawn, texts, fontsize=7)
        axes.set_yticks(range(len(models)), models, fontsize=8)
        axes.set_ylim(len(models) - 0.5, -0.5)
        axes.set_xscale("log")
        _logarithmic(axes.xaxis)
        known = [value for of_kind in values.values() for value in of_kind.values()]
        axes.set_xlim(min(known) / 1.5, max(known) * 2)
        axes.set_xlabel(label)
        axes.grid(False, axis="y")
        figure.legend(loc="outside lower center", ncols=3, fontsize=8)
        return figure


def trade(points: Mapping[str, tuple[float, float]], *, label: str, chosen: str) -> Figure:
    """AUC against milliseconds, a dot and a name a model: up and to the left is better.

    Args:
      points: milliseconds and mean AUC by model.
      label: of the milliseconds.
      chosen: the model whose dot has another colour.
    """
    with style():
        figure, (axes,) = subplots(4.8, 3.7)
        axes.set_xscale("log")
        xs, ys = (np.array([point[axis] for point in points.values()]) for axis in (0, 1))
        colors = [RED if model == chosen else _GREY for model in points]
        axes.scatter(xs, ys, color=colors, s=36, zorder=3)
        best = _front(points)
        axes.step(
            [points[model][0] for model in best],
            [points[model][1] for model in best],
            where="post",
            color="#bbb",
            linewidth=1.2,
            linestyle="--",
            zorder=1,
        )
        low, high = xs.min() / 1.5, xs.max() * 2
        margin = 0.08 * (ys.max() - ys.min() or 0.01)
        axes.set_xlim(low, high)
        axes.set_ylim(ys.min() - margin, ys.max() + margin)
        _write_names(axes, points, chosen)
        _logarithmic(axes.xaxis)
        axes.set_xlabel(label)
        axes.set_ylabel("mean AUC, test")
        axes.yaxis.set_major_locator(MaxNLocator(6))
        return figure


def _front(points: Mapping[str, tuple[float, float]]) -> list[str]:
    """Models that no other one beats in both, the quickest first."""
    found: list[str] = []
    for model in sorted(points, key=lambda name: (points[name][0], -points[name][1])):
        if not found or points[model][1] > points[found[-1]][1]:
            found.append(model)
    return found


def _write_names(axes: Axes, points: Mapping[str, tuple[float, float]], chosen: str) -> None:
    """Names beside their dots, each as near as others' names and dots leave room."""
    to_axes = axes.transData + axes.transAxes.inverted()
    dots = {model: tuple(to_axes.transform(point)) for model, point in points.items()}
    taken = [(x, x, y) for x, y in dots.values()]
    for model in sorted(points, key=lambda name: (name != chosen, points[name][0])):
        left, right, y = _free_place(dots[model], _LETTER_WIDTH * len(model), taken)
        taken.append((left, right, y))
        axes.annotate(
            model,
            points[model],
            xytext=(left, y),
            textcoords="axes fraction",
            va="center",
            fontsize=8,
            fontweight="bold" if model == chosen else None,
            annotation_clip=False,
        )


def _free_place(
    dot: Sequence[float], width: float, taken: Sequence[tuple[float, float, float]]
) -> tuple[float, float, float]:
    """Where a name of a width lies free, the nearest first: its left, its right, its middle.

    Args:
      dot: of the model, as shares of the axes.
      width: of the name.
      taken: such places of other names, and of dots, whose left is their right.
    """
    steps = sorted((step for step in range(-20, 21)), key=lambda step: (abs(step), -step))
    places = [
        (left, left + width, dot[1] + step * _NAME_HEIGHT / 4)
        for step in steps
        for left in (dot[0] + _GAP, dot[0] - _GAP - width)
    ]

    def is_free(place: tuple[float, float, float]) -> bool:
        return all(
            place[1] < left - _GAP / 2
            or place[0] > right + _GAP / 2
            or abs(place[2] - y) >= (_NAME_HEIGHT if left < right else _NAME_HEIGHT / 2)
            for left, right, y in taken
        )

    return next(filter(is_free, places), places[0])


def _logarithmic(axis) -> None:  # type: ignore[no-untyped-def]
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
    axis.set_minor_formatter(NullFormatter())


def _short(value: float) -> str:
    return f"{value:.2g}" if value < 10 else f"{value:.0f}"
