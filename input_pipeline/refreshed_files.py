"""What a data set takes over from the one that it adds a day to: graphs, shards and counts."""

from __future__ import annotations

import collections
import json
import os
from typing import Any

from input_pipeline.engines.engine import WindowDescription
from input_pipeline.feature import NODES
from input_pipeline.files import filesystem
from input_pipeline.files.json_file import read_json
from input_pipeline.records.shard_index import read_index, write_index
from input_pipeline.records.shards import shard_path
from input_pipeline.spec import NEWEST_ROWS, DatasetSpec

# Where the shards of each window of the earlier data set go.
_MOVES = {"history": "history", "train": "train", "validation": "train", "test": "validation"}


def link_graphs(
    before: DatasetSpec, spec: DatasetSpec, earlier: str, data_dir: str, *, grouping: bool
) -> None:
    """The graphs of before; the latest of them is that of the new cut."""
    source, target = (filesystem.join(folder, "graph") for folder in (earlier, data_dir))
    cuts = len(spec.cuts)
    names = {str(cut): str(cut) for cut in range(1, cuts)} | {"latest": str(cuts)}
    for old, new in names.items():
        filesystem.make_dirs(filesystem.join(target, new))
        for name in filesystem.files_below(filesystem.join(source, old)):
            if name != "graph.json":
                path = filesystem.join(target, new, name)
                filesystem.make_dirs(path.rpartition("/")[0])  # a column may lie in parts
                filesystem.link(filesystem.join(source, old, name), path)
        told = read_json(filesystem.join(source, old, "graph.json"), "Prepare the data set again")
        cut = int(new)
        told |= {"cut": cut, "quantile": spec.cuts[cut - 1], "time": spec.cut_times[cut - 1]}
        text = json.dumps(told, indent=2) + "\n"
        filesystem.write_text(filesystem.join(target, new, "graph.json"), text)
    if not grouping:
        return
    for name in ("projection.npz", *(f"{owner}_centroids.npy" for owner in NODES)):
        if filesystem.exists(filesystem.join(source, name)):
            filesystem.link(filesystem.join(source, name), filesystem.join(target, name))


def link_shards(earlier: str, data_dir: str) -> None:
    """The shards of before under their new names, beside the day's; and the index of all."""
    index = read_index(earlier)
    of_split = collections.defaultdict(list)
    for name in sorted(index):
        split = name.partition("-")[0]
        of_split[_MOVES[split]].append(name)
    new_index = read_index(data_dir)  # of the test window
    for split, names in of_split.items():
        # those of training first: the shards of the newest window come last
        names.sort(key=lambda name: (name.startswith("validation-"), name))
        for number, name in enumerate(names):
            target = shard_path(data_dir, split, number, len(names))
            filesystem.link(filesystem.join(earlier, "examples", name), target)
            new_index[os.path.basename(target)] = index[name]
    write_index(data_dir, new_index)


def moved_counts(before: DatasetSpec, day: WindowDescription) -> dict[str, Any]:
    """Rows, labels and what is missing by split, with the day's as those of test."""
    counts: dict[str, Any] = {NEWEST_ROWS: before.counts["rows"]["validation"]}
    of_day = {
        "rows": day.statistics.rows,
        "missing_negatives": day.missing_negatives,
        "dropped_cold_rows": day.dropped_cold_rows,
    }
    for name, number in of_day.items():
        by_split: collections.Counter[str] = collections.Counter()
        for split, value in before.counts[name].items():
            by_split[_MOVES[split]] += value
        counts[name] = {**by_split, "test": number}
    for name in ("labels", "positives"):
        by_task: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
        for split, values in before.counts[name].items():
            by_task[_MOVES[split]].update(values)
        counts[name] = {
            **{split: dict(values) for split, values in by_task.items()},
            "test": getattr(day.statistics, name),
        }
    return counts
