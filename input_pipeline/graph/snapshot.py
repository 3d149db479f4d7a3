"""The graph at one cut: everything that a row of the next window may know of its user and item."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse

from input_pipeline.files import filesystem
from input_pipeline.graph.macro_edges import macro_edges, one_hot
from input_pipeline.graph.merging_matrix import Pairs
from input_pipeline.graph.neighbors import Neighbors, latest_neighbors
from input_pipeline.graph.task_table import task_table


@dataclasses.dataclass(frozen=True)
class NodeGraph:
    """One side of a graph: V users or V items, K macro nodes of their own side, K' of the other.

    Attributes:
      macro: int32 [V], -1 for cold nodes.
      one_hop, two_hop: float32 [V, K'] and [V, K].
      neighbors: by task, in task order.
      features: int32 [V] by side feature: vocabulary rows.
      task_table: float32 [V, T, K_I], of users only.
    """

    macro: np.ndarray
    one_hop: np.ndarray
    two_hop: np.ndarray
    neighbors: tuple[Neighbors, ...]
    features: dict[str, np.ndarray]
    task_table: np.ndarray | None

    def __len__(self) -> int:
        return len(self.macro)


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """The graph of all events up to a cut; `matrix` is E, CSR [U, I]."""

    matrix: sparse.csr_matrix
    user: NodeGraph
    item: NodeGraph


def build_snapshot(
    pairs: Pairs,
    matrix: sparse.csr_matrix,
    user_macro: np.ndarray,
    item_macro: np.ndarray,
    num_macro_nodes: tuple[int, int],
    num_tasks: int,
    max_neighbors: int,
    user_codes: np.ndarray,
    item_codes: np.ndarray,
    user_features: dict[str, np.ndarray],
    item_features: dict[str, np.ndarray],
) -> Snapshot:
    """Computes edges, lookup table and micro neighbours from E and the macro nodes.

    Args:
      pairs: of the graph window.
      matrix: E, [U, I].
      user_macro, item_macro: [U] and [I].
      num_macro_nodes: K_U and K_I.
      num_tasks: T.
      max_neighbors: L.
      user_codes, item_codes: by vocabulary row; the order of raw ids, for ties.
      user_features, item_features: int32 [U] and [I] by side feature.
    """
    num_users, num_items = matrix.shape
    p_user, p_item = (
        one_hot(user_macro, num_macro_nodes[0]),
        one_hot(item_macro, num_macro_nodes[1]),
    )
    user_edges, item_edges = macro_edges(matrix, p_user, p_item)
    # E stores the pairs with a behaviour in the same order, by user, then item.
    active = pairs.behaviors > 0
    user, item, behaviors = pairs.user[active], pairs.item[active], pairs.behaviors[active]
    user_neighbors, item_neighbors = [], []
    for task in range(num_tasks):
        did = np.flatnonzero((behaviors >> np.uint32(task)) & np.uint32(1))
        u, i, weight, latest = (
            user[did],
            item[did],
            matrix.data[did],
            pairs.latest[task][active][did],
        )
        user_neighbors.append(
            latest_neighbors(u, i, latest, weight, item_codes, num_users, max_neighbors)
        )
        item_neighbors.append(
            latest_neighbors(i, u, latest, weight, user_codes, num_items, max_neighbors)
        )
    table = task_table(pairs, item_macro, num_users, num_tasks, num_macro_nodes[1])
    return Snapshot(
        matrix,
        NodeGraph(user_macro, *user_edges, tuple(user_neighbors), user_features, table),
        NodeGraph(item_macro, *item_edges, tuple(item_neighbors), item_features, None),
    )


def empty_node_graph(
    num_own: int, num_other: int, num_tasks: int, table_width: int | None
) -> NodeGraph:
    """The graph before the first event; `table_width` is K_I for users and None for items."""
    none = Neighbors(np.zeros(1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32))
    table = None if table_width is None else np.zeros((0, num_tasks, table_width), np.float32)
    return NodeGraph(
        macro=np.zeros(0, np.int32),
        one_hop=np.zeros((0, num_other), np.float32),
        two_hop=np.zeros((0, num_own), np.float32),
        neighbors=(none,) * num_tasks,
        features={},
        task_table=table,
    )


def extend(graph: NodeGraph, features: dict[str, np.ndarray], size: int) -> NodeGraph:
    """The same graph with cold nodes up to `size`, and with these side features, [size] each."""
    new = size - len(graph)

    def padded(array: np.ndarray, value: int = 0) -> np.ndarray:
        tail = np.full((new, *array.shape[1:]), value, array.dtype)
        return np.concatenate([array, tail])

    return NodeGraph(
        macro=padded(graph.macro, -1),
        one_hop=padded(graph.one_hop),
        two_hop=padded(graph.two_hop),
        neighbors=tuple(
            Neighbors(np.pad(n.indptr, (0, new), mode="edge"), n.rows, n.weights)
            for n in graph.neighbors
        ),
        features=features,
        task_table=None if graph.task_table is None else padded(graph.task_table),
    )


def save_snapshot(
    folder: str, snapshot: Snapshot, tasks: Sequence[str], description: dict[str, Any]
) -> None:
    """Writes the arrays of `graph/<k>`, the merging matrix and `graph.json`."""

    def path(name: str) -> str:
        return filesystem.join(folder, name)

    for owner, graph in (("user", snapshot.user), ("item", snapshot.item)):
        filesystem.save_array(path(f"{owner}_macro.npy"), graph.macro)
        filesystem.save_array(path(f"{owner}_1hop.npy"), graph.one_hop)
        filesystem.save_array(path(f"{owner}_2hop.npy"), graph.two_hop)
        for task, neighbors in zip(tasks, graph.neighbors, strict=True):
            filesystem.save_arrays(
                path(f"{owner}_neighbors_{task}.npz"), dataclasses.asdict(neighbors)
            )
        for name, rows in graph.features.items():
            filesystem.save_array(path(f"{name}.npy"), rows)
    assert snapshot.user.task_table is not None
    filesystem.save_array(path("task_table.npy"), snapshot.user.task_table)
    save_sparse(path("merging_matrix.npz"), snapshot.matrix)
    filesystem.write_text(path("graph.json"), json.dumps(description, indent=2) + "\n")


def save_sparse(path: str, matrix: sparse.csr_matrix) -> None:
    """Writes a sparse matrix so that `scipy.sparse.load_npz` reads it."""
    buffer = io.BytesIO()
    sparse.save_npz(buffer, matrix, compressed=False)
    filesystem.write_bytes(path, buffer.getvalue())
