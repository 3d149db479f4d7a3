"""What a flag takes, and JSON values read so."""

from __future__ import annotations

import dataclasses
import math
import typing
from typing import Any

_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


@dataclasses.dataclass(frozen=True)
class FlagType:
    """Of an option.

    Attributes:
      kind: bool, int, float or str; of a list: of its items.
      is_list: whether the option is a tuple.
      is_optional: whether it may be None.
      choices: of a text, None: any.
    """

    kind: type
    is_list: bool = False
    is_optional: bool = False
    choices: tuple[str, ...] | None = None

    def __str__(self) -> str:
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        return f"a list, each {_NAMES[self.kind]}" if self.is_list else _NAMES[self.kind]

    def read(self, value: Any) -> Any:
        """The option that a JSON value means: lists become tuples, whole numbers floats.

        Raises:
          ValueError: the flag does not take it.
        """
        if value is None and self.is_optional:
            return None
        try:
            if not self.is_list:
                return self._read_one(value)
            if isinstance(value, list):
                return tuple(map(self._read_one, value))
        except TypeError:
            pass
        raise ValueError(f"must be {self}, got {value!r}")

    def _read_one(self, value: Any) -> Any:
        if self.kind is float and type(value) is int:
            value = float(value)
        if type(value) is not self.kind:
            raise TypeError
        if isinstance(value, float) and not math.isfinite(value):
            raise TypeError
        if self.choices and value not in self.choices:
            raise TypeError
        return value


def flag_types(options_class: type) -> dict[str, FlagType]:
    """Of every option of a frozen dataclass of options, by name."""
    annotations = typing.get_type_hints(options_class)
    return {
        field.name: _of(annotations[field.name], field.metadata["choices"])
        for field in dataclasses.fields(options_class)
    }


def _of(annotation: Any, choices: typing.Sequence[str] | None) -> FlagType:
    parts = typing.get_args(annotation)
    is_optional = type(None) in parts
    if is_optional:
        (annotation,) = (part for part in parts if part is not type(None))
    is_list = typing.get_origin(annotation) is tuple
    kind = typing.get_args(annotation)[0] if is_list else annotation
    return FlagType(kind, is_list, is_optional, tuple(choices) if choices else None)
