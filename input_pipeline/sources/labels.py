"""What a line says of the tasks: labels, conditions on numbers, or the type of an event."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from input_pipeline.sources import columns
from input_pipeline.sources.block import Block
from input_pipeline.sources.remarks import UNKNOWN_EVENTS

Behaviors = Callable[[Block], tuple[NDArray[Any], NDArray[Any]]]
COMPARISONS: Mapping[str, Callable[[Any, Any], Any]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
}


@dataclasses.dataclass(frozen=True)
class Condition:
    """When a line shows a task.

    Attributes:
      column: whose cell tells.
      comparison: one of COMPARISONS; "": the cell is the label itself, yes or no.
      value: what a number is compared with, or the text that the cell has to be.
    """

    column: str
    comparison: str = ""
    value: float | bytes = b""

    def means(self, values: pa.Array) -> tuple[NDArray[Any], NDArray[Any]]:
        """bool [V], whether values show the task, and bool [V] of those that are malformed."""
        if not self.comparison:
            return columns.parse_labels(values)
        if isinstance(self.value, bytes):
            same = pc.equal(values, pa.scalar(self.value, values.type))
            return same.to_numpy(zero_copy_only=False), np.zeros(len(values), bool)
        numbers, malformed = columns.parse_decimals(values)
        return COMPARISONS[self.comparison](numbers, self.value), malformed | np.isnan(numbers)

    @property
    def requirement(self) -> str:
        """Of a cell that is not empty."""
        if self.comparison:
            return f"a number, to be compared with {self.value!r}"
        return "0 or 1, true or false"


def label_reader(
    conditions: Sequence[Condition], unlabeled_cells: bool, always: int = 0
) -> Behaviors:
    """The `behaviors` of a Layout of whose tasks each condition tells one.

    Args:
      conditions: by task.
      unlabeled_cells: whether an empty cell means that the line does not tell; else it is
        malformed.
      always: of so many tasks before those, which every line shows.
    """

    def behaviors(block: Block) -> tuple[NDArray[Any], NDArray[Any]]:
        shown = np.full(len(block), (1 << always) - 1, np.uint32)
        unlabeled = np.zeros(len(block), np.uint32)
        for task, condition in enumerate(conditions, always):
            requirement = condition.requirement
            if unlabeled_cells:
                requirement += ", or empty"
            if not condition.comparison:
                name = condition.column
                requirement += f" (of numbers: '{name}>0:click', of types: --event_column={name})"
            yes, empty = block.told(condition.column, condition.means, requirement)
            if not unlabeled_cells:
                block.refuse(condition.column, empty, requirement)
            bit = np.uint32(1 << task)
            shown |= np.where(yes & ~empty, bit, np.uint32(0))
            unlabeled |= np.where(empty, bit, np.uint32(0))
        return shown, unlabeled

    return behaviors


def event_reader(column: str, types: Sequence[bytes], refuse_unknown: bool) -> Behaviors:
    """The `behaviors` of a Layout whose lines are events of a type each, one a task.

    Args:
      column: of the type.
      types: by task.
      refuse_unknown: whether lines of other types are malformed; else they are left out.
    """
    named = ", ".join(kind.decode("utf-8", "replace") for kind in types)
    integers = [kind for kind in types if kind.lstrip(b"-").isdigit()]

    def means(values: pa.Array) -> tuple[NDArray[Any], NDArray[Any]]:
        if integers:  # a column of numbers with gaps has been written as floats
            text = pc.replace_substring_regex(values.cast(pa.large_binary()), r"\.0+$", "")
            values = text.cast(values.type)
        places, unknown = columns.parse_choices(values, tuple(types))
        return places, unknown & refuse_unknown

    def behaviors(block: Block) -> tuple[NDArray[Any], NDArray[Any]]:
        places, empty = block.told(column, means, f"one of {named}")
        block.refuse(column, empty, "a type of event")
        if not refuse_unknown:
            block.leave_out(UNKNOWN_EVENTS, column, (places < 0) & ~empty)
        bits = np.left_shift(1, np.maximum(places, 0)).astype(np.uint32)
        return bits, np.zeros_like(bits)

    return behaviors
