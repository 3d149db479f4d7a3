"""How well a model does: the parts of a run's page that tell it."""

from __future__ import annotations

import html

from input_pipeline.pages.drawing import svg
from input_pipeline.pages.page import panels, row, section, table
from mgoe_tf.evaluation import user_errors
from mgoe_tf.evaluation.calibration import reliability
from mgoe_tf.evaluation.tables import of_unknown
from mgoe_tf.reports import figures
from mgoe_tf.reports.run_facts import RunFacts

# With fewer positives than this a metric of a slice is mostly chance.
_FEW_POSITIVES = 50
_SLICES = {
    "new_pairs": "the user never had to do with the item before",
    "repeated_pairs": "the user had to do with the item before",
    "cold_item": "the item is not in the graph yet",
    "cold_user": "the user is not in the graph yet",
    "warm": "user and item are both in the graph",
}
_GLOSSARY = {
    "AUC": "How often a row that came true is ranked above one that did not: 0.5 is chance, 1 is "
    "perfect. &plusmn; is the 95 % interval over users.",
    "GAUC": "The same within the rows of each user, averaged: whether a user's own items are in "
    "the right order.",
    "logloss": "How far probabilities are from what came, on average; smaller is better.",
    "normalized entropy": "Logloss over that of always telling the base rate: below 1 the model "
    "knows more than that.",
    "calibration": "Mean prediction over mean outcome: 1 is right, above it too much is promised.",
}


def number(value: float | None, digits: int = 4) -> str:
    """A metric, or a dash where it is undefined."""
    return "&ndash;" if value is None else f"{value:.{digits}f}"


def tasks_section(facts: RunFacts) -> str:
    """The metrics of each task."""
    tasks, best = facts.metrics["tasks"], facts.best_auc
    rows = []
    for task, values in tasks.items():
        cells = [html.escape(task), number(values["auc"]), f"<small>{_error(facts, task)}</small>"]
        if best:
            cells.append(number(best.get(task)))
        cells += [
            number(values["gauc"]),
            number(values["logloss"]),
            number(values["normalized_entropy"], 3),
            number(values["calibration"], 2),
            f"{values['positives']:,}",
            f"{values['positives'] / max(1, values['labels']):.2%}",
        ]
        rows.append(row(cells))
    average = facts.metrics["average"]
    means = ["<b>mean</b>", f"<b>{number(average['auc'])}</b>", *([""] * (3 if best else 2))]
    rows.append(row([*means, number(average["logloss"]), "", "", "", ""]))
    head = ["task", "AUC", "\u00b1", *(["best possible"] if best else [])]
    head += ["GAUC", "logloss", "normalized entropy", "calibration", "positives", "of labelled"]
    unknown = "".join(f"<p>{html.escape(line)}.</p>" for line in of_unknown(facts.metrics))
    terms = "".join(f"<li><b>{name}</b>: {text}</li>" for name, text in _GLOSSARY.items())
    return section(
        "How well it ranks",
        f"The {facts.scored.split} window, {facts.metrics['rows']:,} rows, task by task"
        + (
            "; <i>best possible</i> is what the true probabilities of the synthetic world reach."
            if best
            else "."
        ),
        f"{table(head, rows)}{unknown}<details><summary>What the columns mean</summary>"
        f"<ul>{terms}</ul></details>",
    )


def _error(facts: RunFacts, task: str) -> str:
    """Half the 95 % interval of a task's AUC over users; "" where there is none."""
    labels, logits, users = facts.scored.of_task(task)
    if facts.metrics["tasks"][task]["auc"] is None:
        return ""
    found = user_errors.by_user(user_errors.of_auc(labels, logits), users)
    error = user_errors.QUANTILE * user_errors.deviation(found)
    return "" if error != error else f"{error:.3f}"


def slices_section(facts: RunFacts) -> str:
    """AUC by slice and task, with how many positives it is of."""
    tasks, rows, few = facts.spec.task_names, [], False
    for name, part in facts.metrics["slices"].items():
        cells = [f"{html.escape(name.replace('_', ' '))}<br><small>{_SLICES[name]}</small>"]
        cells.append(f"{part['rows']:,}")
        for task in tasks:
            values = part["tasks"][task]
            shown, positives = number(values["auc"], 3), values["positives"]
            if values["auc"] is not None and positives < _FEW_POSITIVES:
                few, shown = True, f"<i>{shown}</i>"
            cells.append(f"{shown}<br><small>{positives:,} positives</small>")
        rows.append(row(cells))
    return section(
        "Where it ranks well",
        "AUC in parts of the same rows."
        + (f" In italics: fewer than {_FEW_POSITIVES} positives, mostly chance." if few else ""),
        table(["rows", "number", *tasks], rows) + _unknown(facts),
    )


def _unknown(facts: RunFacts) -> str:
    """How many users and items of the rows the model does not know; "" where it knows all."""
    parts = [
        f"{found['ids']:,} of {found['of']:,} values of {html.escape(name)}, in "
        f"{found['rows']:,} rows"
        for name, found in facts.metrics["unknown_ids"].items()
        if found["ids"]
    ]
    return f"<p>Unknown to the model: {'; '.join(parts)}.</p>" if parts else ""


def curves_section(facts: RunFacts) -> str:
    """How metrics and losses went from epoch to epoch."""
    best = facts.history.best_epoch

    def lines(part: str, name: str) -> dict[str, list[tuple[float, float]]]:
        found = {
            task: facts.history.by_epoch(part, f"{name}/{task}") for task in facts.spec.task_names
        }
        return {task: points for task, points in found.items() if points}

    shown = {
        "validation AUC": figures.curves(lines("validation", "auc"), marked=best),
        "validation normalized entropy": figures.curves(
            lines("validation", "normalized_entropy"), marked=best
        ),
        "validation calibration (1 is right)": figures.curves(
            lines("validation", "calibration"), marked=best
        ),
        "training loss": figures.curves(lines("train", "loss"), marked=best, logarithmic=True),
    }
    return section(
        "How it learnt",
        "After each epoch, a pass over the training rows, the model is tried on the validation "
        "window. The dashed line is the epoch that did best there, whose weights were kept. "
        "Training loss that still falls where validation turns round is learning by heart.",
        panels({name: svg(figure) for name, figure in shown.items()}),
    )


def reliability_section(facts: RunFacts) -> str:
    """Reliability diagrams of all tasks."""
    shown = {
        task: svg(figures.reliability(reliability(*facts.scored.of_task(task)[:2])))
        for task in facts.spec.task_names
        if facts.metrics["tasks"][task]["labels"]
    }
    return section(
        "Can its probabilities be believed?",
        f"The rows of the {facts.scored.split} window in ten equally large groups by predicted "
        "probability: what was predicted, and what share came true, with 95 % intervals. On the "
        "dashed line both are the same; below it the model promises too much.",
        panels(shown),
    )
