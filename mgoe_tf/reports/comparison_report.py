"""The page that puts runs side by side."""

from __future__ import annotations

import dataclasses
import html
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from input_pipeline.pages.drawing import svg
from input_pipeline.pages.page import document, panels, row, section, table
from input_pipeline.spec import read_spec
from mgoe_tf.reports import figures
from mgoe_tf.reports.commands import train_command
from mgoe_tf.reports.differences import RULES, Difference, between
from mgoe_tf.reports.origins import data_paragraph
from mgoe_tf.reports.run_groups import Group, metrics_of, varying
from mgoe_tf.reports.run_history import RunHistory
from mgoe_tf.reports.run_influences import RunInfluences
from mgoe_tf.training import checkpoints
from mgoe_tf.training.progress import duration
from mgoe_tf.training.run_card import data_checksum

# With more groups than this, each is compared with the first alone.
_MOST_PAIRED = 5
_MOST_LETTERS = 26
_SMALLER_IS_BETTER = frozenset({"logloss", "normalized_entropy"})
METRICS = ("auc", "gauc", "logloss", "normalized_entropy", "calibration")


@dataclasses.dataclass(frozen=True)
class Question:
    """What is compared.

    Attributes:
      groups: of runs; the first is what others are compared with.
      split: whose rows.
      metric: its name in metrics.json.
      part: a slice of the rows; "": all.
      data_dir: where the rows are, for single runs; "": where each was trained.
    """

    groups: Sequence[Group]
    split: str
    metric: str
    part: str = ""
    data_dir: str = ""

    @property
    def letters(self) -> dict[str, str]:
        """A short name of each group, by its title: A, B, C, ..."""
        return {
            group.title: chr(ord("A") + place) if place < _MOST_LETTERS else str(place + 1)
            for place, group in enumerate(self.groups)
        }

    def named(self, group: Group) -> str:
        """A group's short name and its title, as HTML."""
        return f"<b>{self.letters[group.title]}</b> {html.escape(group.title)}"

    @property
    def title(self) -> str:
        """The metric, the window and the slice."""
        shown = self.metric.replace("_", " ").replace("gauc", "GAUC").replace("auc", "AUC")
        return f"{self.split} {shown}" + (f", {self.part.replace('_', ' ')}" if self.part else "")


def render(question: Question) -> str:
    """The page as one HTML document that refers to no other file."""
    groups = question.groups
    runs = sum(len(group.model_dirs) for group in groups)
    head = (
        f"<h1>{runs} runs of {len(groups)} kinds</h1><p>Runs that differ in their seed alone are "
        f"one kind, in the order in which they were named. Shown: {html.escape(question.title)}."
        "</p>"
    )
    values = {
        group.title: [
            metrics_of(path, question.split, question.metric, question.part)
            for path in group.model_dirs
        ]
        for group in groups
    }
    columns = list(dict.fromkeys(n for found in values.values() for run in found for n in run))
    parts = [
        head,
        _metrics_section(question, values, columns),
        _differences_section(question, values, columns),
        _others_section(question),
        _curves_section(question),
        _flags_section(question),
        _runs_section(question),
        _data_section(groups),
    ]
    return document("Comparison of runs", parts)


def spread(values: Sequence[float], digits: int = 4) -> str:
    """Mean and, of several values, their standard deviation, as HTML; a dash of none."""
    if not values:
        return "&ndash;"
    mean = f"{np.mean(values):.{digits}f}"
    if len(values) < 2:
        return mean
    return f"{mean} <small>&plusmn; {np.std(values, ddof=1):.{digits}f}</small>"


def _of(runs: Sequence[dict[str, float]], column: str) -> list[float]:
    return [run[column] for run in runs if column in run]


def _metrics_section(
    question: Question, values: dict[str, list[dict[str, float]]], columns: Sequence[str]
) -> str:
    rows, shown = [], {}
    models = {group.title: group.settings["model"] for group in question.groups}
    for column in columns:
        found = {
            f"{question.letters[title]} {models[title]}": _of(runs, column)
            for title, runs in values.items()
        }
        found = {name: of_group for name, of_group in found.items() if of_group}
        shown[column] = svg(figures.runs(found, label=question.title))
    for group in question.groups:
        runs = values[group.title]
        cells = [spread(_of(runs, column)) for column in columns]
        rows.append(row([question.named(group), str(len(runs)), *cells]))
    return section(
        "Side by side",
        "Mean and, of several seeds, &plusmn; the standard deviation over them. Below, each dot is "
        "a run and each stroke the mean of a kind.",
        table(["kind", "runs", *columns], rows) + panels(shown),
    )


