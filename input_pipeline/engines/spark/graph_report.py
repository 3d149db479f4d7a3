"""What the report shows of the graph at the end of the log, counted on the executors."""

from __future__ import annotations

import functools
from typing import Any

from numpy.typing import NDArray

from input_pipeline.engines.spark.array_file import ArrayFile
from input_pipeline.engines.spark.plan import Plan
from input_pipeline.engines.spark.workspace import Workspace, slabs
from input_pipeline.log.interactions import OWNERS
from input_pipeline.report.macro_graph import (
    BLOCK_NODES,
    Degrees,
    MacroGraph,
    count_members,
    edges_name,
    macro_name,
    sum_ties,
)


def macro_graph(plan: Plan, work: Workspace) -> MacroGraph:
    """Groups and edges of the latest graph, whose columns are files."""
    blocks = {owner: slabs(plan.size(owner), BLOCK_NODES) for owner in OWNERS}
    members = {
        owner: work.run(functools.partial(_members, plan, owner), blocks[owner]) for owner in OWNERS
    }
    ties = work.run(functools.partial(_ties, plan), blocks["user"])
    return MacroGraph.of_blocks(plan.spec, members, ties)


def _latest(plan: Plan, name: str, slab: tuple[int, int]) -> NDArray[Any]:
    return ArrayFile(plan.graph(plan.windows.num_windows, f"{name}.npy")).read(*slab)


def _members(plan: Plan, owner: str, slab: tuple[int, int]) -> NDArray[Any]:
    return count_members(plan.spec, owner, _latest(plan, macro_name(plan.spec, owner), slab))


def _ties(plan: Plan, slab: tuple[int, int]) -> NDArray[Any]:
    names = macro_name(plan.spec, "user"), edges_name(plan.spec)
    return sum_ties(plan.spec, *(_latest(plan, name, slab) for name in names))


def degrees(plan: Plan, work: Workspace) -> dict[str, Degrees]:
    """By owner, the degrees of the cut whose pairs were scored last."""
    found = {}
    for owner in OWNERS:
        path = plan.path("degrees", f"{owner}.npy")
        parts = slabs(len(ArrayFile(path)), BLOCK_NODES)
        found[owner] = Degrees.of_parts(work.run(functools.partial(_degrees, path), parts))
    return found


def _degrees(path: str, slab: tuple[int, int]) -> Degrees:
    return Degrees.of(ArrayFile(path).read(*slab))
