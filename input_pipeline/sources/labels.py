"""Labels that are columns of 0 and 1, one a task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from input_pipeline.sources.layout import Block

_ZERO_OR_ONE = (b"0", b"1", b"0.0", b"1.0")  # Tables with gaps are often written as floats.


def label_reader(
    label_columns: Sequence[str], unlabeled_cells: bool
) -> Callable[[Block], tuple[NDArray[Any], NDArray[Any]]]:
    """The `behaviors` of a Layout whose t-th label column tells of task t.

    Args:
      label_columns: by task.
      unlabeled_cells: whether an empty cell means that the line does not tell; else it is
        malformed.
    """
    choices = (*_ZERO_OR_ONE, b"") if unlabeled_cells else _ZERO_OR_ONE
    requirement = "0, 1 or empty" if unlabeled_cells else "0 or 1"

    def behaviors(block: Block) -> tuple[NDArray[Any], NDArray[Any]]:
        shown = np.zeros(len(block), np.uint32)
        unlabeled = np.zeros(len(block), np.uint32)
        for task, column in enumerate(label_columns):
            places = block.choices(column, choices, requirement)
            bit = np.uint32(1 << task)
            shown |= np.where((places == 1) | (places == 3), bit, np.uint32(0))
            unlabeled |= np.where(places == 4, bit, np.uint32(0))
        return shown, unlabeled

    return behaviors
