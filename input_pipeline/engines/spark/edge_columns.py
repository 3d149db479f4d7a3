"""What the graph at a cut says of each node, written to `graph/<cut>/`: macro nodes, macro edges,
the macro task lookup table, micro neighbours, and where the node stands.

Axes: V nodes of a part or block, K macro nodes, L neighbours, T tasks.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from input_pipeline.engines.spark.array_file import ArrayFile, cumulated, write_npz
from input_pipeline.engines.spark.cut_pairs import SideTask
from input_pipeline.engines.spark.plan import (
    OTHER,
    Plan,
    Shared,
    add_shared,
    load_pairs,
    write_sums,
)
from input_pipeline.engines.spark.products import Slab, times_file
from input_pipeline.engines.spark.workspace import Workspace, slabs
from input_pipeline.graph.merging_matrix import Pairs, require_float32
from input_pipeline.graph.neighbors import latest_neighbors
from input_pipeline.graph.task_table import task_table
from input_pipeline.log.interactions import OWNERS

Lists = dict[str, NDArray[Any]]


def write_columns(plan: Plan, cut: int, tasks: dict[str, list[SideTask]], work: Workspace) -> None:
    """Writes the columns of users and items that the pairs and macro nodes decide on."""
    sizes = {owner: plan.known_at(owner, cut) for owner in OWNERS}
    num_macro = {
        "user": plan.spec.num_user_macro_nodes,
        "item": plan.spec.num_item_macro_nodes,
    }
    names = [plan.graph(cut, "task_table.npy")]
    shape = (sizes["user"], len(plan.spec.tasks), num_macro["item"])
    ArrayFile.create(names[0], shape, np.float32)
    for hops in (1, 2):
        for owner in OWNERS:
            width = num_macro[OTHER[owner] if hops == 1 else owner]
            path = work.path("edges", f"{owner}_{hops}hop.npy")
            ArrayFile.create(path, (sizes[owner], width), np.float64)
            hop = functools.partial(_hop, hops, width, path)
            add_shared(path, work.run(hop, tasks[owner]))
    work.run(_count_tasks, tasks["user"])
    for owner in OWNERS:
        _write_neighbors(plan, cut, owner, tasks[owner], work)
        of_nodes = functools.partial(_write_block, plan, cut, owner)
        for hops in (1, 2):
            file = ArrayFile(plan.path("edges", f"{owner}_{hops}hop.npy"))
            ArrayFile.create(plan.graph(cut, f"{owner}_{hops}hop.npy"), file.shape, np.float32)
        for name in ("macro", "graph_cut", "graph_node"):
            path = plan.graph(cut, f"{owner}_{name}.npy")
            ArrayFile.create(path, (sizes[owner],), np.int32)
        work.run(of_nodes, slabs(sizes[owner], work.part_rows))


def _hop(hops: int, width: int, path: str, task: SideTask) -> Shared:
    """E times the other's macro nodes, or times the other's edges of one hop."""
    plan, other = task.plan, OTHER[task.owner]
    slab = Slab.load(task.slab)
    if hops == 1:
        macro = ArrayFile(plan.path("macro", f"{other}.npy"))
        found = times_file(slab.matrix, macro, width, lambda band: _one_hot(band, width))
    else:
        edges = ArrayFile(plan.path("edges", f"{other}_1hop.npy"))
        found = times_file(slab.matrix, edges, width)
    return write_sums(plan, task.owner, task.part, slab.first, found, path)


def _one_hot(macro: NDArray[Any], width: int) -> NDArray[Any]:
    found = np.zeros((len(macro), width))
    members = np.flatnonzero(macro >= 0)
    found[members, macro[members]] = 1.0
    return found


def _count_tasks(task: SideTask) -> None:
    """Writes the lookup table of a part's users, who are in no other part."""
    plan = task.plan
    pairs = load_pairs(plan, "user", task.part, task.cut)
    assert pairs is not None
    items, place = np.unique(pairs.other, return_inverse=True)
    macro = ArrayFile(plan.path("macro", "item.npy")).take(items)
    table = task_table(
        Pairs(pairs.node.astype(np.int32), place, pairs.behaviors, pairs.latest),
        macro,
        pairs.count,
        len(plan.spec.tasks),
        plan.spec.num_item_macro_nodes,
    )
    ArrayFile(plan.graph(task.cut, "task_table.npy")).write(pairs.first, table)


def _write_block(plan: Plan, cut: int, owner: str, slab: tuple[int, int]) -> None:
    """Writes what is known of nodes one by one."""
    start, stop = slab
    for hops in (1, 2):
        name = f"{owner}_{hops}hop.npy"
        edges = ArrayFile(plan.path("edges", name)).read(start, stop)
        require_float32(edges, "macro edges")
        ArrayFile(plan.graph(cut, name)).write(start, edges)
    columns = {
        "macro": ArrayFile(plan.path("macro", f"{owner}.npy")).read(start, stop),
        "graph_cut": np.full(stop - start, cut),
        "graph_node": np.arange(start + 1, stop + 1),
    }
    for column, values in columns.items():
        ArrayFile(plan.graph(cut, f"{owner}_{column}.npy")).write(start, values)


