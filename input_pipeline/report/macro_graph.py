"""The macro graph of all events, as reports show it, counted block by block.

Blocks are of as many nodes whoever counts them, so that all sums are the same.

Axes: V nodes of a block, U users, K_U and K_I macro nodes.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from input_pipeline.feature import NODES
from input_pipeline.files import filesystem, stored
from input_pipeline.spec import DatasetSpec

BLOCK_NODES = 1 << 20


@dataclasses.dataclass(frozen=True)
class MacroGraph:
    """Groups and edges of the graph at the end of the log.

    Attributes:
      sizes: by owner, how many nodes each macro node has, [K_U] and [K_I].
      cold: by owner, how many nodes are in none.
      ties: sums of the edges of the users of a macro node to macro nodes of items, [K_U, K_I].
    """

    sizes: dict[str, NDArray[Any]]
    cold: dict[str, int]
    ties: NDArray[Any]

    @classmethod
    def read(cls, spec: DatasetSpec, data_dir: str) -> MacroGraph:
        """Reads `graph/latest` of a data set directory."""

        def column(name: str) -> Iterator[NDArray[Any]]:
            path = filesystem.join(data_dir, "graph", "latest", f"{name}.npy")
            return stored.blocks(path, BLOCK_NODES)

        members = {
            owner: map(
                functools.partial(count_members, spec, owner), column(macro_name(spec, owner))
            )
            for owner in NODES
        }
        users = column(macro_name(spec, "user")), column(edges_name(spec))
        return cls.of_blocks(spec, members, map(functools.partial(sum_ties, spec), *users))

    @classmethod
    def of_blocks(
        cls,
        spec: DatasetSpec,
        members: Mapping[str, Iterable[NDArray[Any]]],
        ties: Iterable[NDArray[Any]],
    ) -> MacroGraph:
        """Of `count_members` of blocks, by owner, and `sum_ties` of blocks, in their order."""
        totals = {
            owner: sum(blocks, np.zeros(_number(spec, owner) + 1, np.int64))
            for owner, blocks in members.items()
        }
        return cls(
            {owner: found[1:] for owner, found in totals.items()},
            {owner: int(found[0]) for owner, found in totals.items()},
            sum(ties, np.zeros((spec.num_user_macro_nodes, spec.num_item_macro_nodes))),
        )

    @functools.cached_property
    def lift(self) -> NDArray[Any]:
        """log2 of tie strength over expected tie strength, [K_U, K_I]; NaN where there is none."""
        ties = self.ties
        with np.errstate(divide="ignore", invalid="ignore"):
            expected = ties.sum(1, keepdims=True) * ties.sum(0, keepdims=True) / ties.sum()
            return np.where(ties > 0, np.log2(ties / expected), np.nan)


def _number(spec: DatasetSpec, owner: str) -> int:
    return {"user": spec.num_user_macro_nodes, "item": spec.num_item_macro_nodes}[owner]


def macro_name(spec: DatasetSpec, owner: str) -> str:
    """The column of the macro nodes of users, or of items."""
    return spec.select(owner, "macro_id")[0].column


def edges_name(spec: DatasetSpec) -> str:
    """The column of the edges of users to macro nodes of items."""
    (edges,) = (f for f in spec.select("user", "macro_edges") if f.macro_nodes == "item")
    return edges.column


def count_members(spec: DatasetSpec, owner: str, macro: NDArray[Any]) -> NDArray[Any]:
    """How many nodes are in none, and in each macro node, int64 [K + 1]; `macro` int32 [V]."""
    return np.bincount(macro + 1, minlength=_number(spec, owner) + 1)


def sum_ties(spec: DatasetSpec, macro: NDArray[Any], edges: NDArray[Any]) -> NDArray[Any]:
    """The edges [V, K_I] of users, summed by their macro node [V]: float64 [K_U, K_I]."""
    members = np.flatnonzero(macro >= 0)
    entries = np.ones(len(members)), (macro[members], members)
    chosen = sparse.csr_matrix(entries, shape=(spec.num_user_macro_nodes, len(macro)))
    return np.asarray(chosen @ edges.astype(np.float64))


@dataclasses.dataclass(frozen=True)
class Degrees:
    """How many nodes of the other side the nodes of one side are tied to.

    Attributes:
      distinct: the numbers that occur, ascending, int64.
      counts: how many nodes have each, int64.
    """

    distinct: NDArray[Any]
    counts: NDArray[Any]

    @classmethod
    def of(cls, degrees: NDArray[Any]) -> Degrees:
        """Of the degree of each node."""
        return cls(*np.unique(degrees.astype(np.int64), return_counts=True))

    @classmethod
    def of_parts(cls, parts: Iterable[Degrees]) -> Degrees:
        """Of all nodes."""
        listed = list(parts)
        distinct, place = np.unique(
            np.concatenate([np.zeros(0, np.int64), *(part.distinct for part in listed)]),
            return_inverse=True,
        )
        counts = np.zeros(len(distinct), np.int64)
        np.add.at(counts, place, np.concatenate([np.zeros(0, int), *(p.counts for p in listed)]))
        return cls(distinct, counts)


def read_degrees(data_dir: str) -> dict[str, Degrees]:
    """By owner, how many nodes of the other side nodes are tied to at the end of the log."""
    path = filesystem.join(data_dir, "graph", "latest", "merging_matrix.npz")
    with filesystem.open_binary(path) as file:
        matrix = sparse.load_npz(file)
    return {
        "user": Degrees.of(np.diff(matrix.indptr)),
        "item": Degrees.of(np.bincount(matrix.indices, minlength=matrix.shape[1])),
    }
