"""Searches options: `python -m mgoe_tf.tune --study_dir=study --data_dir=... --models=mgoe,mmoe`.

Every model gets the same number of trials, stopped at the same epochs; the first has the default
flags, where the space holds them. Trials are model directories
<study_dir>/<model>/trial-0007 and are compared by the mean AUC of the validation window alone; the
test window is not looked at. With --finalists the first trial and the best others are trained with
other seeds, before one is chosen. <study_dir>/<model>/best.flags is a flagfile for mgoe_tf.train.
The same command goes on with a search that was stopped or killed.
"""

from __future__ import annotations

import dataclasses
import sys

from input_pipeline.commands.command import run_command
from input_pipeline.commands.options import option
from input_pipeline.commands.shell import command_line
from input_pipeline.files import filesystem
from input_pipeline.files.paths import require_apart
from input_pipeline.spec import read_spec
from mgoe_tf.models.options import require
from mgoe_tf.models.registry import MODELS, model_class
from mgoe_tf.training.quiet import quiet_tensorflow
from mgoe_tf.training.run_card import data_checksum
from mgoe_tf.training.run_lock import run_lock
from mgoe_tf.training.stopping import Interrupted, StopRequest
from mgoe_tf.tuning import board
from mgoe_tf.tuning.best_flags import write_best_flags
from mgoe_tf.tuning.jobs import Job, Launcher
from mgoe_tf.tuning.launching import TrialProcess
from mgoe_tf.tuning.plan import make_plan
from mgoe_tf.tuning.pruning import PRUNERS
from mgoe_tf.tuning.samplers import SAMPLERS
from mgoe_tf.tuning.search import Search
from mgoe_tf.tuning.space import built_in_text, read_spaces, read_studied
from mgoe_tf.tuning.study import FAIL, STUDY_FILE, Study, Trial
from mgoe_tf.tuning.telling import SearchProgress, result_table


@dataclasses.dataclass(frozen=True)
class TuneOptions:
    """What is searched, how, and for how long."""

    study_dir: str = option("", "Directory of the search and its trials, local.", is_path=True)
    data_dir: str = option("", "Data set directory.", is_path=True)
    models: tuple[str, ...] = option(
        ("all",), "Models to search, or `all` that are registered; each gets the same trials."
    )
    trials: int = option(
        12, "Trials of each model. A search may be gone on with for more of them, not for fewer."
    )
    sampler: str = option(
        "halton",
        "Where trials are. random: independent. halton: spread evenly from the first trials on, "
        "where random ones of few trials are often alike.",
        tuple(SAMPLERS),
    )
    pruner: str = option(
        "asha",
        "asha: trials stop at 1, 3 and 9 times --rung_epochs, and the best third goes on. none: "
        "all train for 9 times --rung_epochs.",
        PRUNERS,
    )
    rung_epochs: int = option(1, "Epochs of the first rung.")
    patience: int = option(
        2, "A trial ends after this many epochs without a better validation. 0: never."
    )
    space: str = option(
        "",
        "JSON file of what the flags may be, as --print_space shows one. Default: that one.",
        is_path=True,
    )
    finalists: int = option(
        0,
        "Trials of each model that are trained to the end with other seeds too, the first and the "
        "best others, before the best by the mean is chosen: where seeds differ as much as flags "
        "do, the best of one seed is a lucky one. A search that has ended may be gone on with for "
        "them. 0: none.",
    )
    final_seeds: int = option(2, "With how many other seeds.")
    workers: int = option(
        1, "Trials at a time, each a process. With 1 the course of a search is repeatable."
    )
    seed: int = option(0, "Seed of the sampler, and of the training of every trial.")
    print_space: bool = option(False, "Print the space that comes with the package, and end.")

    def __post_init__(self) -> None:
        at_least_1 = ("trials", "rung_epochs", "workers", "final_seeds")
        require(self, "at least 1", at_least_1, lambda value: value >= 1)
        at_least_0 = ("patience", "seed", "finalists")
        require(self, "at least 0", at_least_0, lambda value: value >= 0)
        if self.print_space:
            return
        directories = {"study_dir": self.study_dir, "data_dir": self.data_dir}
        for name, value in directories.items():
            if not value:
                raise ValueError(f"--{name}: must name a directory, got ''")
        if filesystem.is_remote(self.study_dir):
            raise ValueError(f"--study_dir: must be a local directory, got {self.study_dir}")
        require_apart(directories)
        if len(set(self.models)) < len(self.models) or not self.models:
            raise ValueError(
                f"--models: must be `all`, or models each named once, got {list(self.models)}"
            )
        for name in self.chosen:
            model_class(name)

    @property
    def chosen(self) -> tuple[str, ...]:
        """The models by name."""
        return tuple(MODELS) if self.models == ("all",) else self.models


