"""Compares trained models: `python -m mgoe_tf.compare --model_dirs=runs/mgoe-*,runs/mmoe-*`.

Runs that differ in their seed alone are one line: mean and standard deviation of their metrics.
"""

from __future__ import annotations

import collections
import dataclasses
from typing import Any

import numpy as np

from input_pipeline.commands.command import run_command
from input_pipeline.commands.options import option
from input_pipeline.files import filesystem
from mgoe_tf.evaluation import tables
from mgoe_tf.evaluation.evaluator import SPLITS
from mgoe_tf.training import checkpoints

_NOT_A_SETTING = frozenset(
    {
        "seed",
        "model_dir",
        "resume",
        "allow_empty_tasks",
        "evaluate_test",
        "intra_op_threads",
        "skip_bad_records",
        "distribution",
    }
)


@dataclasses.dataclass(frozen=True)
class CompareOptions:
    """Which runs, on which rows."""

    model_dirs: tuple[str, ...] = option(
        (), "Model directories that mgoe_tf.train wrote, or globs of them.", is_path=True
    )
    split: str = option("test", "Compare metrics_<split>.json of each run.", SPLITS)
    metric: str = option(
        "auc", "Metric by task.", ("auc", "gauc", "logloss", "normalized_entropy", "calibration")
    )
    slice: str = option("", "Compare auc or logloss within this slice of the rows.")

    def __post_init__(self) -> None:
        if not self.model_dirs:
            raise ValueError("--model_dirs: must name at least one model directory, got none")


def compare(options: CompareOptions) -> str:
    """A table: one line per group of runs, one column per task and one for the mean over tasks."""
    groups: dict[str, list[dict[str, float | None]]] = collections.defaultdict(list)
    settings = {path: _settings(path) for path in _find(options.model_dirs)}
    names = {name for values in settings.values() for name in values}
    # Models have options of their own: those vary where the runs that have them differ.
    varying = sorted(
        name
        for name in names - {"model"}
        if len({str(values[name]) for values in settings.values() if name in values}) > 1
    )
    for path, values in settings.items():
        shown_options = [f"{name}={values[name]}" for name in varying if name in values]
        title = " ".join([values["model"], *shown_options])
        groups[title].append(_metrics(path, options))
    by_run = [run for runs in groups.values() for run in runs]
    names_found = dict.fromkeys(name for run in by_run for name in run)
    # tasks in their order, but for those that no run has a value of, then the mean
    columns = sorted(
        (name for name in names_found if any(run.get(name) is not None for run in by_run)),
        key=lambda name: name == "mean",
    )
    lines = [
        [title, str(len(runs)), *(_spread([run.get(name) for run in runs]) for name in columns)]
        for title, runs in groups.items()
    ]
    shown = " ".join(filter(None, [options.split, options.metric, options.slice]))
    return tables.table([shown, "runs", *columns], lines)


def _find(patterns: tuple[str, ...]) -> list[str]:
    found: dict[str, None] = {}
    for pattern in patterns:
        runs = [path for path in filesystem.glob(pattern) if checkpoints.holds_run(path)]
        if not runs:
            raise ValueError(f"--model_dirs: there is no trained model at {pattern}")
        found |= dict.fromkeys(runs)
    return list(found)


def _settings(model_dir: str) -> dict[str, Any]:
    """Everything that may explain a difference between two runs."""
    model_options, options = checkpoints.read_options(model_dir)
    values = dataclasses.asdict(options) | dataclasses.asdict(model_options)
    return {name: value for name, value in values.items() if name not in _NOT_A_SETTING}


def _metrics(model_dir: str, options: CompareOptions) -> dict[str, float | None]:
    metrics = checkpoints.read_metrics(model_dir, options.split)
    if metrics is None:
        path = filesystem.join(model_dir, f"metrics_{options.split}.json")
        raise ValueError(f"{path} is missing: the run in {model_dir} has not been finished")
    if options.slice and options.slice not in metrics["slices"]:
        raise ValueError(
            f"--slice: must be one of {list(metrics['slices'])}, got {options.slice!r}"
        )
    part = metrics["slices"][options.slice] if options.slice else metrics
    if any(options.metric not in values for values in part["tasks"].values()):
        raise ValueError(f"--metric: a slice has auc and logloss only, got {options.metric!r}")
    values = {task: values[options.metric] for task, values in part["tasks"].items()}
    averaged = [values[task] for task in metrics.get("averaged_tasks", values)]
    known = [value for value in averaged if value is not None]
    return {**values, "mean": float(np.mean(known)) if known else None}


def _spread(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return tables.number(known[0] if known else None)
    return f"{np.mean(known):.4f} ± {np.std(known, ddof=1):.4f}"


def main() -> None:
    """The command."""
    run_command(lambda options: print(compare(options)), CompareOptions, doc=__doc__)


if __name__ == "__main__":
    main()