def _differences_section(
    question: Question, values: dict[str, list[dict[str, float]]], columns: Sequence[str]
) -> str:
    groups = list(question.groups)
    if len(groups) < 2:
        return ""
    pairs = (
        list(itertools.combinations(groups, 2))
        if len(groups) <= _MOST_PAIRED
        else [(groups[0], group) for group in groups[1:]]
    )
    known = RunInfluences(question.split, question.metric, question.part, question.data_dir)
    rows, rules = [], {}
    for first, second in pairs:
        single = len(first.model_dirs) == len(second.model_dirs) == 1
        influences = known.of_pair(first.model_dirs[0], second.model_dirs[0]) if single else {}
        cells = []
        for column in columns:
            ours, theirs = (_of(values[group.title], column) for group in (first, second))
            if not ours or not theirs:
                cells.append("&ndash;")
                continue
            found = between(ours, theirs, influences.get(column))
            rules[found.rule] = RULES[found.rule]
            cells.append(difference_cell(found, question.metric))
        letters = (question.letters[group.title] for group in (second, first))
        name = " <small>less</small> ".join(letters)
        rows.append(row([name, *cells]))
    texts = "".join(f"<li>{html.escape(text)}</li>" for text in rules.values())
    texts += "".join(
        f"<li>{html.escape(pair)}: {html.escape(reason)}.</li>"
        for pair, reason in known.refusals.items()
    )
    return section(
        "Which differences are beyond the spread",
        "In bold: 0 is outside of the 95 % interval, which &plusmn; tells; green: better, red: "
        "worse. Grey: within the spread, or nothing can be said. One difference of twenty is "
        "beyond it by chance.",
        table(["difference", *columns], rows) + f"<ul>{texts}</ul>",
    )


def difference_cell(found: Difference, metric: str) -> str:
    """A difference and half its interval as HTML: bold and coloured where it is beyond 0."""
    if found.reach is None:
        return f"<small>{found.value:+.4f}, ?</small>"
    text = f"{found.value:+.4f} <small>&plusmn; {found.reach:.4f}</small>"
    if not found.is_beyond:
        return f"<small>{text}</small>"
    if metric == "calibration":  # nearer to 1 is better, which a difference does not tell
        return f"<b>{text}</b>"
    better = (found.value > 0) != (metric in _SMALLER_IS_BETTER)
    return f"<b class={'good' if better else 'warning'}>{text}</b>"


def _others_section(question: Question) -> str:
    """The other metrics, as means over tasks."""
    if question.part:
        return ""
    rows = []
    for group in question.groups:
        cells = []
        for metric in METRICS:
            found = [metrics_of(path, question.split, metric) for path in group.model_dirs]
            cells.append(spread(_of(found, "mean")))
        rows.append(row([question.named(group), *cells]))
    return section(
        "All metrics",
        "Means over tasks.",
        table(["kind", *(metric.replace("_", " ") for metric in METRICS)], rows),
    )


def _curves_section(question: Question) -> str:
    """Mean validation AUC of every run after each epoch."""
    lines, colors = {}, {}
    for place, group in enumerate(question.groups):
        for path in group.model_dirs:
            points = RunHistory.read(path).by_epoch("validation", "average/auc")
            if points:
                name = f"{question.letters[group.title]}, seed {_seed(path)}"
                lines[name], colors[name] = points, place
    figure = figures.curves(lines, colors=colors)
    return section(
        "How they learnt",
        "Runs of one kind have one colour.",
        panels({"mean validation AUC": svg(figure)}),
    )


def _seed(model_dir: str) -> int:
    return checkpoints.read_options(model_dir)[1].seed


def _flags_section(question: Question) -> str:
    groups = question.groups
    names = ["model", *varying([group.settings for group in groups])]
    rows = [
        row([f"<code>--{name}</code>"] + [_value(group.settings, name) for group in groups])
        for name in names
        if len({_value(group.settings, name) for group in groups}) > 1
    ]
    if not rows:
        return ""
    return section(
        "In what they differ",
        "Flags; a dash where a model has none of the name.",
        table(["flag", *question.letters.values()], rows, of_text=True),
    )


def _value(settings: dict[str, Any], name: str) -> str:
    return html.escape(str(settings[name])) if name in settings else "&ndash;"


def _runs_section(question: Question) -> str:
    """Where each run is, and how it went."""
    rows, commands = [], ""
    for group in question.groups:
        for path in group.model_dirs:
            history = RunHistory.read(path)
            versions = history.sessions[-1]["versions"]
            cells = (
                *(question.letters[group.title], f"<code>{html.escape(path)}</code>"),
                *(str(_seed(path)), f"{history.best_epoch} of {history.epochs}"),
                *(duration(history.seconds), f"{versions['mgoe_tf']}, {versions['tensorflow']}"),
            )
            rows.append(row(cells))
        model_options, options = checkpoints.read_options(group.model_dirs[0])
        commands += f"<pre>{html.escape(train_command(options, model_options))}</pre>"
    head = ["kind", "directory", "seed", "best epoch", "time", "mgoe_tf, tensorflow"]
    return section(
        "The runs",
        "Below, the command of the first run of each kind.",
        table(head, rows, of_text=True) + commands,
    )


def _data_section(groups: Sequence[Group]) -> str:
    """What the runs were trained on, if it is the same."""
    specs = [read_spec(path) for group in groups for path in group.model_dirs]
    same = len({data_checksum(spec) for spec in specs}) == 1
    warning = (
        ""
        if same
        else "<b class=warning>The runs were trained on different data sets, so that their metrics "
        "are of different rows.</b> The first one's: "
    )
    return section("The data", warning + data_paragraph(specs[0]), "")
