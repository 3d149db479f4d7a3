"""Command-line flags of training and evaluation -> options, checked once."""

from __future__ import annotations

import importlib.resources
import os
from collections.abc import Sequence
from typing import Any

from absl import flags

from input_pipeline.commands.options import define_flags, from_flags, given
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.spec import DatasetSpec
from mgoe_tf.config import ModelOptions
from mgoe_tf.training.options import TrainOptions

TRAIN_CLASSES = (TrainOptions, ModelOptions, PreparationOptions)
# What the data do not depend on, or what means something else in training.
_NOT_COMPARED = frozenset({"data_dir", "seed", "num_workers"})


def define_train_flags(flag_values: flags.FlagValues) -> None:
    """Flags of `mgoe_tf.train`; `seed` and `data_dir` are shared with preparation."""
    for options_class in TRAIN_CLASSES:
        define_flags(options_class, flag_values)


def find_flagfiles(argv: Sequence[str]) -> list[str]:
    """`argv` with the flagfiles that only this package has replaced by where it was installed.

    `--flagfile=mgoe_tf/configs/mgoe.flags` and `--flagfile=mgoe.flags` work from any folder.
    """
    result, takes_value = [], False
    for argument in argv:
        name, equals, path = argument.partition("=")
        if takes_value:
            result.append(_find_flagfile(argument))
        elif name in ("--flagfile", "-flagfile") and equals:
            result.append(f"{name}={_find_flagfile(path)}")
        else:
            result.append(argument)
        takes_value = argument in ("--flagfile", "-flagfile")
    return result


def _find_flagfile(path: str) -> str:
    packaged = importlib.resources.files("mgoe_tf") / "configs" / os.path.basename(path)
    return str(packaged) if not os.path.exists(path) and packaged.is_file() else path


def read_train_flags(
    flag_values: flags.FlagValues,
) -> tuple[ModelOptions, TrainOptions, PreparationOptions]:
    """The options that the parsed flags tell; raises ValueError where they contradict."""
    train = from_flags(TrainOptions, flag_values)
    for name in ("data_dir", "model_dir"):
        if not getattr(train, name):
            raise ValueError(f"--{name}: must name a directory, got ''")
    return (
        from_flags(ModelOptions, flag_values),
        train,
        from_flags(PreparationOptions, flag_values),
    )


def require_prepared_so(
    flag_values: flags.FlagValues, preparation: PreparationOptions, spec: DatasetSpec
) -> None:
    """Raises ValueError where an existing data set was made with another value of a given flag."""
    made_with = {**spec.flags, "rows": spec.rows, "split": spec.split}
    for name in sorted(given(PreparationOptions, flag_values) - _NOT_COMPARED):
        wanted = _as_json(getattr(preparation, name))
        if wanted != made_with.get(name):
            raise ValueError(
                f"--{name}={wanted}: {preparation.data_dir} was prepared with "
                f"{made_with.get(name)}. Leave the flag out, or name a --data_dir that does not "
                "exist yet"
            )


def _as_json(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