@dataclasses.dataclass(frozen=True)
class TuneResult:
    """What came of a search.

    Attributes:
      table: a line for each model, the best one first.
      without_score: the models none of whose trials came to a rung.
    """

    table: str
    without_score: tuple[str, ...]


def tune(options: TuneOptions, launch: Launcher | None = None) -> TuneResult:
    """Searches, writes <study_dir>/<model>/best.flags, and tells the best of each model.

    Args:
      options: of the search.
      launch: begins a trial; None: as a process of its own.

    Raises:
      ValueError: the space or a trial's flags are refused, the study was begun otherwise, or
        another search is writing there; no trial has begun then.
      Interrupted: the process was told to end; the same call goes on.
    """
    spec = read_spec(options.data_dir)
    plan = make_plan(
        read_spaces(options.space, options.chosen),
        spec,
        trials=options.trials,
        sampler=options.sampler,
        pruner=options.pruner,
        rung_epochs=options.rung_epochs,
        patience=options.patience,
        seed=options.seed,
    )
    with (
        run_lock(options.study_dir, flag="study_dir", kind="search"),
        StopRequest().listening() as stop,
    ):
        settings = {**plan.settings, "data": data_checksum(spec)}
        study = Study.open(options.study_dir, settings)

        def keep(trial: Trial) -> None:
            if trial.state != FAIL:
                rung = trial.rungs[-1]
                board.write_score(study.model_dir(trial), rung.epochs, rung.score)
            for final in trial.finals[-1:]:
                if final.score is not None:
                    model_dir = study.model_dir(trial, final.seed)
                    board.write_score(model_dir, plan.rungs[-1], final.score)
            write_best_flags(study, plan, trial.model, options.data_dir)

        finals = min(options.finalists, options.trials) * options.final_seeds
        progress = SearchProgress(
            study, plan, workers=options.workers, finals=finals, after_end=keep
        )

        def start(job: Job) -> TrialProcess:
            return TrialProcess(job, progress.print)

        search = Search(
            study,
            plan,
            start if launch is None else launch,
            progress,
            data_dir=options.data_dir,
            finalists=options.finalists,
            final_seeds=options.final_seeds,
            workers=options.workers,
            stop=stop,
        )
        board.write_study(options.study_dir, read_studied(study), spec.task_names)
        progress.print(
            f"{options.trials} trial{'s' if options.trials > 1 else ''} each of "
            f"{', '.join(plan.models)}, stopped at {', '.join(map(str, plan.rungs))} epochs; watch "
            f"them: {command_line('tensorboard', f'--logdir={options.study_dir}')}"
        )
        search.run()
        without = tuple(model for model in plan.models if study.best(model) is None)
        return TuneResult(result_table(study, plan), without)


def _run(options: TuneOptions) -> None:
    if options.print_space:
        print(built_in_text(), end="")
        return
    quiet_tensorflow()
    try:
        result = tune(options)
    except Interrupted:
        print("\ntrials have saved themselves: the same command goes on with them", file=sys.stderr)
        raise
    print(f"\n{result.table}", flush=True)
    if result.without_score:
        raise ValueError(
            f"no trial of {', '.join(result.without_score)} has a score: {STUDY_FILE} has their "
            "errors, and training.log in the directory of each trial what it said"
        )


def main() -> None:
    """The command."""
    run_command(_run, TuneOptions, doc=__doc__)


if __name__ == "__main__":
    main()
