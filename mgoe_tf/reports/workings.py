"""What a model goes by: the parts of a run's page that tell it."""

from __future__ import annotations

import html
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from input_pipeline.pages.drawing import svg
from input_pipeline.pages.page import panels, row, section, table, wide
from input_pipeline.report.figures import macro_edges
from mgoe_tf.reports import figures
from mgoe_tf.reports.run_facts import RunFacts

_STAGES = {"gates": "experts", "fusion_gates": "fusion experts"}
_SETS = {
    "user_1hop": "item groups that the user deals with",
    "user_2hop": "user groups that deal with the same items",
    "item_1hop": "user groups that deal with the item",
    "item_2hop": "item groups that the same users deal with",
}
# Colours of an attention map end here at the least, so that noise looks as what it is.
_LEAST_CONTRAST = 0.5
_EVEN = 0.02


def gate_shares(facts: RunFacts) -> dict[str, dict[str, NDArray[np.float32]]]:
    """The mean weights of experts by stage and task, [X]."""
    found: dict[str, dict[str, NDArray[np.float32]]] = {}
    for name, value in facts.diagnostics.items():
        stage, _, task = name.partition("/")
        if stage.endswith("gates"):
            found.setdefault(stage, {})[task] = value
    tasks = facts.spec.task_names
    return {stage: {t: shares[t] for t in tasks if t in shares} for stage, shares in found.items()}


def attention_shares(facts: RunFacts) -> dict[str, dict[str, NDArray[np.float32]]]:
    """By neighbour set: `edges`, the macro weights alpha, and each task's attention, [K]."""
    found: dict[str, dict[str, NDArray[np.float32]]] = {}
    for name, value in facts.diagnostics.items():
        if name.startswith("alpha/"):
            found.setdefault(name.removeprefix("alpha/"), {})["edges (alpha)"] = value
    for task in facts.spec.task_names:
        for name, rows in found.items():
            if f"attention/{task}/{name}" in facts.diagnostics:
                rows[task] = facts.diagnostics[f"attention/{task}/{name}"]
    return found


def contrast(rows: Mapping[str, Mapping[str, NDArray[np.float32]]]) -> float:
    """Where the colours of all maps end: the largest |log2 (K share)| but for outliers."""
    values = [
        np.abs(np.log2(np.maximum(share * len(share), 1e-9)))
        for shares in rows.values()
        for share in shares.values()
    ]
    return max(_LEAST_CONTRAST, float(np.quantile(np.concatenate(values), 0.98)))


def gates_section(facts: RunFacts) -> str:
    """Where the gates go; "" of a model without."""
    stages, experts = gate_shares(facts), facts.loaded.model.expert_names
    if not stages or not experts:
        return ""
    shown = {
        _STAGES.get(stage, stage.replace("_", " ")): svg(figures.gates(shares, experts))
        for stage, shares in stages.items()
    }
    return section(
        "Where the gates go",
        "A task mixes experts, small networks, by weights that add up to 1 for each row; these are "
        "their means. <i>shared</i> experts are used by all tasks, <i>own</i> ones by one task. "
        + html.escape(_told_of_gates(facts, stages)),
        panels(shown),
    )


def _told_of_gates(facts: RunFacts, stages: dict[str, dict[str, NDArray[np.float32]]]) -> str:
    """Which tasks lean on their own experts, and which on those of all."""
    shared = np.array([name.startswith("shared") for name in facts.loaded.model.expert_names])
    if shared.all() or not shared.any():
        return ""
    parts = []
    for stage, shares in stages.items():
        taken = {task: float(share[shared].sum()) for task, share in shares.items()}
        most, least = max(taken, key=taken.__getitem__), min(taken, key=taken.__getitem__)
        of_stage = _STAGES.get(stage, stage)
        if taken[most] - taken[least] < _EVEN:
            parts.append(f"Of the {of_stage} all tasks take {taken[most]:.0%} from shared ones.")
            continue
        parts.append(
            f"Of the {of_stage} {most} takes the most from shared ones, {taken[most]:.0%}, and "
            f"{least} the least, {taken[least]:.0%}."
        )
    return " ".join(parts)


def attention_section(facts: RunFacts) -> str:
    """Attention and alpha maps; "" of a model without."""
    sets = attention_shares(facts)
    if not sets:
        return ""
    most = contrast(sets)
    shown = {
        f"{name}: {_SETS.get(name, '')}": svg(figures.shares_map(rows, most))
        for name, rows in sets.items()
    }
    return section(
        "Which groups it attends to",
        "Users and items are grouped into macro nodes. The first row is what the graph's edges "
        "alone weigh (alpha), the others what each task attends to, on average over rows. Red: "
        "more than an equal share, blue: less; +1 is twice, -1 half of it.",
        panels(shown),
    )


def scalars_section(facts: RunFacts) -> str:
    """theta and kappa; "" of a model that has neither."""
    named = {
        "theta": "theta: how much of the logit of the task before is passed on",
        "kappa": "kappa: how strongly the user's past with the item's group moves the logit",
    }
    there = {
        name: text
        for name, text in named.items()
        if any(key.startswith(f"{name}/") for key in facts.diagnostics)
    }
    if not there:
        return ""
    rows = []
    for name, text in there.items():
        values = [facts.diagnostics.get(f"{name}/{task}") for task in facts.spec.task_names]
        cells = ["&ndash;" if value is None else f"{float(value):+.3f}" for value in values]
        rows.append(row([html.escape(text), *cells]))
    return section(
        "How tasks lean on each other",
        "Two numbers a task that the model learnt: 0 means that the path is not used. The first "
        "task has none before it.",
        table(["", *facts.spec.task_names], rows),
    )


def macro_graph_section(facts: RunFacts) -> str:
    """The macro graph, for models that read it."""
    if not attention_shares(facts):
        return ""
    return section(
        "The macro graph",
        "How strongly each group of users is tied to each group of items, compared with what "
        "their totals alone would give (log2: +1 is twice as strong, -1 half).",
        wide(svg(macro_edges(facts.graph.lift))),
    )
