"""What is known of all users, or of all items, at one cut: a table of named columns.

Axes: V nodes, in vocabulary order.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from input_pipeline.files import filesystem, stored
from input_pipeline.graph.ragged import offsets_of, taken


@dataclasses.dataclass(frozen=True)
class DenseColumn:
    """A value a node.

    Attributes:
      values: [V, ...].
      missing: what a node has that is not in the table: a value, or one an entry of [...].
    """

    values: NDArray[Any]
    missing: float | int | tuple[float, ...] = 0

    def __len__(self) -> int:
        return len(self.values)

    def take(self, nodes: NDArray[Any]) -> DenseColumn:
        """Of some nodes, ascending; those that are not in the table have nothing."""
        known = nodes[: np.searchsorted(nodes, len(self))]
        values = np.empty((len(nodes), *self.values.shape[1:]), self.values.dtype)
        values[: len(known)] = self.values[known]
        values[len(known) :] = self.missing
        return dataclasses.replace(self, values=values)

    def updated(self, nodes: NDArray[Any], found: Column, size: int) -> DenseColumn:
        """With what was found of some nodes, ascending, of `size` nodes; see `updated`."""
        assert isinstance(found, DenseColumn)
        values = np.empty((size, *self.values.shape[1:]), self.values.dtype)
        values[: len(self)] = self.values
        values[len(self) :] = self.missing
        values[nodes] = found.values
        return dataclasses.replace(self, values=values)

    def save(self, path: str) -> None:
        """Writes `<path>.npy`."""
        filesystem.save_array(f"{path}.npy", self.values)


@dataclasses.dataclass(frozen=True)
class ListColumn:
    """A list a node.

    Attributes:
      indptr: int64 [V + 1]; node v has the entries indptr[v]:indptr[v + 1] of each array.
      arrays: what an entry holds, by name: `rows` of a vocabulary, `weights`.
    """

    indptr: NDArray[Any]
    arrays: Mapping[str, NDArray[Any]]

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def take(self, nodes: NDArray[Any]) -> ListColumn:
        """Of some nodes, ascending; the lists of those that are not in the table are empty."""
        known = nodes[: np.searchsorted(nodes, len(self))]
        indptr, places = taken(self.indptr, known)
        longer = np.pad(indptr, (0, len(nodes) - len(known)), mode="edge")
        return ListColumn(longer, {name: array[places] for name, array in self.arrays.items()})

    def updated(self, nodes: NDArray[Any], found: Column, size: int) -> ListColumn:
        """With what was found of some nodes, ascending, of `size` nodes; see `updated`."""
        assert isinstance(found, ListColumn)
        # [size]: of each node where its list begins among those that were, then those found
        starts, lengths = np.zeros(size, np.int64), np.zeros(size, np.int64)
        starts[: len(self)], lengths[: len(self)] = self.indptr[:-1], np.diff(self.indptr)
        starts[nodes] = found.indptr[:-1] + self.indptr[-1]
        lengths[nodes] = np.diff(found.indptr)
        indptr = offsets_of(lengths)
        places = np.arange(indptr[-1]) + np.repeat(starts - indptr[:-1], lengths)
        arrays = {
            name: np.concatenate([array, found.arrays[name].astype(array.dtype)])[places]
            for name, array in self.arrays.items()
        }
        return ListColumn(indptr, arrays)

    def save(self, path: str) -> None:
        """Writes `<path>.npz`."""
        filesystem.save_arrays(f"{path}.npz", {"indptr": self.indptr, **self.arrays})


Column: TypeAlias = DenseColumn | ListColumn
NodeTable: TypeAlias = dict[str, Column]


def take(table: Mapping[str, Column], nodes: NDArray[Any]) -> NodeTable:
    """The table of some nodes, ascending; of those that are not in it nothing is known."""
    return {name: column.take(nodes) for name, column in table.items()}


def updated(
    table: Mapping[str, Column], nodes: NDArray[Any], found: Mapping[str, Column], size: int
) -> NodeTable:
    """A later table: of some nodes what was found, of the others what was known.

    Args:
      table: of the nodes that there were.
      nodes: ascending, below `size`; all that were not in `table` are among them, or have nothing.
      found: of these nodes, the columns that are wanted, in their order.
      size: how many nodes there are.
    """
    return {name: table[name].updated(nodes, column, size) for name, column in found.items()}


def save(folder: str, table: Mapping[str, Column]) -> None:
    """Writes each column of a table into a folder, by its name."""
    for name, column in table.items():
        column.save(filesystem.join(folder, name))


def load(folder: str, name: str, *, is_list: bool, missing: float | int = 0) -> Column:
    """Reads one column of a table that `save` wrote.

    Args:
      folder: of the table.
      name: of the column.
      is_list: whether it holds lists.
      missing: what a node has that is not in it, of a dense column.
    """
    path = filesystem.join(folder, name)
    if not is_list:
        return DenseColumn(stored.load_array(f"{path}.npy"), missing)
    arrays = stored.load_arrays(f"{path}.npz")
    return ListColumn(arrays.pop("indptr"), arrays)
