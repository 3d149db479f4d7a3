"""The users and the items that occur in a window, with what its rows read of them.

Axes: V nodes of one owner in the window, R rows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from input_pipeline.features import registry
from input_pipeline.graph.node_table import NodeTable, take
from input_pipeline.log.interactions import OWNERS, Past
from input_pipeline.log.rows import Rows


@dataclasses.dataclass(frozen=True)
class WindowNodes:
    """The nodes of a window.

    Attributes:
      nodes: by owner, ascending vocabulary rows, [V].
      tables: by owner, as the window's rows see them, [V, ...].
    """

    nodes: Mapping[str, NDArray[Any]]
    tables: Mapping[str, NodeTable]

    @classmethod
    def of(cls, events: Rows, at_cut: Mapping[str, NodeTable], past: Past) -> WindowNodes:
        """The nodes of some events after the past.

        Args:
          events: of the next window.
          at_cut: by owner, the tables of all nodes at the cut before it.
          past: up to that cut.
        """
        nodes = {owner: _distinct(getattr(events, owner)) for owner in OWNERS}
        return cls(nodes, registry.tables_for_window(at_cut, past, nodes))

    def of_rows(self, rows: Rows) -> WindowNodes:
        """Those that occur in some rows."""
        places = {owner: _distinct(where) for owner, where in self.places(rows).items()}
        return WindowNodes(
            {owner: self.nodes[owner][kept] for owner, kept in places.items()},
            {owner: take(self.tables[owner], kept) for owner, kept in places.items()},
        )

    def places(self, rows: Rows) -> dict[str, NDArray[Any]]:
        """By owner, the entry in the tables of each row's node, int32 [R]."""
        return {owner: self._places(owner, getattr(rows, owner)) for owner in OWNERS}

    def _places(self, owner: str, rows: NDArray[Any]) -> NDArray[Any]:
        nodes = self.nodes[owner]
        place = np.zeros(int(nodes.max(initial=-1)) + 1, np.int32)
        place[nodes] = np.arange(len(nodes), dtype=np.int32)
        return place[rows]


def _distinct(nodes: NDArray[Any]) -> NDArray[Any]:
    """The distinct ones, ascending."""
    occurs = np.zeros(int(nodes.max(initial=-1)) + 1, bool)
    occurs[nodes] = True
    return np.flatnonzero(occurs)
