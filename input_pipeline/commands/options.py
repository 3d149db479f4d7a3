"""Frozen dataclasses of options and the command-line flags made from them.

Every option is declared once, with its default and a help text, as a field of a frozen dataclass;
a command's main defines flags from the class and reads an instance back. Names and defaults
therefore agree by construction.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import os
import sys
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from absl import flags

OptionsT = TypeVar("OptionsT")


def option(
    default: Any,
    help: str,
    choices: Sequence[str] | None = None,
    *,
    is_path: bool = False,
    repeated: bool = False,
) -> Any:
    """A dataclass field with the help text and the allowed values of its flag.

    Args:
      default: of the field and of the flag.
      help: what the flag means.
      choices: the allowed values; None: any.
      is_path: whether `~` at the beginning of the flag's value is somebody's home directory.
      repeated: of a list: whether a flag that is given again adds to it; else it replaces it.
    """
    metadata = {"help": help, "choices": choices, "is_path": is_path, "repeated": repeated}
    return dataclasses.field(default=default, metadata=metadata)


def _flag_definer(annotation: Any) -> Callable[..., Any]:
    kinds: dict[Any, Any] = {
        bool: flags.DEFINE_bool,
        int: flags.DEFINE_integer,
        float: flags.DEFINE_float,
        str: flags.DEFINE_string,
        tuple[str, ...]: flags.DEFINE_list,
        tuple[float, ...]: flags.DEFINE_list,
        tuple[int, ...]: flags.DEFINE_list,
    }
    options = [kind for kind in typing.get_args(annotation) if kind is not type(None)]
    return kinds[annotation if annotation in kinds else options[0]]


def define_flags(options_class: type, flag_values: flags.FlagValues) -> None:
    """Defines one flag per field of `options_class` that `flag_values` does not have yet."""
    annotations = typing.get_type_hints(options_class)
    for field in dataclasses.fields(options_class):
        if field.name in flag_values:
            continue
        default: Any = (
            list(map(str, field.default)) if isinstance(field.default, tuple) else field.default
        )
        choices = field.metadata["choices"]
        if choices:
            flags.DEFINE_enum(
                field.name,
                default or None,
                list(choices),
                field.metadata["help"],
                flag_values=flag_values,
            )
        elif field.metadata["repeated"]:
            flags.DEFINE_multi(
                flags.ListParser(),
                flags.CsvListSerializer(","),
                field.name,
                [],
                field.metadata["help"],
                flag_values=flag_values,
            )
            flag_values[field.name].help = field.metadata["help"]  # absl adds to it.
        else:
            _flag_definer(annotations[field.name])(
                field.name, default, field.metadata["help"], flag_values=flag_values
            )
        # `--help` shows the key flags of the command, whichever module defines them.
        flag_values.register_key_flag_for_module(sys.argv[0], flag_values[field.name])


def _convert(name: str, value: Any, annotation: Any) -> Any:
    if value is None and annotation is str:
        return ""  # an enum flag without a default
    if not isinstance(value, list):
        return value
    if value and isinstance(value[0], list):  # of a repeated flag
        value = [item for items in value for item in items]
    arguments = [kind for kind in typing.get_args(annotation) if typing.get_args(kind)] or [
        annotation
    ]
    kind = typing.get_args(arguments[0])[0]
    try:
        return tuple(kind(item) for item in value)
    except ValueError:
        raise ValueError(
            f"--{name}: expected a comma-separated list of {kind.__name__}, got {value}"
        ) from None


def _read(field: dataclasses.Field[Any], value: Any, annotation: Any) -> Any:
    converted = _convert(field.name, value, annotation)
    if not field.metadata["is_path"] or not converted:
        return converted
    if isinstance(converted, tuple):
        return tuple(map(os.path.expanduser, converted))
    return os.path.expanduser(converted)


def from_flags(options_class: type[OptionsT], flag_values: flags.FlagValues) -> OptionsT:
    """Builds the options from parsed flags; the class checks them and raises ValueError."""
    annotations = typing.get_type_hints(options_class)
    return options_class(
        **{
            field.name: _read(field, flag_values[field.name].value, annotations[field.name])
            for field in dataclasses.fields(options_class)  # type: ignore[arg-type]
        }
    )


def given(options_class: type, flag_values: flags.FlagValues) -> set[str]:
    """The names of the options that the command line or a flagfile set."""
    return {
        field.name for field in dataclasses.fields(options_class) if flag_values[field.name].present
    }


def as_flags(options_class: type, values: Mapping[str, Any]) -> list[str]:
    """The flags that give options these values: those that differ from their defaults, in order.

    Args:
      options_class: whose flags.
      values: by name, as the class or its JSON has them; a missing one has its default.
    """
    found = []
    defaults = options_class()  # which may have completed what has no default of its own
    for field in dataclasses.fields(options_class):
        default = getattr(defaults, field.name)
        value = values.get(field.name, default)
        if isinstance(value, list):
            value = tuple(value)
        if value == default or value is None:
            continue
        found.append(as_flag(field.name, value))
    return found


def as_flag(name: str, value: Any) -> str:
    """The flag that gives an option a value, which is not None."""
    if isinstance(value, bool):
        return f"--{'' if value else 'no'}{name}"
    if not isinstance(value, tuple | list):
        return f"--{name}={value}"
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(value)
    return f"--{name}={text.getvalue()}"