def _write_neighbors(
    plan: Plan, cut: int, owner: str, tasks: list[SideTask], work: Workspace
) -> None:
    """Writes the lists of all tasks; those of a node of several parts are merged here."""
    size = plan.known_at(owner, cut)
    for bit in range(len(plan.spec.tasks)):
        ArrayFile.create(work.path("neighbors", f"{owner}_{bit}.npy"), (size,), np.int64)
    found = work.run(_neighbors, tasks)
    for bit, task in enumerate(plan.spec.task_names):
        counts = ArrayFile(plan.path("neighbors", f"{owner}_{bit}.npy"))
        merged = _merge([of_part[bit] for of_part in found], plan.spec.max_neighbors)
        for node, lists in merged.items():
            counts.write(node, np.array([len(lists["rows"])]))
        total = sum(int(block.sum()) for _, block in counts.blocks())
        arrays: dict[str, Any] = {"indptr": (np.int64, (size + 1,), cumulated(counts))}
        for name, dtype in (("rows", np.int32), ("weights", np.float32)):
            arrays[name] = (dtype, (total,), _pieces(tasks, bit, name, merged))
        write_npz(plan.graph(cut, f"{owner}_neighbors_{task}.npz"), arrays)


def _merge(found: list[dict[int, Lists]], limit: int) -> dict[int, Lists]:
    """The newest neighbours of nodes of several parts; of equal times the smaller code first."""
    joined: dict[int, list[Lists]] = {}
    for of_part in found:
        for node, lists in of_part.items():
            joined.setdefault(node, []).append(lists)
    merged = {}
    for node, parts in joined.items():
        whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        order = np.lexsort((whole["codes"], -whole["times"]))[:limit]
        merged[node] = {name: values[order] for name, values in whole.items()}
    return merged


def _pieces(
    tasks: list[SideTask], bit: int, name: str, merged: dict[int, Lists]
) -> Iterator[NDArray[Any]]:
    """The entries of all lists in the order of their nodes."""
    written: set[int] = set()
    for task in tasks:
        ends = task.plan.pairs[task.owner].ranges[task.part]
        with np.load(_lists_path(task)) as arrays:
            own = arrays[f"{name}{bit}"]
        first, last = ({node} & merged.keys() - written for node in ends)
        yield from (merged[node][name] for node in first)
        yield own
        yield from (merged[node][name] for node in last - first)
        written |= first | last


def _lists_path(task: SideTask) -> str:
    return task.plan.path("neighbors", f"{task.owner}-{task.part:05d}.npz")


def _neighbors(task: SideTask) -> list[dict[int, Lists]]:
    """Writes the lists of a part's nodes; by task, those of nodes of several parts."""
    plan, owner, other = task.plan, task.owner, OTHER[task.owner]
    pairs = load_pairs(plan, owner, task.part, task.cut)
    assert pairs is not None
    matrix = Slab.load(task.slab).matrix
    others, place = np.unique(pairs.other, return_inverse=True)
    codes = ArrayFile(plan.codes[f"{other}_id"]).take(others)
    shared = sorted(plan.pairs[owner].shared(task.part))
    shared = [node for node in shared if pairs.first <= node < pairs.first + pairs.count]
    kept = np.ones(pairs.count, bool)
    kept[[node - pairs.first for node in shared]] = False
    arrays, told = {}, []
    for bit in range(len(plan.spec.tasks)):
        did = np.flatnonzero(pairs.behaviors >> np.uint32(bit) & np.uint32(1))
        found = latest_neighbors(
            pairs.node[did].astype(np.int32),
            # The place among all of the part's pairs says which pair a neighbour is of.
            did.astype(np.int32),
            pairs.latest[bit][did],
            matrix.data[did],
            codes[place],
            pairs.count,
            plan.spec.max_neighbors,
        )
        lengths = np.diff(found.indptr)
        entries = kept[np.repeat(np.arange(pairs.count), lengths)]
        arrays[f"rows{bit}"] = pairs.other[found.rows[entries]]
        arrays[f"weights{bit}"] = found.weights[entries]
        counts = os.path.join(plan.root, "neighbors", f"{owner}_{bit}.npy")
        write_sums(plan, owner, task.part, pairs.first, lengths, counts)
        of_shared = {}
        for node in shared:
            part = slice(*found.indptr[node - pairs.first : node - pairs.first + 2])
            pair = found.rows[part]
            of_shared[node] = {
                "rows": pairs.other[pair],
                "weights": found.weights[part],
                "times": pairs.latest[bit][pair],
                "codes": codes[place[pair]],
            }
        told.append(of_shared)
    np.savez(_lists_path(task), **arrays)
    return told
