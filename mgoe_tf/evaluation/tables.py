"""Metrics as tables for people."""

from __future__ import annotations

from typing import Any

from input_pipeline.commands.text_table import table


def number(value: float | None) -> str:
    """A metric as it is shown: four digits, or a dash where it is undefined."""
    return "-" if value is None else f"{value:.4f}"


def of_metrics(metrics: dict[str, Any]) -> str:
    """The contents of metrics.json: one line per task, then the slices."""
    names = ("auc", "gauc", "logloss", "normalized_entropy", "calibration")
    rows = [
        [task, *(number(values[name]) for name in names), f"{values['positives']:,}"]
        for task, values in metrics["tasks"].items()
    ]
    average = metrics["average"]
    rows.append(["average", number(average["auc"]), "", number(average["logloss"]), "", "", ""])
    slices = [
        [name, f"{part['rows']:,}", *(number(v["auc"]) for v in part["tasks"].values())]
        for name, part in metrics["slices"].items()
    ]
    header = [f"{metrics['split']} ({metrics['rows']:,} rows)", *names, "positives"]
    by_slice = table(["slice", "rows", *(f"auc {task}" for task in metrics["tasks"])], slices)
    unknown = of_unknown(metrics)
    return "\n".join([table(header, rows), "", by_slice, *([""] if unknown else []), *unknown])


def of_unknown(metrics: dict[str, Any]) -> list[str]:
    """A line for the users, and one for the items, that the model does not know."""
    lines = []
    for name, unknown in metrics["unknown_ids"].items():
        if unknown["ids"]:
            more = ", ..." if unknown["ids"] > len(unknown["examples"]) else ""
            lines.append(
                f"{name}: {unknown['ids']:,} of {unknown['of']:,} unknown to the model, in "
                f"{unknown['rows']:,} rows: {', '.join(unknown['examples'])}{more}"
            )
    return lines


def beside_best(metrics: dict[str, Any], best: dict[str, float | None] | None) -> str:
    """AUC by task, beside the best possible AUC where the truth is known."""
    header = [f"{metrics['split']} AUC", "model"] + (["best possible"] if best else [])
    rows = [
        [task, number(values["auc"])] + ([number(best.get(task))] if best else [])
        for task, values in metrics["tasks"].items()
    ]
    known = [best[task] for task in metrics["tasks"] if best and best.get(task) is not None]
    mean = number(sum(known) / len(known)) if known else "-"  # type: ignore[arg-type]
    rows.append(["average", number(metrics["average"]["auc"])] + ([mean] if best else []))
    return table(header, rows)
