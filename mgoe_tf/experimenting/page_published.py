"""The paper's figures beside those that were found."""

from __future__ import annotations

import html

from input_pipeline.pages.page import row, section, table
from mgoe_tf.experimenting import published
from mgoe_tf.experimenting.cells import DASH, spread_cell
from mgoe_tf.experimenting.data_sets import DataSet
from mgoe_tf.experimenting.findings import Findings


def render(findings: Findings, data: DataSet) -> str:
    """The paper's AUCs beside those that were found, where it used a log of the kind."""
    known = published.MODELS.get(data.spec.source)
    if not known:
        return ""

    def ours(model: str | None, task: str) -> str:
        if model is None:
            return DASH
        return spread_cell(findings.results.spread(data.name, model, "auc", task))

    rows = [
        row(
            [
                html.escape(task),
                *(f"{value:.4f}" for value in (of_task.mmoe, of_task.mgoe)),
                f"{of_task.rival:.4f} <small>{of_task.rival_name}</small>",
                ours("mmoe", task),
                ours("mgoe", task),
                f"{ours(rival, task)} <small>{html.escape(rival or '')}</small>",
            ]
        )
        for task, of_task in known.items()
        if task in data.spec.task_names
        for rival in [findings.best_rival(data.name, task)]
    ]
    head = ["task", "paper: MMoE", "paper: MGOE", "paper: best rival"]
    head += ["here: MMoE", "here: MGOE", "here: best rival"]
    return section(
        f"Beside the paper's figures: {html.escape(data.name)}",
        f"AUC. The paper's rows ({published.SIZES[data.spec.source]} after its filtering) are not "
        f"these ({data.spec.counts['users']:,} users, {data.spec.counts['items']:,} items), nor is "
        "how they were divided: compare how far apart models are, not the figures themselves.",
        table(head, rows),
    )
