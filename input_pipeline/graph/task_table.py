"""The macro task lookup table (used by Eq. 22)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from input_pipeline.graph.merging_matrix import Pairs


def task_table(
    pairs: Pairs, item_macro: NDArray[Any], num_users: int, num_tasks: int, num_macro_nodes: int
) -> NDArray[Any]:
    """L_t[u, m], the number of distinct items of item macro node m on which u did task t.

    Returns:
      float32 [U, T, K_I].
    """
    # int64 [P]: the cell of the pair in [U, K_I], where its item is not cold.
    macro = item_macro[pairs.item].astype(np.int64)
    cell = pairs.user.astype(np.int64) * num_macro_nodes + macro
    table = np.empty((num_users, num_tasks, num_macro_nodes), np.float32)
    for task in range(num_tasks):
        counted = ((pairs.behaviors >> np.uint32(task)) & np.uint32(1)).astype(bool) & (macro >= 0)
        counts = np.bincount(cell[counted], minlength=num_users * num_macro_nodes)
        table[:, task] = counts.reshape(num_users, num_macro_nodes)
    return table
