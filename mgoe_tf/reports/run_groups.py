"""Runs that differ in their seed alone, grouped, and their metrics."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from input_pipeline.files import filesystem, patterns
from mgoe_tf.training import checkpoints

_NOT_A_SETTING = frozenset(
    {
        "seed",
        "model_dir",
        "resume",
        "allow_empty_tasks",
        "evaluate_test",
        "report",
        "profile_steps",
        "intra_op_threads",
        "skip_bad_records",
        "distribution",
    }
)
# Metrics that are told of slices, too.
SLICE_METRICS = ("auc", "logloss")


@dataclasses.dataclass(frozen=True)
class Group:
    """Runs of the same flags.

    Attributes:
      title: what tells the group from the others.
      settings: flags by name, but for those that explain no difference.
      model_dirs: of its runs, in the order in which they were named.
    """

    title: str
    settings: dict[str, Any]
    model_dirs: tuple[str, ...]


def find(model_dirs: Sequence[str]) -> list[Group]:
    """The groups of the runs in some directories, in the order of their first runs.

    Raises:
      ValueError: a pattern names no trained model.
    """
    settings = {path: _settings(path) for path in _find(model_dirs)}
    names = varying(list(settings.values()))
    members: dict[str, list[str]] = collections.defaultdict(list)
    for path, values in settings.items():
        shown = [f"{name}={values[name]}" for name in names if name in values]
        members[" ".join([values["model"], *shown])].append(path)
    return [Group(title, settings[paths[0]], tuple(paths)) for title, paths in members.items()]


def varying(settings: Sequence[dict[str, Any]]) -> list[str]:
    """The flags, but for the model, in which runs that have them differ, in alphabetical order.

    Models have options of their own, which vary where the runs that have them differ.
    """
    names = {name for values in settings for name in values}
    return sorted(
        name
        for name in names - {"model"}
        if len({str(values[name]) for values in settings if name in values}) > 1
    )


def metrics_of(model_dir: str, split: str, metric: str, part: str = "") -> dict[str, float]:
    """A metric of a run by task, and their `mean`; undefined ones are left out.

    Args:
      model_dir: of the run.
      split: whose metrics_<split>.json is read.
      metric: its name there.
      part: a slice of the rows; "": all.

    Raises:
      ValueError: the run has not been finished, or there is no such slice or metric.
    """
    metrics = checkpoints.read_metrics(model_dir, split)
    if metrics is None:
        path = filesystem.join(model_dir, f"metrics_{split}.json")
        raise ValueError(f"{path} is missing: the run in {model_dir} has not been finished")
    if part and part not in metrics["slices"]:
        raise ValueError(f"--slice: must be one of {list(metrics['slices'])}, got {part!r}")
    if part and metric not in SLICE_METRICS:
        raise ValueError(f"--metric: a slice has auc and logloss only, got {metric!r}")
    of_rows = metrics["slices"][part] if part else metrics
    values = {task: of_task[metric] for task, of_task in of_rows["tasks"].items()}
    known = {task: value for task, value in values.items() if value is not None}
    averaged = [known[task] for task in metrics.get("averaged_tasks", known) if task in known]
    return {**known, "mean": float(np.mean(averaged))} if averaged else known


def _find(model_dirs: Sequence[str]) -> list[str]:
    found: dict[str, None] = {}
    for pattern in model_dirs:
        runs = [path for path in patterns.glob(pattern) if checkpoints.holds_run(path)]
        if not runs:
            raise ValueError(f"--model_dirs: there is no trained model at {pattern}")
        found |= dict.fromkeys(runs)
    return list(found)


def _settings(model_dir: str) -> dict[str, Any]:
    """Everything that may explain a difference between two runs."""
    model_options, options = checkpoints.read_options(model_dir)
    values = dataclasses.asdict(options) | dataclasses.asdict(model_options)
    return {name: value for name, value in values.items() if name not in _NOT_A_SETTING}
