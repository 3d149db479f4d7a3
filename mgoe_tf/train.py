"""Trains a model: `python -m mgoe_tf.train --flagfile=mgoe.flags --data_dir=... --model_dir=...`.

A --data_dir that does not exist yet is prepared first where the flags name a --source. Flagfiles
that come with the package (mgoe_tf/configs) are found by their name from any folder.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

from absl import app, flags

from input_pipeline.commands.command import refuse_arguments, run_main
from input_pipeline.commands.shell import command_line
from input_pipeline.files import filesystem
from input_pipeline.files.failures import FileError, is_failure, reason
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.prepare import prepare_for_user
from input_pipeline.spec import read_spec
from mgoe_tf import flags as train_flags
from mgoe_tf.evaluation import tables
from mgoe_tf.evaluation.best_possible import best_possible_auc
from mgoe_tf.flagfiles import find_flagfiles
from mgoe_tf.models.options import ModelOptions
from mgoe_tf.reports import run_report
from mgoe_tf.training import checkpoints
from mgoe_tf.training.options import TrainOptions
from mgoe_tf.training.quiet import quiet_tensorflow
from mgoe_tf.training.stopping import Interrupted
from mgoe_tf.training.threads import set_intra_op_threads
from mgoe_tf.training.trainer import train


def prepare_if_missing(flag_values: flags.FlagValues, preparation: PreparationOptions) -> None:
    """Prepares the data set that does not exist; one that does must be as the flags say.

    It must be there already for the processes of a cluster, which would all prepare it.
    """
    data_dir = preparation.data_dir
    if filesystem.exists(data_dir):
        spec = read_spec(data_dir)
        train_flags.require_prepared_so(flag_values, preparation, spec)
    elif preparation.source and not os.environ.get("TF_CONFIG"):
        print(f"--data_dir={data_dir} does not exist yet: preparing it", flush=True)
        prepare_for_user(preparation)
    else:
        raise ValueError(
            f"--data_dir={data_dir} does not exist: prepare it with input_pipeline.prepare, or "
            "name a --source"
        )


def model_to_compare_with(model: str) -> str:
    """The model that a run suggests to train next."""
    return "mgoe" if model == "mmoe" else "mmoe"


def next_commands(options: TrainOptions, repeated: Sequence[str]) -> str:
    """What to try after a run, with this run's paths, quoted as a shell reads them.

    Args:
      options: of the run.
      repeated: its flags that a run of the model to compare with repeats.
    """
    model_dir = options.model_dir.rstrip("/")
    folder = os.path.dirname(model_dir)
    other = model_to_compare_with(options.model)
    other_dir = filesystem.join(folder, other)
    exports = filesystem.join(folder, "exports")
    served = filesystem.join(exports, options.model)
    served = served if filesystem.is_remote(served) else os.path.abspath(served)
    name, data = f"--model_name={options.model}", f"--data_dir={options.data_dir}"
    train_other = [*_module("mgoe_tf.train"), *repeated]
    train_other += [f"--model={other}", f"--model_dir={other_dir}"]
    compare = [*_module("mgoe_tf.compare"), f"--model_dirs={model_dir},{other_dir}"]
    export = [*_module("export.savedmodel"), f"--model_dir={model_dir}", data]
    serve = [*_module("export.serve"), name, f"--model_base_path={served}", "--port=8500"]
    ask = [*_module("export.client"), "--target=localhost:8500", name, data]
    user_id = _first_line(filesystem.join(options.data_dir, "vocabulary", "user_id.txt"))
    # what goes on from a model of another day has no peer that begins there
    comparison = (
        {}
        if options.warm_start
        else {
            f"compare with {other}, trained on the same rows": (
                *(() if checkpoints.holds_run(other_dir) else (train_other,)),
                compare,
            )
        }
    )
    steps = comparison | {
        "see curves in TensorBoard": (["tensorboard", f"--logdir={model_dir}"],),
        "export": ([*export, f"--export_base={exports}", name],),
        "serve, and call from another terminal": (serve, [*ask, f"--user_id={user_id}"]),
    }
    return "\n".join(
        line
        for title, commands in steps.items()
        for line in (f"  # {title}", *(f"  {command_line(*command)}" for command in commands))
    )


def _module(name: str) -> list[str]:
    return ["python", "-m", name]


def _first_line(path: str) -> str:
    """Raw ids may hold bytes that are no UTF-8: they are surrogates here, as in arguments."""
    line = filesystem.read_bytes(path).partition(b"\n")[0]
    return line.decode("utf-8", "surrogateescape")


def resume_command(arguments: Sequence[str]) -> str:
    """The command that goes on with a run.

    Args:
      arguments: of the command that began it, without the program's name.
    """
    resume = () if "--resume" in arguments else ("--resume",)
    return command_line(*_module("mgoe_tf.train"), *arguments, *resume)


def _train(model_options: ModelOptions, options: TrainOptions) -> dict[str, Any]:
    """Trains; whatever ends it too early says how to go on."""
    again = resume_command(sys.argv[1:])
    try:
        return train(model_options, options)
    except (Interrupted, KeyboardInterrupt):
        if checkpoints.holds_checkpoint(options.model_dir):
            print(f"go on with:\n  {again}", file=sys.stderr)
        else:
            print("\ninterrupted: nothing was saved, the same command begins anew", file=sys.stderr)
        raise
    except Exception as error:
        if not is_failure(error) or not checkpoints.holds_checkpoint(options.model_dir):
            raise
        raise FileError(f"{reason(error)}; once that is mended, go on with: {again}") from error


def _run(argv: list[str]) -> None:
    refuse_arguments(argv)
    quiet_tensorflow()
    model_options, options, preparation = train_flags.read_train_flags(flags.FLAGS)
    set_intra_op_threads(options.intra_op_threads)
    prepare_if_missing(flags.FLAGS, preparation)
    metrics = _train(model_options, options)
    if not metrics:
        return  # another process of the cluster tells
    print()
    best = best_possible_auc(options.data_dir, metrics["split"])
    print(tables.beside_best(metrics, best))
    if options.report:
        page = filesystem.join(options.model_dir, run_report.REPORT_FILE)
        print(f"\nThe page about this run: {page}")
    repeated = train_flags.given_for(model_to_compare_with(options.model), flags.FLAGS)
    print(f"\nNext:\n{next_commands(options, repeated)}", flush=True)


def _command() -> None:
    argv = find_flagfiles(sys.argv)
    choice = train_flags.look_ahead(argv)
    train_flags.define_train_flags(flags.FLAGS, choice.model)
    if choice.wants_help:
        print(f"{__doc__}\n{train_flags.help_text(flags.FLAGS, choice.model)}")
        return
    parse = train_flags.parser_for(choice.model, flags.FLAGS)
    app.run(_run, argv=argv, flags_parser=parse)


def main() -> None:
    """The command."""
    run_main(_command)


if __name__ == "__main__":
    main()
