"""How the flags say which tasks a table has, and which of its columns tell of them."""

from __future__ import annotations

import dataclasses
import math
import re

from input_pipeline.feature import check_name
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.sources.labels import Behaviors, Condition, event_reader, label_reader

_MAX_TASKS = 31
_CONDITION = re.compile(r"(?P<column>.+?)\s*(?P<comparison>>=|<=|==|>|<|=)\s*(?P<value>.+)")
_TRUTHS = {"true": 1.0, "false": 0.0}


@dataclasses.dataclass(frozen=True)
class TaskColumns:
    """The tasks of a table.

    Attributes:
      names: from the least to the most important.
      columns: that tell of them.
      behaviors: as a Layout has them.
    """

    names: tuple[str, ...]
    columns: tuple[str, ...]
    behaviors: Behaviors


def parse_task_columns(options: PreparationOptions) -> TaskColumns:
    """The tasks that `--task_columns`, `--event_column` and `--implicit_task` name.

    Raises:
      ValueError: one is written otherwise, cannot have its name, or is told by what tells another.
    """
    pairs = [_split(text, bool(options.event_column)) for text in options.task_columns]
    implicit = [options.implicit_task] if options.implicit_task else []
    if not 1 <= len(pairs) + len(implicit) <= _MAX_TASKS:
        raise ValueError(
            f"--task_columns: needs 1 to {_MAX_TASKS} of column:task, got "
            f"{len(pairs) + len(implicit)}; of a log without such a column, in which every line "
            "shows a task, --implicit_task=click says so"
        )
    names = tuple(implicit) + tuple(name for _, name in pairs)
    for flag, name in zip(
        ["implicit_task"] * len(implicit) + ["task_columns"] * len(pairs), names, strict=True
    ):
        try:
            check_name("task", name)
        except ValueError as error:
            raise ValueError(f"--{flag}: {error}") from None
    if len(set(names)) < len(names):
        raise ValueError(f"--task_columns: task names must differ, got {list(names)}")
    if options.event_column:
        if implicit:
            raise ValueError(
                f"--implicit_task: is for logs without --event_column, got {implicit[0]!r} with "
                f"--event_column={options.event_column}"
            )
        types = [kind.encode() for kind, _ in pairs]
        return _events(options, options.event_column, types, names)
    conditions = [_condition(text) for text, _ in pairs]
    _check_different(conditions, [text for text, _ in pairs])
    column = conditions[0].column if conditions else ""
    if conditions and not implicit and all(_is_type(condition, column) for condition in conditions):
        types = [condition.value for condition in conditions if isinstance(condition.value, bytes)]
        return _events(options, column, types, names)
    told_by = tuple(dict.fromkeys(condition.column for condition in conditions))
    behaviors = label_reader(conditions, unlabeled_cells=True, always=len(implicit))
    return TaskColumns(names, told_by, behaviors)


def _split(text: str, of_events: bool) -> tuple[str, str]:
    """`column:name`, or `column`, which then is the name too."""
    told_by, colon, name = text.rpartition(":")
    if not colon:
        told_by = name
        if not of_events and _CONDITION.fullmatch(name):
            raise ValueError(f"--task_columns: a condition needs a task, as {name}:like")
    if not told_by:
        raise ValueError(f"--task_columns: expected column:name, got {text!r}")
    return told_by, name


def _condition(text: str) -> Condition:
    """Of `column`, or `column>=4` and the like."""
    parts = _CONDITION.fullmatch(text)
    if parts is None:
        return Condition(text)
    comparison = "=" if parts["comparison"] == "==" else parts["comparison"]
    value = _TRUTHS.get(parts["value"].lower())
    if value is None:
        try:
            value = float(parts["value"])
        except ValueError:
            if comparison != "=":
                raise ValueError(
                    f"--task_columns: {comparison} compares numbers, got {parts['value']!r} in "
                    f"{text!r}"
                ) from None
            return Condition(parts["column"], comparison, parts["value"].encode())
    if not math.isfinite(value):
        raise ValueError(f"--task_columns: a number must be finite, got {text!r}")
    return Condition(parts["column"], comparison, value)


def _check_different(conditions: list[Condition], texts: list[str]) -> None:
    for place, condition in enumerate(conditions):
        if condition in conditions[:place]:
            raise ValueError(
                f"--task_columns: every task needs a column or a condition of its own, got "
                f"{texts[place]!r} twice"
            )


def _is_type(condition: Condition, column: str) -> bool:
    """Whether it is `column=text`: of these a line shows one at most, as of types of events."""
    return (
        condition.column == column
        and isinstance(condition.value, bytes)
        and bool(condition.comparison)
    )


def _events(
    options: PreparationOptions, column: str, types: list[bytes], names: tuple[str, ...]
) -> TaskColumns:
    for place, kind in enumerate(types):
        if kind in types[:place]:
            raise ValueError(
                f"--task_columns: every task needs a type of event of its own, got "
                f"{kind.decode()!r} twice"
            )
    refuse = options.unknown_events == "refuse"
    return TaskColumns(names, (column,), event_reader(column, types, refuse))
