"""A month of days on a generated log whose tastes drift: python -m export.daily --output=DIR

Each day: the day's log is added to the data set (input_pipeline.refresh), the model goes on with
the newest day (mgoe_tf.train --warm_start), the day's rows are evaluated, and a version is
published if it passes the gates (export.savedmodel). A day that fails changes nothing that is
served.

The same command goes on wherever it was stopped, killed too. DIR/report.html shows by day the AUC
of four ways to live: never retrained nor refreshed, the graph alone refreshed, going on each day,
and training anew each day.
"""

from __future__ import annotations

from export.daily import report
from export.daily.days import Days
from export.daily.options import DailyOptions
from input_pipeline.commands.command import run_command
from mgoe_tf.training.quiet import quiet_tensorflow
from mgoe_tf.training.threads import set_intra_op_threads


def run_days(options: DailyOptions) -> None:
    """Lives all days that have not been lived yet.

    Raises:
      ValueError: the directory was begun with other options; the first model cannot be published.
    """
    days = Days(options)
    days.begin()
    for day in range(1, options.days + 1):
        if days.is_done(day):
            continue
        told = days.live(day)
        report.write(options.output, days.told(), options.served_path)
        print(report.line(day, told), flush=True)
    report.write(options.output, days.told(), options.served_path)


def _run(options: DailyOptions) -> None:
    quiet_tensorflow()
    set_intra_op_threads(0)
    print(f"{options.days} days; days that were lived already stay as they are", flush=True)
    run_days(options)
    print(f"\nThe page: {report.page_path(options.output)}")


def main() -> None:
    """The command."""
    run_command(_run, DailyOptions, doc=__doc__)


if __name__ == "__main__":
    main()
