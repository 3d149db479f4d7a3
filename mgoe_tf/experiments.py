"""Makes the paper's tables and figures on any data, with every registered model.

`python -m mgoe_tf.experiments --plan=paper --data_dirs=NAME=DIR,... --output=DIR` trains every
model with every seed on every data set, ablations and other settings of MGOE, exports all models
and measures them, and writes report.html, results.json and CSV files. A command that was stopped,
however that was, goes on when it is given again. What fails is told on the page.
"""

from __future__ import annotations

import functools
import sys
import time

from input_pipeline.commands.command import run_command
from input_pipeline.commands.shell import command_line
from input_pipeline.commands.text_table import table
from input_pipeline.files import filesystem
from mgoe_tf.evaluation.tables import number
from mgoe_tf.experimenting import data_sets, files, report_page
from mgoe_tf.experimenting.data_sets import DataSet
from mgoe_tf.experimenting.findings import Findings
from mgoe_tf.experimenting.jobs import run_jobs
from mgoe_tf.experimenting.options import ExperimentOptions
from mgoe_tf.experimenting.results import MEAN
from mgoe_tf.experimenting.schedule import Schedule
from mgoe_tf.training.progress import duration
from mgoe_tf.training.quiet import quiet_tensorflow
from mgoe_tf.training.stopping import Interrupted
from mgoe_tf.training.threads import set_intra_op_threads

REPORT_FILE = "report.html"
_say = functools.partial(print, flush=True)


def experiment(options: ExperimentOptions, command: str = "") -> Findings:
    """Trains what is not trained yet, measures, and writes the page.

    Args:
      options: what is done.
      command: that the page tells to make it again.

    Raises:
      ValueError: a flag is wrong, a data set is missing, `output` holds runs of other flags.
      Interrupted: this process was told to end; the same command goes on.
    """
    filesystem.make_dirs(options.output)
    data = _data_of(options)
    schedule = Schedule.of(options, data)
    _say(f"{len(schedule.runs)} runs of {len(options.chosen_models)} models: {options.output}")
    failures = run_jobs(schedule.jobs(), options.workers, _say)
    findings = Findings.gather(schedule, failures, _say)
    files.write(findings, options.output)
    page = report_page.render(findings, command)
    filesystem.write_text(filesystem.join(options.output, REPORT_FILE), page)
    return findings


def _data_of(options: ExperimentOptions) -> list[DataSet]:
    """The named data sets or, in a plan that has one, a world that is prepared first."""
    if options.data_dirs:
        return [DataSet.read(name, path) for name, path in options.named_data_dirs.items()]
    job = data_sets.world(options.output, options.sizes.world)
    failures = run_jobs([job], 1, _say)
    if failures:
        raise ValueError(f"{failures[0].name}: {failures[0].reason}")
    return [DataSet.read("world", data_sets.world_dir(options.output))]


def summary(findings: Findings) -> str:
    """Mean AUC of every model by data set, as a table for a terminal."""
    names = [data.name for data in findings.schedule.data]
    rows = []
    for model in findings.models:
        spreads = [findings.results.spread(name, model, "auc", MEAN) for name in names]
        rows.append([model, *(number(spread.mean if spread else None) for spread in spreads)])
    return table(["mean test AUC", *names], rows)


def _command(options: ExperimentOptions) -> None:
    quiet_tensorflow()
    set_intra_op_threads()
    begun = time.monotonic()
    command = command_line("python", "-m", "mgoe_tf.experiments", *sys.argv[1:])
    try:
        findings = experiment(options, command)
    except (Interrupted, KeyboardInterrupt):
        print("stopped: the same command goes on from here", file=sys.stderr)
        raise
    _say(f"\n{summary(findings)}\n")
    for failure in findings.failures:
        _say(f"not done: {failure.name}: {failure.reason}")
    page = filesystem.join(options.output, REPORT_FILE)
    _say(f"wrote {page} after {duration(time.monotonic() - begun)}")


def main() -> None:
    """The command."""
    run_command(_command, ExperimentOptions, doc=__doc__)


if __name__ == "__main__":
    main()
