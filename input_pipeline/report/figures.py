"""The figures of the data report, as SVG elements; that of the macro edges as it is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter, PercentFormatter
from numpy.typing import NDArray

from input_pipeline.feature import NODES
from input_pipeline.pages.drawing import BLUE, style, subplots, svg
from input_pipeline.report.macro_graph import Degrees, MacroGraph


def lines_by_day(days: NDArray[Any], counts: NDArray[Any], tasks: Sequence[str]) -> str:
    """Events by task over days; counts are [T, days]."""
    with style():
        figure, (axes,) = subplots(10, 3)
        for task, count in zip(tasks, counts, strict=True):
            axes.plot(days, np.where(count > 0, count, np.nan), label=task, marker=".")
        axes.set_yscale("log")
        axes.set_ylabel("events")
        figure.legend(loc="outside right center")
        axes.tick_params(axis="x", rotation=20)
        return svg(figure)


def label_rates(windows: Sequence[str], rates: Mapping[str, Sequence[float]]) -> str:
    """Label rates by task over windows."""
    with style():
        figure, (axes,) = subplots(10, 3)
        for task, values in rates.items():
            shown = [value if value > 0 else np.nan for value in values]
            axes.plot(range(len(windows)), shown, label=task, marker="o")
        axes.set_xticks(range(len(windows)), windows, rotation=20, ha="right")
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_ylabel("rows with label 1")
        figure.legend(loc="outside right center")
        return svg(figure)


def degrees(users: Degrees, items: Degrees) -> str:
    """Share of users and of items with at least so many neighbours."""
    with style():
        figure, panels = subplots(10, 3, columns=2)
        for axes, degree, name, other in (
            (panels[0], users, "users", "items"),
            (panels[1], items, "items", "users"),
        ):
            tied = degree.distinct > 0
            distinct, up_to = degree.distinct[tied], np.cumsum(degree.counts[tied])
            size = int(up_to[-1]) if len(up_to) else 0
            steps = np.unique(np.geomspace(1, max(distinct.max(initial=1), 2), 200).astype(int))
            fewer = np.append(0, up_to)[np.searchsorted(distinct, steps, side="left")]
            share = 1 - fewer / max(1, size)
            axes.plot(steps, np.where(share > 0, share, np.nan), color=BLUE)
            axes.set(xscale="log", yscale="log")
            axes.set_xlabel(f"distinct {other}, at least")
            axes.set_ylabel(f"share of {name}")
            # the two in the middle, which are one of an odd number
            middle = np.searchsorted(up_to, [(size - 1) // 2, size // 2], side="right")
            median = int(distinct[middle].mean()) if size else 0
            most = distinct.max(initial=0)
            axes.set_title(f"{name}: median {median:,}, most {most:,}", loc="left")
        return svg(figure)


def macro_sizes(graph: MacroGraph) -> str:
    """Members of each macro node."""
    with style():
        figure, panels = subplots(10, 2.8, columns=2)
        for axes, owner in zip(panels, NODES, strict=True):
            name, sizes = f"{owner}s", graph.sizes[owner]
            axes.bar(range(len(sizes)), sizes, color=BLUE)
            axes.grid(axis="x", visible=False)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.set_xlabel(f"macro node of {name}")
            axes.set_ylabel(name)
            title = f"{sizes.sum():,} {name} grouped, {graph.cold[owner]:,} cold"
            axes.set_title(title, loc="left")
        return svg(figure)


def macro_edges(lift: NDArray[Any]) -> Figure:
    """A heat map of log2 lift, [K_U, K_I]."""
    with style(grid=False):
        figure, (axes,) = subplots(7, 5)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(integer=True))
        image = axes.imshow(lift, cmap="RdBu_r", vmin=-3, vmax=3, aspect="auto")
        axes.set_xlabel("macro node of items")
        axes.set_ylabel("macro node of users")
        figure.colorbar(image, ax=axes, label="log2 lift", extend="both", shrink=0.8)
        return figure
