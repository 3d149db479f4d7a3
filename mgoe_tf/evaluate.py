"""Evaluates a trained model: `python -m mgoe_tf.evaluate --model_dir=... --data_dir=...`."""

from __future__ import annotations

import dataclasses
import os
import sys
from typing import Any

from input_pipeline.commands.command import run_command
from input_pipeline.commands.options import option
from input_pipeline.files import filesystem
from input_pipeline.spec import read_spec
from mgoe_tf.evaluation import tables
from mgoe_tf.evaluation.evaluator import SPLITS, Evaluator
from mgoe_tf.reports import run_report
from mgoe_tf.reports.run_facts import RunFacts
from mgoe_tf.training import checkpoints
from mgoe_tf.training.quiet import quiet_tensorflow
from mgoe_tf.training.trained_tasks import trained_tasks


@dataclasses.dataclass(frozen=True)
class EvaluateOptions:
    """What is evaluated on what."""

    model_dir: str = option("", "Model directory that mgoe_tf.train wrote.", is_path=True)
    data_dir: str = option(
        "", "Data set directory, with the spec that the model was trained with.", is_path=True
    )
    split: str = option("test", "Which window's rows.", SPLITS)
    output: str = option(
        "", "JSON file to write the metrics to. Default: print them only.", is_path=True
    )
    report: bool = option(
        False, "Write the page about the run anew, <model_dir>/report.html, with these rows."
    )
    best: bool = option(True, "Evaluate the best epoch by validation; --nobest: the latest.")
    skip_bad_records: int = option(0, "Go on past at most this many unreadable records.")

    def __post_init__(self) -> None:
        for name in ("model_dir", "data_dir"):
            if not getattr(self, name):
                raise ValueError(f"--{name}: must name a directory, got ''")
        if self.report and not self.best:
            raise ValueError("--report: is of the best epoch, so that it cannot go with --nobest")


def evaluate(options: EvaluateOptions) -> dict[str, Any]:
    """Computes the metrics and writes them.

    Raises:
      ValueError: there is no model, or it was trained on data of another spec.
    """
    if options.output:
        filesystem.make_dirs(os.path.dirname(options.output) or ".")
    loaded = checkpoints.load_model(options.model_dir, best=options.best)
    spec = read_spec(options.data_dir)
    checkpoints.require_same_data(loaded.spec, spec, options.data_dir)
    evaluator = Evaluator(
        options.data_dir,
        spec,
        options.split,
        model=loaded.model,
        lookup=loaded.lookup,
        skip_bad_records=options.skip_bad_records,
        averaged=trained_tasks(loaded.spec, loaded.train_options),
    )
    scored = evaluator.score()
    metrics = scored.metrics()
    if options.report:
        facts = RunFacts.gather(options.model_dir, loaded, evaluator, scored)
        run_report.write(facts)
    if options.output:
        checkpoints.write_json(options.output, metrics)
    return metrics


def _print_metrics(options: EvaluateOptions) -> None:
    quiet_tensorflow()
    print(tables.of_metrics(evaluate(options)))
    if options.report:
        path = filesystem.join(options.model_dir, run_report.REPORT_FILE)
        print(f"\nwrote {path}", file=sys.stderr)


def main() -> None:
    """The command."""
    run_command(_print_metrics, EvaluateOptions, doc=__doc__)


if __name__ == "__main__":
    main()
