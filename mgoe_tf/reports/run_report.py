"""The page about a training run, for readers who know nothing of it."""

from __future__ import annotations

import html

from input_pipeline.files import filesystem
from input_pipeline.pages.page import cards, document
from input_pipeline.spec import NEWEST_ROWS
from mgoe_tf.reports import origins, quality, workings
from mgoe_tf.reports.run_facts import RunFacts
from mgoe_tf.training.batches import WINDOWS
from mgoe_tf.training.progress import duration

REPORT_FILE = "report.html"
_WINDOWS = {
    "test": "the latest part of the log, which the model has never seen",
    "validation": "the part of the log after training, by which the best epoch was chosen",
}


def write(facts: RunFacts) -> str:
    """Writes the page into the model directory; returns its path."""
    path = filesystem.join(facts.model_dir, REPORT_FILE)
    filesystem.write_text(path, render(facts))
    return path


def render(facts: RunFacts) -> str:
    """The page as one HTML document that refers to no other file."""
    title = f"{facts.loaded.train_options.model} on {facts.spec.source} data"
    parts = [
        _head(facts, title),
        quality.tasks_section(facts),
        quality.slices_section(facts),
        quality.curves_section(facts),
        quality.reliability_section(facts),
        workings.gates_section(facts),
        workings.attention_section(facts),
        workings.scalars_section(facts),
        workings.macro_graph_section(facts),
        *origins.sections(facts),
    ]
    return document(f"Training run: {title}", [part for part in parts if part])


def _head(facts: RunFacts, title: str) -> str:
    options = facts.loaded.train_options
    window = _WINDOWS[facts.scored.split]
    if facts.spec.split != "time":
        window = "rows that the model has never seen"
    text = (
        "This model tells, for a user and an item, how likely each of these is: "
        f"{', '.join(facts.spec.task_names)}. The page says how well it does on the "
        f"{facts.metrics['rows']:,} rows of the {facts.scored.split} window ({window}), what it "
        "goes by, and how to make it again."
    )
    auc, history = facts.metrics["average"]["auc"], facts.history
    values = {
        "mean AUC of the tasks": "none" if auc is None else f"{auc:.4f}",
        "rows trained on": f"{_rows_trained_on(facts):,}",
        "weights": f"{facts.loaded.model.count_params():,}",
        "best epoch": f"{history.best_epoch} of {history.epochs}",
        "time": duration(history.seconds),
        "seed": f"{options.seed}",
    }
    return f"<h1>{html.escape(title)}</h1><p>{html.escape(text)}</p>{cards(values)}"


def _rows_trained_on(facts: RunFacts) -> int:
    counts, rows = facts.loaded.spec.counts, facts.loaded.train_options.rows_of_training
    if rows == "newest":
        return int(counts[NEWEST_ROWS])
    return sum(counts["rows"].get(name, 0) for name in WINDOWS[rows])
