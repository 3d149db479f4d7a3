"""results.json and the CSV files: every number of the page, for other programs."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Sequence
from typing import Any

import mgoe_tf
from input_pipeline.files import filesystem
from mgoe_tf.experimenting.findings import Findings
from mgoe_tf.experimenting.results import MEAN, METRICS, SMALLER_IS_BETTER
from mgoe_tf.experimenting.statistics import lead
from mgoe_tf.training import checkpoints
from mgoe_tf.training.run_card import data_checksum

_SWEEPS = ("ablations", "temperature", "groups", "omegas", "protocols")


def write(findings: Findings, output: str) -> list[str]:
    """Writes results.json and CSV files to a directory, and returns their names."""
    options = findings.schedule.options
    tables = {
        "table1": table1(findings),
        "differences": differences(findings),
        "settings": settings(findings),
        "timing": timing(findings),
        "sizes": sizes(findings),
        "metrics": findings.results.records(
            {data.name: data.spec.task_names for data in findings.schedule.data}
        ),
    }
    contents = {
        "version": mgoe_tf.__version__,
        "plan": options.plan,
        "models": list(findings.models),
        "model_of_interest": findings.subject,
        "seeds": list(options.chosen_seeds),
        "data": {
            data.name: {
                "source": data.spec.source,
                "rows": data.spec.rows,
                "split": data.spec.split,
                "tasks": list(data.spec.task_names),
                "counts": data.spec.counts,
                "checksum": data_checksum(data.spec),
            }
            for data in findings.schedule.data
        },
        "machine": findings.machine,
        "notes": findings.schedule.notes,
        "failures": [dataclasses.asdict(failure) for failure in findings.failures],
        **tables,
    }
    checkpoints.write_json(filesystem.join(output, "results.json"), contents)
    for name, records in tables.items():
        filesystem.write_text(filesystem.join(output, f"{name}.csv"), as_csv(records))
    return ["results.json", *(f"{name}.csv" for name in tables)]


def as_csv(records: Sequence[dict[str, Any]]) -> str:
    """Lines with a header; what a record has not is an empty cell."""
    names = list(dict.fromkeys(name for record in records for name in record))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()


def table1(findings: Findings) -> list[dict[str, Any]]:
    """Mean, deviation and number of seeds of every model, metric and task, and its lead."""
    found = []
    for data in findings.schedule.data:
        for model in findings.ranking(data.name):
            for metric in METRICS:
                for task in (*data.spec.task_names, MEAN):
                    spread = findings.results.spread(data.name, model, metric, task)
                    if spread is not None:
                        found.append(
                            {
                                "data": data.name,
                                "model": model,
                                "metric": metric,
                                "task": task,
                                **spread._asdict(),
                                "lead_percent": _lead(findings, data.name, model, metric, task),
                            }
                        )
    return found


def _lead(findings: Findings, data: str, model: str, metric: str, task: str) -> float | None:
    """Of a model over the best other one; None of metrics that have no best."""
    if metric == "calibration":
        return None
    smaller = metric in SMALLER_IS_BETTER
    means = {
        other: spread.mean
        for other in findings.models
        if (spread := findings.results.spread(data, other, metric, task))
    }
    ours = means.pop(model)
    if not means:
        return None
    rival = min(means.values()) if smaller else max(means.values())
    return lead(ours, rival, smaller_is_better=smaller)


def differences(findings: Findings) -> list[dict[str, Any]]:
    """The AUC of the model of interest less each rival's, over seeds and over users."""
    found = []
    for data in findings.schedule.data:
        over_users = findings.over_users.get(data.name, {})
        for rival in (m for m in findings.ranking(data.name) if m != findings.subject):
            for task in (*data.spec.task_names, MEAN):
                seeds = findings.results.difference(
                    data.name, (rival, ""), (findings.subject, ""), task=task
                )
                users = over_users.get(rival, {}).get(task)
                record: dict[str, Any] = {"data": data.name, "rival": rival, "task": task}
                if seeds is not None:
                    record |= {f"seeds_{name}": v for name, v in seeds._asdict().items()}
                if users is not None:
                    record |= {"users_value": users.value, "users_reach": users.reach}
                found.append(record)
    return found


def settings(findings: Findings) -> list[dict[str, Any]]:
    """Mean AUC and logloss of every setting that was run, and of the model as it is."""
    found = []
    schedule = findings.schedule
    seed = schedule.options.chosen_seeds[0]
    for part in _SWEEPS:
        for data in schedule.data:
            for setting in schedule.settings(part):
                for model in schedule.models_of(part):
                    name = schedule.run_of(data, model, seed, setting).setting
                    record: dict[str, Any] = {
                        "part": part,
                        "data": data.name,
                        "setting": setting.name,
                        "at": " ".join(f"{value:g}" for value in setting.at),
                        "model": model,
                        "is_default": not name,
                    }
                    for metric in ("auc", "logloss"):
                        spread = findings.results.spread(
                            data.name, model, metric, MEAN, setting=name
                        )
                        if spread is not None:
                            of_metric = spread._asdict().items()
                            record |= {f"{metric}_{key}": value for key, value in of_metric}
                    found.append(record)
    return found


def timing(findings: Findings) -> list[dict[str, Any]]:
    """Of every call that was measured."""
    return [
        {"data": name, **dataclasses.asdict(entry)}
        for name, entries in findings.timings.items()
        for entry in entries
    ]


def sizes(findings: Findings) -> list[dict[str, Any]]:
    """Of every model."""
    return [
        {
            "data": name,
            "model": model,
            **dataclasses.asdict(size),
            "training_seconds": findings.seconds[name].get(model),
        }
        for name, of_data in findings.sizes.items()
        for model, size in of_data.items()
    ]
