"""Compares trained models: `python -m mgoe_tf.compare --model_dirs=runs/mgoe-*,runs/mmoe-*`.

Runs that differ in their seed alone are one line: mean and standard deviation of their metrics.
`--report=FILE` writes a page that says which differences are beyond the spread.
"""

from __future__ import annotations

import dataclasses
import os
import sys

import numpy as np

from input_pipeline.commands.command import run_command
from input_pipeline.commands.options import option
from input_pipeline.commands.text_table import table
from input_pipeline.files import filesystem
from mgoe_tf.evaluation import tables
from mgoe_tf.evaluation.evaluator import SPLITS
from mgoe_tf.reports import comparison_report, run_groups
from mgoe_tf.training.quiet import quiet_tensorflow


@dataclasses.dataclass(frozen=True)
class CompareOptions:
    """Which runs, on which rows."""

    model_dirs: tuple[str, ...] = option(
        (), "Model directories that mgoe_tf.train wrote, or globs of them.", is_path=True
    )
    split: str = option("test", "Compare metrics_<split>.json of each run.", SPLITS)
    metric: str = option("auc", "Metric by task.", comparison_report.METRICS)
    slice: str = option(
        "", "Compare auc or logloss within a slice of the rows, such as cold_item or cold_user."
    )
    report: str = option(
        "",
        "Page to write, such as comparison.html: runs side by side, and which differences are "
        "beyond the spread over seeds or, of two single runs, over users.",
        is_path=True,
    )
    data_dir: str = option(
        "",
        "Data set that --report scores two single runs on again. Default: where they were trained.",
        is_path=True,
    )

    def __post_init__(self) -> None:
        if not self.model_dirs:
            raise ValueError("--model_dirs: must name at least one model directory, got none")


def compare(options: CompareOptions) -> str:
    """A table: one line per group of runs, one column per task and one for the mean over tasks.

    With `report`, the page is written, too.

    Raises:
      ValueError: there is no such run, metric or slice.
    """
    groups = run_groups.find(options.model_dirs)
    values = {
        group.title: [
            run_groups.metrics_of(path, options.split, options.metric, options.slice)
            for path in group.model_dirs
        ]
        for group in groups
    }
    if options.report:
        filesystem.make_dirs(os.path.dirname(options.report) or ".")
        page = comparison_report.render(
            comparison_report.Question(
                groups, options.split, options.metric, options.slice, options.data_dir
            )
        )
        filesystem.write_text(options.report, page)
    found = dict.fromkeys(name for runs in values.values() for run in runs for name in run)
    columns = sorted(found, key=lambda name: name == "mean")  # after all tasks, in their order
    lines = [
        [title, str(len(runs)), *(_spread([run.get(name) for run in runs]) for name in columns)]
        for title, runs in values.items()
    ]
    shown = " ".join(filter(None, [options.split, options.metric, options.slice]))
    return table([shown, "runs", *columns], lines)


def _spread(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return tables.number(known[0] if known else None)
    return f"{np.mean(known):.4f} ± {np.std(known, ddof=1):.4f}"


def _print(options: CompareOptions) -> None:
    quiet_tensorflow()
    print(compare(options))
    if options.report:
        print(f"\nwrote {options.report}", file=sys.stderr)


def main() -> None:
    """The command."""
    run_command(_print, CompareOptions, doc=__doc__)


if __name__ == "__main__":
    main()
