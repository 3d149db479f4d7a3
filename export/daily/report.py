"""How the days went, as a page, a picture and curves for TensorBoard."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from input_pipeline.files import filesystem
from input_pipeline.pages.drawing import style, subplots, svg
from input_pipeline.pages.page import cards, document, row, section, table, wide

NAMES = {
    "never": "never retrained, graph of day 0",
    "refreshed": "graph refreshed, model of day 0",
    "warm": "goes on each day",
    "anew": "trained anew each day",
}
_COLORS = {"never": "#999999", "refreshed": "#d08a2e", "warm": "#4878a8", "anew": "#2a7a3b"}
_SMOOTHED = 5  # days of a moving mean


def page_path(output: str) -> str:
    """Where the page lies."""
    return filesystem.join(output, "report.html")


def line(day: int, told: Mapping[str, Any]) -> str:
    """A day in a line of text."""
    aucs = ", ".join(f"{way} {_number(auc['average'])}" for way, auc in told["auc"].items())
    end = "published" if told["refused"] is None else "refused"
    return f"day {day}: AUC {aucs}; version {end}"


def write(output: str, days: Sequence[Mapping[str, Any]], served: str) -> None:
    """Writes report.html, auc_by_day.png, auc_by_day.json and event files; nothing without days."""
    if not days:
        return
    figure = draw(days)
    filesystem.write_text(page_path(output), render(days, figure, served))
    with filesystem.open_binary(filesystem.join(output, "auc_by_day.png"), "wb") as file, style():
        figure.savefig(file, format="png", dpi=120)
    text = json.dumps(list(days), indent=2) + "\n"
    filesystem.write_text(filesystem.join(output, "auc_by_day.json"), text)
    folder = filesystem.join(output, "events")
    filesystem.remove_tree(folder)
    for way in _ways(days):
        writer = tf.summary.create_file_writer(filesystem.join(folder, way))
        for told in days:
            with writer.as_default(step=told["day"]):
                for name, auc in told["auc"].get(way, {}).items():
                    if auc is not None:
                        tf.summary.scalar(f"auc_by_day/{name}", auc)
        writer.close()


def _ways(days: Sequence[Mapping[str, Any]]) -> list[str]:
    return [way for way in NAMES if any(way in told["auc"] for told in days)]


def draw(days: Sequence[Mapping[str, Any]]) -> Figure:
    """AUC by day of each way, the mean of all tasks and the first task; dots are single days."""
    tasks = [name for name in days[0]["auc"]["warm"] if name != "average"]
    panels = {"average": "mean of all tasks", tasks[0]: tasks[0]}
    with style():
        figure, axes = subplots(10.0, 4.2, len(panels))
        for panel, (name, title) in zip(axes, panels.items(), strict=True):
            for way in _ways(days):
                points = [(told["day"], told["auc"].get(way, {}).get(name)) for told in days]
                known = np.array([(d, auc) for d, auc in points if auc is not None])
                if not len(known):
                    continue
                x, y = known.T
                panel.plot(x, y, ".", color=_COLORS[way], alpha=0.35, markersize=5)
                panel.plot(x, _smoothed(y), color=_COLORS[way], label=NAMES[way])
            panel.set(title=title, xlabel="day", ylabel="AUC of the day's rows")
            panel.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=8)
        return figure


def _smoothed(values: Any) -> Any:
    """The mean of some days around each one; fewer at the ends."""
    ones = np.ones(min(_SMOOTHED, len(values)))
    weights = np.convolve(np.ones(len(values)), ones, "same")
    return np.convolve(values, ones, "same") / weights


def render(days: Sequence[Mapping[str, Any]], figure: Figure, served: str) -> str:
    """The page as one HTML document."""
    ways = _ways(days)
    means = {NAMES[way]: _number(_mean(days, way)) for way in ways}
    refused = [told for told in days if told["refused"] is not None]
    rows = [
        row(
            [
                str(told["day"]),
                *(_number(told["auc"].get(way, {}).get("average")) for way in ways),
                f"{told['rows']:,}",
                "published" if told["refused"] is None else html.escape(told["refused"]),
            ]
        )
        for told in days
    ]
    text = (
        "AUC of each day's rows, of models that had not seen the day: one of day 0 with the graph "
        "of that time, the same with the graph up to the day before, one that went on with each "
        "new day, and one that was trained anew on all days. The latter two are trained up to two "
        f"days before, and chosen on the day between; lines are means of {_SMOOTHED} days, dots "
        "single days."
    )
    versions = (
        f"{len(days) - len(refused)} of {len(days)} days published a version to "
        f"<code>{html.escape(served)}</code>. A refused one leaves what is served as it is, and "
        "the next day goes on from the latest model that passed."
    )
    return document(
        "Days",
        [
            f"<h1>{len(days)} days</h1><p>Mean AUC of all tasks over all days:</p>{cards(means)}",
            section("AUC by day", text, wide(svg(figure))),
            section(
                "The days",
                versions,
                table(["day", *(NAMES[way] for way in ways), "rows", "version"], rows),
            ),
        ],
    )


def _mean(days: Sequence[Mapping[str, Any]], way: str) -> float | None:
    values = [told["auc"].get(way, {}).get("average") for told in days]
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4f}"
