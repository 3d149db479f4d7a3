"""best.flags: the best trial of a model as a flagfile of mgoe_tf.train."""

from __future__ import annotations

from input_pipeline.commands.options import as_flag
from input_pipeline.commands.shell import command_line, quoted
from input_pipeline.files import filesystem
from mgoe_tf.tuning.plan import Plan
from mgoe_tf.tuning.study import Study, Trial
from mgoe_tf.tuning.telling import mean_text

BEST_FILE = "best.flags"


def write_best_flags(study: Study, plan: Plan, model: str, data_dir: str) -> str | None:
    """Writes <study_dir>/<model>/best.flags; returns its path, None where no trial has a score.

    It has no directories and no seed, so that it is for other data and for several seeds, too. The
    epochs are those of a whole trial, also where the best one was stopped before.

    Args:
      study: of the trial.
      plan: of the study.
      model: whose best trial.
      data_dir: that was searched on.
    """
    best = study.best(model)
    if best is None:
        return None
    path = filesystem.join(study.study_dir, model, BEST_FILE)
    filesystem.write_text(path, _text(best, study, plan, path, data_dir))
    return path


def _text(best: Trial, study: Study, plan: Plan, path: str, data_dir: str) -> str:
    rung = best.rungs[-1]
    command = command_line(
        *("python", "-m", "mgoe_tf.train", f"--flagfile={path}", f"--data_dir={data_dir}"),
        *(f"--model_dir=runs/{best.model}", f"--seed={plan.seed}"),
    )
    lines = [
        f"# {best.name} of {best.model}, {best.state} at {rung.epochs} epochs: "
        f"{mean_text(best)} on the validation window.",
        f"# The best of {len(study.of(best.model))} trials in {quoted(study.study_dir)}.",
        f"# {command}",
        f"--model={best.model}",
        f"--epochs={plan.rungs[-1]}",
        f"--patience={plan.patience}",
        *(as_flag(name, value) for name, value in best.flags.items() if value is not None),
    ]
    return "\n".join(lines) + "\n"
