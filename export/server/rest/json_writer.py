"""Writes JSON as RapidJSON's PrettyWriter does for TensorFlow Serving: answers and messages."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from export.server.rest.json_numbers import decimal, shortest, told

_INDENT = "    "
_SHORT = {8: "\\b", 9: "\\t", 10: "\\n", 12: "\\f", 13: "\\r", 34: '\\"', 92: "\\\\"}
_ESCAPES = {code: f"\\u{code:04X}" for code in range(0x20)} | _SHORT


def quoted(text: str) -> str:
    """A string in JSON; bytes that are no UTF-8 stay as `surrogateescape` keeps them."""
    return f'"{text.translate(_ESCAPES)}"'


def message(value: Any) -> str:
    """A JSON value in an error message.

    Infinity and NaN cannot be written within a list or an object: there the text ends.
    """
    if isinstance(value, float):
        return told(value)
    writer = Writer()
    writer.write(value, shortest)
    return writer.text()


def error(text: str) -> bytes:
    """The body of an answer that is an error."""
    body = f'{{\n{_INDENT}"error": {quoted(text)}\n}}'
    return body.encode("utf-8", "surrogateescape")


class Writer:
    """JSON text that grows value by value.

    Attributes:
      single_line: whether lists are written on one line, from now on.
    """

    def __init__(self) -> None:
        self.single_line = False
        self._parts: list[str] = []
        self._counts: list[int] = []  # of values (names too) in each open list or object
        self._in_list: list[bool] = []

    def text(self) -> str:
        """What was written."""
        return "".join(self._parts)

    def _separate(self) -> None:
        """What stands between the last value and the next one."""
        if not self._counts:
            return
        count = self._counts[-1]
        self._counts[-1] += 1
        if self._in_list[-1] and self.single_line:
            self._parts.append(", " if count else "")
        elif not self._in_list[-1] and count % 2:
            self._parts.append(": ")
        else:
            self._parts.append(",\n" if count else "\n")
            self._parts.append(_INDENT * len(self._counts))

    def raw(self, text: str) -> None:
        """Writes a value that is JSON already."""
        self._separate()
        self._parts.append(text)

    def name(self, text: str) -> None:
        """Writes the name of a member."""
        self.raw(quoted(text))

    def open(self, bracket: str) -> None:
        """Begins a list or an object."""
        self.raw(bracket)
        self._counts.append(0)
        self._in_list.append(bracket == "[")

    def close(self) -> None:
        """Ends the innermost list or object."""
        count, in_list = self._counts.pop(), self._in_list.pop()
        if count and not (in_list and self.single_line):
            self._parts.append("\n" + _INDENT * len(self._counts))
        self._parts.append("]" if in_list else "}")

    def write(self, value: Any, number: Any = decimal) -> None:
        """Writes a JSON value; `number` turns floats into text."""
        waiting = [iter([value])]  # of each open list or object, what is left of it
        while waiting:
            item = next(waiting[-1], waiting)
            if item is waiting:
                waiting.pop()
                if waiting:
                    self.close()
            elif isinstance(item, dict):
                self.open("{")
                pairs = item.members() if hasattr(item, "members") else item.items()
                waiting.append(iter([part for key, v in pairs for part in (_Name(key), v)]))
            elif isinstance(item, list):
                self.open("[")
                waiting.append(iter(item))
            elif number is shortest and isinstance(item, float) and not math.isfinite(item):
                self._separate()
                return
            else:
                self.raw(_scalar(item, number))


class _Name(str):
    """The name of a member among its values."""


def _scalar(value: Any, number: Any) -> str:
    if isinstance(value, str):
        return quoted(value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return number(value) if isinstance(value, float | np.floating) else str(value)
