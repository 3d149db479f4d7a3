"""The data report: what went in, and what a model could win without knowing anyone."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

from input_pipeline.pages.drawing import svg
from input_pipeline.pages.page import cards, document, section, table, wide
from input_pipeline.report import figures, telling
from input_pipeline.report.feature_tables import ids_table, numbers_table
from input_pipeline.report.log_statistics import LogStatistics
from input_pipeline.report.macro_graph import Degrees, MacroGraph
from input_pipeline.report.macro_statistics import EdgeStatistics, balance_table, edges_table
from input_pipeline.report.window_statistics import SIGNALS, WindowStatistics
from input_pipeline.report.window_warnings import window_warnings
from input_pipeline.sources.remarks import COUNTED
from input_pipeline.spec import DatasetSpec


def render(
    spec: DatasetSpec,
    log: LogStatistics,
    windows: Sequence[WindowStatistics],
    edges: Sequence[EdgeStatistics],
    graph: MacroGraph,
    degrees: Mapping[str, Degrees],
) -> str:
    """The report as one HTML document.

    Args:
      spec: of the data set.
      log: what the whole log holds.
      windows: what its windows hold, in order.
      edges: what the macro edges say of the windows that have a graph.
      graph: at the end of the log.
      degrees: by owner, at the end of the log.
    """
    tasks = spec.task_names
    parts = [_summary(spec), _notices(spec, windows)]
    if log.by_day is not None:
        parts.append(
            section(
                "Events per day",
                "By task, in UTC, without the first and last 0.1% of the events, and without times "
                "outside the calendar.",
                wide(figures.lines_by_day(*log.by_day, tasks)),
            )
        )
    parts += [
        section(
            "Rows and label rates",
            "Share of rows with label 1, of those that have the label.",
            wide(
                figures.label_rates(
                    [w.name for w in windows], {t: [w.rate(t) for w in windows] for t in tasks}
                )
            )
            + _rows_table(windows, tasks),
        ),
        _features(log),
        section(
            "What single numbers win",
            "AUC of one number about the row, before any model. 0.5 is chance; far from it, a "
            "model can look good without knowing anyone. Numbers rank rows by their value; ids by "
            "the share of positive rows that they had in earlier windows, with 20 rows of the mean "
            "share added (several ids: by their mean share). Popular items and active users "
            "honestly reach 0.7 to 0.8. In bold, and warned of above: "
            f"{telling.TELLING_AUC} or more (or as far below a half) where the lower bound of the "
            f"95 % interval is {telling.TELLING_BOUND} or more, too; that is likely the outcome "
            "under another name. The interval counts rows that share a user or an item as fewer. "
            "History reads no graph and is left out.",
            _auc_table(windows, tasks),
        ),
        section(
            "Degrees",
            "Share of nodes with at least so many distinct neighbours, over the whole log.",
            wide(figures.degrees(degrees["user"], degrees["item"])),
        ),
        section(
            "Macro nodes",
            "Members at the end of the log; cold nodes belong to none. The effective number is "
            "that of equally large macro nodes with the same entropy.",
            wide(figures.macro_sizes(graph)) + balance_table(graph.sizes),
        ),
        section(
            "Macro edges",
            "Ties between user and item macro nodes, compared with what their totals alone would "
            "give (log2: +1 is twice as strong, -1 half).",
            wide(svg(figures.macro_edges(graph.lift))),
        ),
        section(
            "What the macro edges say by themselves",
            "AUC, before any model, of how much stronger the edges tie a user and an item than "
            "the totals of both: log(1 + w) of the user's edge to the item's macro node, less "
            "those of its row and of its column, plus the same of the item's edge. Of pairs that "
            "are new, of a user and an item that are not. 0.5: the macro nodes mean nothing.",
            edges_table(edges, tasks),
        ),
        _files(spec),
    ]  # fmt: skip
    return document(f"Data report: {spec.source}", parts)


def _features(log: LogStatistics) -> str:
    """What the columns of features hold; "" where there are none."""
    content = ids_table(log.ids) + numbers_table(log.numbers)
    text = (
        "Of each event's own line. Distributions of numbers leave out half a percent at both ends, "
        "which the outermost bars hold."
    )
    return section("Features", text, content) if content else ""


def _summary(spec: DatasetSpec) -> str:
    counts = spec.counts
    numbers = {
        "events": counts["events"],
        "users": counts["users"],
        "items": counts["items"],
        **{f"{split} rows": number for split, number in counts["rows"].items()},
    }
    about = f"source {spec.source}, rows {spec.rows}, split {spec.split}"
    boxes = cards({name: f"{number:,}" for name, number in numbers.items()})
    return f"<h1>Data report</h1><p>{html.escape(about)}</p>{boxes}"


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
        f"{one} alone. "
        + (
            "Is it the outcome under another name? Then leave it out of the features."
            if one.is_column
            else "A model can look good here without knowing anyone."
        )
        for one in telling.find(windows, spec.task_names)
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
                ranking = by_task[task]
                if ranking is None:
                    cells.append("<td>&ndash;</td>")
                    continue
                value = ranking.auc
                # From white at chance to saturated at 0.25 from it.
                shade = min(1.0, abs(value - 0.5) * 4)
                style = f"background:rgba(214,96,77,{shade:.2f})"
                text = f"{value:.3f}"
                if telling.is_telling(ranking):
                    text = f"<b>{text}</b>"
                cells.append(f'<td style="{style}">{text}</td>')
            name = html.escape(window.name) if signal == SIGNALS[0] else ""
            shown = html.escape(signal)
            rows.append(f"<tr><td>{name}</td><th>{shown}</th>{''.join(cells)}</tr>")
    return table(["window", "signal", *tasks], rows, of_two_names=True)


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
