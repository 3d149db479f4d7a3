"""Command-line flags of training -> options, checked once.

There are flags of training, of preparation, and of the chosen model, so `--model` is looked for
before any are defined.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Sequence
from typing import Any

from absl import flags

from input_pipeline.commands.flag_help import grouped_help
from input_pipeline.commands.options import define_flags, from_flags, given
from input_pipeline.files.paths import require_apart
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.spec import DatasetSpec
from mgoe_tf.models.options import ModelOptions
from mgoe_tf.models.registry import MODELS, model_class
from mgoe_tf.training.options import TrainOptions

SHARED_CLASSES = (TrainOptions, PreparationOptions)
# What the data do not depend on, or what means something else in training.
_NOT_COMPARED = frozenset({"data_dir", "seed", "num_workers"})


@dataclasses.dataclass(frozen=True)
class Choice:
    """What a command line says that has to be known before its flags are defined."""

    model: str
    wants_help: bool


def look_ahead(argv: Sequence[str]) -> Choice:
    """Finds `--model` and `--help` on a command line and in its flagfiles; the last one counts.

    Args:
      argv: the command line with the program's name.

    Raises:
      ValueError: no model of that name is registered; a flagfile cannot be read.
    """
    values = flags.FlagValues()  # type: ignore[no-untyped-call]
    values.set_gnu_getopt(True)  # else the value of an unknown flag would end the search
    flags.DEFINE_string("model", TrainOptions.model, "", flag_values=values)
    flags.DEFINE_string("flagfile", "", "", flag_values=values)
    for name in ("help", "helpshort"):
        flags.DEFINE_bool(name, False, "", flag_values=values)
    try:
        values(list(argv), known_only=True)
    except flags.Error as error:
        raise ValueError(str(error)) from None
    model = str(values["model"].value)
    model_class(model)
    return Choice(model, bool(values["help"].value or values["helpshort"].value))


def define_train_flags(flag_values: flags.FlagValues, model: str) -> None:
    """Flags of `mgoe_tf.train` with a model; `seed` and `data_dir` are shared with preparation.

    Raises:
      ValueError: an option of the model has the name of another flag.
    """
    for options_class in SHARED_CLASSES:
        define_flags(options_class, flag_values)
    own = _own_names(model)
    taken = sorted(name for name in own if name in flag_values)
    if taken:
        raise ValueError(f"--model={model}: its options {taken} have the names of other flags")
    define_flags(model_class(model).options_class, flag_values)


def parser_for(model: str, flag_values: flags.FlagValues) -> Callable[[Sequence[str]], list[str]]:
    """Parses a command line; a flag that the model does not have is refused by its own names.

    The function raises ValueError for whatever is wrong with a flag.
    """

    def parse(argv: Sequence[str]) -> list[str]:
        try:
            return flag_values(list(argv))
        except flags.UnrecognizedFlagError as error:
            flag = error.flagname
            others = ", ".join(name for name in sorted(MODELS) if _takes(name, flag))
            known_to = f"is a flag of {others}" if others else "is no flag"
            near = difflib.get_close_matches(flag, list(flag_values), n=1)
            meant = f", did you mean --{near[0]}?" if near and not others else "."
            own = " ".join(f"--{name}" for name in _own_names(model))
            raise ValueError(
                f"--{flag} {known_to}{meant} --model={model} takes {own}, beside the shared flags "
                "that --help lists"
            ) from None
        except flags.Error as error:
            raise ValueError(str(error)) from None

    return parse


def _own_names(model: str) -> list[str]:
    return [field.name for field in dataclasses.fields(model_class(model).options_class)]


def _takes(model: str, flag: str) -> bool:
    own = _own_names(model)
    return flag in own or (flag.startswith("no") and flag.removeprefix("no") in own)


def help_text(flag_values: flags.FlagValues, model: str) -> str:
    """What `--help` shows of the flags of `define_train_flags`."""
    groups: dict[str, type] = {
        "training": TrainOptions,
        f"model {model} (other models, of {', '.join(sorted(MODELS))}: --model=NAME --help)": (
            model_class(model).options_class
        ),
        "preparation, where --data_dir does not exist yet": PreparationOptions,
    }
    return grouped_help(groups, flag_values)


def given_for(model: str, flag_values: flags.FlagValues) -> list[str]:
    """The flags that were set and that a run of another model on the same rows would repeat.

    Those of preparation are left out: the rows are there. So are `--model` and `--model_dir`.
    """
    names = [field.name for field in dataclasses.fields(TrainOptions)]
    wanted = [name for name in names if name not in ("model", "model_dir")] + _own_names(model)
    return [
        flag_values[name].serialize()
        for name in wanted
        if name in flag_values and flag_values[name].present
    ]


def read_train_flags(
    flag_values: flags.FlagValues,
) -> tuple[ModelOptions, TrainOptions, PreparationOptions]:
    """The options that the parsed flags tell; raises ValueError where they contradict."""
    train = from_flags(TrainOptions, flag_values)
    for name in ("data_dir", "model_dir"):
        if not getattr(train, name):
            raise ValueError(f"--{name}: must name a directory, got ''")
    require_apart({"model_dir": train.model_dir, "data_dir": train.data_dir})
    return (
        from_flags(model_class(train.model).options_class, flag_values),
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
