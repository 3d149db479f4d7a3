"""Suite `graph`: interactions to macro nodes, edges, lookup table and micro neighbours."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable

from input_pipeline.engines.local.merging_graph import MergingGraph
from input_pipeline.files import filesystem
from tests.benchmarks.context import Context
from tests.benchmarks.line import Goal, Line
from tests.benchmarks.measure import alternate, peak_memory, seconds
from tests.benchmarks.planted import Planted
from tests.benchmarks.scripted_graph import scripted_graph

_SHRINK = 10
# To which the bounds on seconds and memory belong.
_LARGEST_EVENTS = 1_600_000


def run(context: Context) -> list[Line]:
    """One snapshot, all of them, memory, and how the time grows with the log."""
    scale = context.scale
    log = Planted.of(context.preparation(data_dir=context.folder))
    users, items, events = (n // _SHRINK for n in (scale.users, scale.items, scale.events))
    small = Planted.of(
        context.preparation(data_dir=context.folder, users=users, items=items, events=events)
    )
    last = log.interactions.windows.num_windows
    inertia: dict[str, float] = {}

    def ours() -> None:
        inertia["inertia"] = build(log, [last])

    def peer() -> None:
        events, windows = log.interactions.events, log.interactions.windows
        inertia["inertia of the peer"] = scripted_graph(
            events.user, events.item, events.positive, windows.time, len(log.spec.tasks)
        )

    with peak_memory() as peak:
        ours()
    samples = alternate(
        {
            "one": seconds(ours),
            "script": seconds(peer),
            "small": seconds(lambda: build(small, [last])),
            "all": seconds(lambda: build(log, range(1, last + 1))),
        },
        scale.rounds,
    )
    sizes = {
        "pairs": len(log.interactions.pair_keys),
        "users": len(log.interactions.ids["user"].values),
        "items": len(log.interactions.ids["item"].values),
    }

    def bound(largest: float) -> Goal | None:
        return Goal("ours", at_most=largest) if scale.events <= _LARGEST_EVENTS else None

    times = sizes["pairs"] / len(small.interactions.pair_keys)
    return [
        Line(
            "one snapshot with its grouping", "s", samples["one"], samples["script"],
            "scipy + scikit-learn script", bound(15), {**sizes, **inertia},
        ),
        Line(
            "peak memory of the process", "GB", [peak.gigabytes], goal=bound(2),
            details={**sizes, "before the call": peak.before_gigabytes},
        ),
        Line(
            f"snapshots at all {last} cuts", "s", samples["all"], goal=bound(60), details=sizes,
        ),
        Line(
            f"one snapshot, {times:.2f} times the pairs", "s", samples["one"], samples["small"],
            "a tenth of the log", Goal("ratio", at_most=round(1.05 * times, 2)), sizes,
        ),
    ]  # fmt: skip


def build(log: Planted, cuts: Iterable[int]) -> float:
    """Groups at the first cut and writes `graph/<k>` of all; the inertia of users and items."""
    with tempfile.TemporaryDirectory(dir=log.preparation.data_dir) as folder:
        filesystem.make_dirs(filesystem.join(folder, "graph"))
        graph, past = (
            MergingGraph(log.interactions, log.facts, log.spec, log.preparation, folder),
            log.past(0),
        )
        for cut in cuts:
            while past.num_windows < cut:
                past.add_window()
            graph.pairs(str(cut), past)
            if not len(graph.macro["user"]):
                graph.group()
            graph.edges(str(cut))
        text = filesystem.read_text(filesystem.join(folder, "graph", str(cut), "graph.json"))
    told = json.loads(text)
    return sum(told[owner]["weighted_inertia"] for owner in ("user", "item"))
