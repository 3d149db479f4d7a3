"""The data report: what went in, and what a model could win without knowing anyone."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from input_pipeline.feature import Feature
from input_pipeline.files import filesystem
from input_pipeline.report import figures
from input_pipeline.report.feature_tables import ids_table, numbers_table
from input_pipeline.report.log_statistics import LogStatistics
from input_pipeline.report.macro_statistics import EdgeStatistics, balance_table, edges_table
from input_pipeline.report.page import PAGE, table
from input_pipeline.report.window_statistics import SIGNALS, WindowStatistics
from input_pipeline.report.window_warnings import window_warnings
from input_pipeline.sources.remarks import COUNTED
from input_pipeline.spec import DatasetSpec

# A single number that ranks labels as well as this is likely an outcome itself.
_LABEL_AUC = 0.95


@dataclasses.dataclass(frozen=True)
class _Graph:
    """The graph of all events, as a data set directory holds it.

    Attributes:
      degrees: by owner, how many nodes of the other side each node is tied to.
      macro: by owner, the macro node of each node, -1 for cold ones.
      edges: of users to the macro nodes of items, [U, K_I].
    """

    degrees: dict[str, NDArray[Any]]
    macro: dict[str, NDArray[Any]]
    edges: NDArray[Any]

    @classmethod
    def read(cls, spec: DatasetSpec, data_dir: str) -> _Graph:
        folder = filesystem.join(data_dir, "graph", "latest")

        def column(feature: Feature) -> NDArray[Any]:
            return filesystem.load_array(filesystem.join(folder, f"{feature.column}.npy"))

        with filesystem.open_binary(filesystem.join(folder, "merging_matrix.npz")) as file:
            matrix = sparse.load_npz(file)
        (edges,) = (f for f in spec.select("user", "macro_edges") if f.macro_nodes == "item")
        return cls(
            {
                "user": np.diff(matrix.indptr),
                "item": np.bincount(matrix.indices, minlength=matrix.shape[1]),
            },
            {feature.owner: column(feature) for feature in spec.select(role="macro_id")},
            column(edges),
        )


def render(
    spec: DatasetSpec,
    log: LogStatistics,
    windows: Sequence[WindowStatistics],
    edges: Sequence[EdgeStatistics],
    data_dir: str,
) -> str:
    """The report as one HTML document.

    Args:
      spec: of the data set.
      log: what the whole log holds.
      windows: what its windows hold, in order.
      edges: what the macro edges say of the windows that have a graph.
      data_dir: whose `graph/latest` is shown.
    """
    tasks, graph = spec.task_names, _Graph.read(spec, data_dir)
    parts = [_summary(spec), _notices(spec, windows)]
    if log.by_day is not None:
        parts.append(
            _section(
                "Events per day",
                "By task, in UTC, without the first and last 0.1% of the events, and without times "
                "outside the calendar.",
                figures.lines_by_day(*log.by_day, tasks),
            )
        )
    parts += [
        _section(
            "Rows and label rates",
            "Share of rows with label 1, of those that have the label.",
            figures.label_rates(
                [w.name for w in windows], {t: [w.rate(t) for w in windows] for t in tasks}
            )
            + _rows_table(windows, tasks),
        ),
        _features(log),
        _section(
            "What single numbers win",
            "AUC of one number about the row, before any model. 0.5 is chance; far from it, a "
            "model can look good without knowing anyone. Numbers rank rows by their value; ids by "
            "the share of positive rows that they had in earlier windows, with 20 rows of the mean "
            "share added (several ids: by their mean share). A column that ranks a task nearly "
            "perfectly is likely the label under another name. History reads no graph and is left "
            "out.",
            _auc_table(windows, tasks),
        ),
        _section(
            "Degrees",
            "Share of nodes with at least so many distinct neighbours, over the whole log.",
            figures.degrees(graph.degrees["user"], graph.degrees["item"]),
        ),
        _section(
            "Macro nodes",
            "Members at the end of the log; cold nodes belong to none. The effective number is "
            "that of equally large macro nodes with the same entropy.",
            figures.macro_sizes(graph.macro["user"], graph.macro["item"],
                                spec.num_user_macro_nodes, spec.num_item_macro_nodes)
            + balance_table(spec, graph.macro),
        ),
        _section(
            "Macro edges",
            "Ties between user and item macro nodes, compared with what their totals alone would "
            "give (log2: +1 is twice as strong, -1 half).",
            figures.macro_edges(_lift(spec, graph)),
        ),
        _section(
            "What the macro edges say by themselves",
            "AUC, before any model, of how much stronger the edges tie a user and an item than "
            "the totals of both: log(1 + w) of the user's edge to the item's macro node, less "
            "those of its row and of its column, plus the same of the item's edge. Of pairs that "
            "are new, of a user and an item that are not. 0.5: the macro nodes mean nothing.",
            edges_table(edges, tasks),
        ),
        _files(spec),
    ]  # fmt: skip
    return PAGE.format(title=html.escape(f"Data report: {spec.source}"), body="\n".join(parts))


def _features(log: LogStatistics) -> str:
    """What the columns of features hold; "" where there are none."""
    content = ids_table(log.ids) + numbers_table(log.numbers)
    text = (
        "Of each event's own line. Distributions of numbers leave out half a percent at both ends, "
        "which the outermost bars hold."
    )
    return _section("Features", text, content) if content else ""


def _lift(spec: DatasetSpec, graph: _Graph) -> NDArray[Any]:
    """log2 of tie strength over expected tie strength, [K_U, K_I]; NaN where there is none."""
    macro = graph.macro["user"]
    ties = np.zeros((spec.num_user_macro_nodes, spec.num_item_macro_nodes))
    np.add.at(ties, macro[macro >= 0], graph.edges[macro >= 0])
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = ties.sum(1, keepdims=True) * ties.sum(0, keepdims=True) / ties.sum()
        return np.where(ties > 0, np.log2(ties / expected), np.nan)


def _section(title: str, text: str, content: str) -> str:
    return f"<section><h2>{title}</h2><p>{text}</p>{content}</section>"


def _summary(spec: DatasetSpec) -> str:
    counts = spec.counts
    cards = {
        "events": counts["events"],
        "users": counts["users"],
        "items": counts["items"],
        **{f"{split} rows": number for split, number in counts["rows"].items()},
    }
    boxes = "".join(f"<div><b>{n:,}</b><span>{name}</span></div>" for name, n in cards.items())
    about = f"source {spec.source}, rows {spec.rows}, split {spec.split}"
    return f"<h1>Data report</h1><p>{html.escape(about)}</p><div class=cards>{boxes}</div>"


def _notices(spec: DatasetSpec, windows: Sequence[WindowStatistics]) -> str:
    """What was left out, and what deserves a second look."""
    counts = spec.counts
    facts = [
        f"{counts['malformed_lines']:,} malformed lines were left out.",
        f"{counts['duplicate_lines']:,} lines repeat an earlier one "
        f"(--duplicates={spec.flags['duplicates']}).",
    ]
    facts += [f"{counts[key]:,} {text}." for key, text in COUNTED.items() if counts.get(key)]
    for key, text in (
        ("missing_negatives", "negatives are missing, their users having too few untouched items"),
        ("dropped_cold_rows", "rows with a cold user or item were dropped"),
    ):
        by_split = ", ".join(f"{split} {n:,}" for split, n in counts[key].items() if n)
        facts.append(f"{sum(counts[key].values()):,} {text}{': ' if by_split else ''}{by_split}.")
    warnings = [
        f"{window.name}: {signal} alone ranks {task} with AUC {value:.3f} "
        f"({window.positives[task]:,} positives).{_suspicion(value)}"
        for window in windows
        for signal, task, value in window.suspicious
    ]
    if spec.split == "order":
        clock = "" if spec.timestamp_unit else "The log has no clock: "
        warnings.insert(
            0,
            f"{clock}Windows are cut at each user's own position, so there is no wall-clock order "
            "between users, and one user's row may read another's later events.",
        )
        if spec.flags["cuts"] is None:
            warnings.insert(
                1, "Each user's last line is test, and the one before validation, if it has others."
            )
    if spec.split == "random":
        warnings.insert(0, "Windows are cut at random: rows may read events that came after them.")
    warnings += window_warnings(spec, windows)
    items = "".join(f"<li>{html.escape(text)}</li>" for text in facts)
    notes = "".join(f"<li class=warning>{html.escape(text)}</li>" for text in warnings)
    return f"<section><h2>Left out, and to note</h2><ul>{items}{notes}</ul></section>"


def _suspicion(auc_alone: float) -> str:
    if abs(auc_alone - 0.5) <= _LABEL_AUC - 0.5:
        return ""
    return " Is it the label under another name?"


def _rows_table(windows: Sequence[WindowStatistics], tasks: Sequence[str]) -> str:
    rows = []
    for window in windows:
        cells = "".join(
            f"<td>{window.positives[task]:,} <small>{window.rate(task):.2%}</small></td>"
            for task in tasks
        )
        rows.append(f"<tr><td>{html.escape(window.name)}</td><td>{window.rows:,}</td>{cells}</tr>")
    return table(["window", "rows", *tasks], rows)


def _auc_table(windows: Sequence[WindowStatistics], tasks: Sequence[str]) -> str:
    rows = []
    for window in windows:
        for signal, by_task in window.aucs.items():
            cells = []
            for task in tasks:
                value = by_task[task]
                if value is None:
                    cells.append("<td>&ndash;</td>")
                    continue
                # From white at chance to saturated at 0.25 from it.
                shade = min(1.0, abs(value - 0.5) * 4)
                style = f"background:rgba(214,96,77,{shade:.2f})"
                text = f"<b>{value:.3f}</b>" if (signal, task, value) in window.suspicious else (
                    f"{value:.3f}"
                )  # fmt: skip
                cells.append(f'<td style="{style}">{text}</td>')
            name = html.escape(window.name) if signal == SIGNALS[0] else ""
            shown = html.escape(signal)
            rows.append(f"<tr><td>{name}</td><th>{shown}</th>{''.join(cells)}</tr>")
    return table(["window", "signal", *tasks], rows)


def _files(spec: DatasetSpec) -> str:
    files = [
        f"<tr><td>{html.escape(file.path)}</td><td>{file.size_bytes:,}</td>"
        f"<td><code>{file.sha256[:16]}</code></td></tr>"
        for file in spec.source_files
    ]
    flags = [
        f"<tr><td>--{name}</td><td>{html.escape(str(value))}</td></tr>"
        for name, value in spec.flags.items()
    ]
    return (
        "<section><h2>Source files</h2>"
        + table(["path", "bytes", "SHA-256"], files)
        + "</section><details><summary>Flags</summary>"
        + table(["flag", "value"], flags)
        + "</details>"
    )
