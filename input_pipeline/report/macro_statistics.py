"""What the report tells of the macro graph: how balanced it is, and what its edges say alone."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from input_pipeline.exact_auc import auc_of_ranks
from input_pipeline.graph.balance import balance
from input_pipeline.graph.plain_score import plain_score
from input_pipeline.log.rows import Rows
from input_pipeline.pages.page import table


@dataclasses.dataclass(frozen=True)
class EdgeStatistics:
    """What the macro edges say of one window's new pairs of warm users and items.

    Attributes:
      name: of the window.
      rows: how many of its rows are such pairs.
      aucs: of the plain score, by task; None where the task has one class.
    """

    name: str
    rows: int
    aucs: dict[str, float | None]


def edge_statistics(
    name: str,
    rows: Rows,
    tasks: Sequence[str],
    macro: Mapping[str, NDArray[Any]],
    edges: Mapping[str, NDArray[Any]],
    touched_before: NDArray[Any],
) -> EdgeStatistics:
    """Scores a window's rows by the edges that they read.

    A pair that was touched before adds to the edges itself and is left out; so is a cold node,
    which has no edges.

    Args:
      name: of the window.
      rows: its rows, R of them.
      tasks: their names.
      macro: by owner, the macro node of each user and item as the window sees them.
      edges: by owner, W_u1 [U, K_I] and W_i1 [I, K_U].
      touched_before: of pairs that were logged before the window, [R].
    """
    warm = (macro["user"][rows.user] >= 0) & (macro["item"][rows.item] >= 0)
    new = rows.take(np.flatnonzero(warm & (touched_before == 0)))
    scores = plain_score(
        edges["user"], edges["item"], macro["user"], macro["item"], new.user, new.item
    )
    _, ranks = np.unique(scores, return_inverse=True)
    aucs = {}
    for bit, task in enumerate(tasks):
        labelled = ((new.unlabeled >> np.uint32(bit)) & np.uint32(1)) == 0
        positive = ((new.positive >> np.uint32(bit)) & np.uint32(1)) == 1
        aucs[task] = auc_of_ranks(positive[labelled], ranks[labelled])
    return EdgeStatistics(name, len(new), aucs)


def balance_table(sizes: Mapping[str, NDArray[Any]]) -> str:
    """How evenly users and items are spread over their macro nodes, as HTML; `sizes` by owner."""
    rows = []
    for owner, members in sizes.items():
        found = balance(members)
        rows.append(
            f"<tr><td>{owner}s</td><td>{len(members)}</td><td>{found.largest_share:.1%}</td>"
            f"<td>{found.effective_number:.1f}</td></tr>"
        )
    return table(["side", "macro nodes", "share of the largest", "effective number"], rows)


def edges_table(windows: Sequence[EdgeStatistics], tasks: Sequence[str]) -> str:
    """AUC of the plain score by window and task, as HTML."""
    rows = []
    for window in windows:
        values = [window.aucs[task] for task in tasks]
        cells = "".join(
            "<td>&ndash;</td>" if value is None else f"<td>{value:.3f}</td>" for value in values
        )
        rows.append(f"<tr><td>{html.escape(window.name)}</td><td>{window.rows:,}</td>{cells}</tr>")
    return table(["window", "new warm pairs", *tasks], rows)
