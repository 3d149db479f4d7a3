"""The scored pairs at a cut (Eq. 6 and 7): E by user and by item, in slabs, and as one matrix.

Axes: U users and I items that the cut knows, P pairs of a part, T tasks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from input_pipeline.engines.spark.array_file import ArrayFile, cumulated, write_npz
from input_pipeline.engines.spark.plan import (
    OTHER,
    Plan,
    Shared,
    add_shared,
    load_pairs,
    write_sums,
)
from input_pipeline.engines.spark.products import Slab
from input_pipeline.engines.spark.workspace import Workspace
from input_pipeline.graph.merging_matrix import Pairs, merging_matrix
from input_pipeline.log.interactions import OWNERS


@dataclasses.dataclass(frozen=True)
class SideTask:
    """A part of one owner's pairs at a cut.

    Attributes:
      plan: where everything is.
      cut: its number.
      owner: whose nodes are rows.
      part: its number.
    """

    plan: Plan
    cut: int
    owner: str
    part: int

    @property
    def slab(self) -> str:
        """Path of the part of E."""
        return self.plan.path("slabs", f"{self.owner}-{self.part:05d}.npz")


@dataclasses.dataclass(frozen=True)
class CutPairs:
    """E at a cut.

    Attributes:
      tasks: by owner, its parts.
      interactions: entries of E.
      mean: of its entries.
    """

    tasks: dict[str, list[SideTask]]
    interactions: int
    mean: float


def score_pairs(plan: Plan, cut: int, work: Workspace) -> CutPairs:
    """Writes E in slabs, and `graph/<cut>/merging_matrix.npz`; `degrees/<owner>.npy` counts it.

    Raises:
      ValueError: a score does not fit in float32.
    """
    tasks = {}
    work.path("slabs", "")
    for owner in OWNERS:
        known = plan.known_at(owner, cut)
        tasks[owner] = [
            SideTask(plan, cut, owner, part)
            for part, (first, _) in enumerate(plan.pairs[owner].ranges)
            if first < known
        ]
        ArrayFile.create(work.path("degrees", f"{owner}.npy"), (known,), np.int64)
    found = work.run(_score, tasks["user"] + tasks["item"])
    for owner in OWNERS:
        told = [r[2] for r, t in zip(found, tasks["user"] + tasks["item"], strict=True)
                if t.owner == owner]  # fmt: skip
        add_shared(plan.path("degrees", f"{owner}.npy"), told)
    of_users = found[: len(tasks["user"])]
    interactions = sum(entries for entries, _, _ in of_users)
    total = sum(total for _, total, _ in of_users)
    _write_matrix(plan, cut, tasks["user"], interactions)
    return CutPairs(tasks, interactions, total / max(1, interactions))


def _score(task: SideTask) -> tuple[int, float, Shared]:
    """Writes a slab; its number of entries, their sum, and the degrees of shared nodes."""
    plan, owner = task.plan, task.owner
    pairs = load_pairs(plan, owner, task.part, task.cut)
    assert pairs is not None
    levels = [t.level for t in plan.spec.tasks]
    matrix = merging_matrix(
        Pairs(pairs.node.astype(np.int32), pairs.other, pairs.behaviors, pairs.latest),
        levels,
        plan.options.beta,
        pairs.count,
        plan.known_at(OTHER[owner], task.cut),
    )
    Slab(pairs.first, matrix).save(task.slab)
    degrees = np.diff(matrix.indptr).astype(np.int64)
    path = plan.path("degrees", f"{owner}.npy")
    shared = write_sums(plan, owner, task.part, pairs.first, degrees, path)
    return matrix.nnz, float(matrix.data.sum()), shared


def _write_matrix(plan: Plan, cut: int, tasks: list[SideTask], entries: int) -> None:
    """Puts E together as `scipy.sparse.save_npz` does, slab after slab."""
    known = plan.known_at("user", cut), plan.known_at("item", cut)
    index = np.int32 if max(entries, *known) < 2**31 else np.int64

    def pieces(name: str) -> Iterator[NDArray[Any]]:
        for task in tasks:
            yield getattr(Slab.load(task.slab).matrix, name)

    shape = (entries,)
    write_npz(
        plan.graph(cut, "merging_matrix.npz"),
        {
            "indices": (index, shape, pieces("indices")),
            "indptr": (index, (known[0] + 1,), cumulated(ArrayFile(plan.path("degrees/user.npy")))),
            "format": ("S3", (), [np.array(b"csr")]),
            "shape": (np.int64, (2,), [np.array(known)]),
            "data": (np.float64, shape, pieces("data")),
        },
    )
