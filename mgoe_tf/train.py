"""Trains a model: `python -m mgoe_tf.train --flagfile=mgoe.flags --data_dir=... --model_dir=...`.

A --data_dir that does not exist yet is prepared first where the flags name a --source. Flagfiles
that come with the package (mgoe_tf/configs) are found by their name from any folder.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from absl import app, flags

from input_pipeline import filesystem
from input_pipeline.config import PreparationOptions
from input_pipeline.prepare import prepare
from mgoe_tf import checkpoints, tables
from mgoe_tf import flags as train_flags
from mgoe_tf.config import TrainOptions
from mgoe_tf.trainer import train


def prepare_if_missing(flag_values: flags.FlagValues, preparation: PreparationOptions) -> None:
    """Prepares the data set that does not exist; one that does must be as the flags say."""
    data_dir = preparation.data_dir
    if filesystem.exists(data_dir):
        spec = checkpoints.read_spec(data_dir)
        train_flags.require_prepared_so(flag_values, preparation, spec)
    elif preparation.source:
        print(f"--data_dir={data_dir} does not exist yet: preparing it", flush=True)
        prepare(preparation)
    else:
        raise ValueError(
            f"--data_dir={data_dir} does not exist: prepare it with input_pipeline.prepare, or "
            "name a --source"
        )


def best_possible_auc(data_dir: str, split: str) -> dict[str, Any] | None:
    """AUC of the true probabilities, which a synthetic world tells; None for other data."""
    path = filesystem.join(data_dir, "world", "best_auc.json")
    return json.loads(filesystem.read_text(path))[split] if filesystem.exists(path) else None


def next_commands(options: TrainOptions) -> str:
    """What to try after a run, with this run's paths."""
    data, model = f"--data_dir={options.data_dir}", f"--model_dir={options.model_dir}"
    other = "mmoe" if options.model != "mmoe" else "mgoe"
    export = f"{options.model_dir.rstrip('/')}-export"
    name = options.model
    steps = {
        f"compare with {other}": f"python -m mgoe_tf.train --flagfile={other}.flags {data} "
        f"--model_dir={options.model_dir.rstrip('/')}-{other}",
        "look at it": f"tensorboard --logdir={filesystem.join(options.model_dir, 'events')}",
        "export": f"python -m export.savedmodel {model} --export_base={export} --model_name={name}",
        "serve": f"python -m export.serve --model_name={name} "
        f"--model_base_path={filesystem.join(export, name)} --port=8500",
        "call": f"python -m export.client {data} --model_name={name}",
    }
    return "\n".join(f"  # {title}\n  {command}" for title, command in steps.items())


def _run(argv: list[str]) -> None:
    if argv[1:]:
        raise app.UsageError(f"unknown arguments {argv[1:]}")
    model_options, options, preparation = train_flags.read_train_flags(flags.FLAGS)
    prepare_if_missing(flags.FLAGS, preparation)
    metrics = train(model_options, options)
    print()
    best = best_possible_auc(options.data_dir, metrics["split"])
    print(tables.beside_best(metrics, best))
    print(f"\nNext:\n{next_commands(options)}", flush=True)


def main() -> None:
    train_flags.define_train_flags(flags.FLAGS)
    argv = train_flags.find_flagfiles(sys.argv)
    filesystem.run_main(lambda: app.run(_run, argv=argv))


if __name__ == "__main__":
    main()
