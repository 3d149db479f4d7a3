"""Prepares a data set: python -m input_pipeline.prepare --source=... --input=... --data_dir=..."""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import dataclasses
import json
import os
import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np
from absl import app, flags
from tqdm import tqdm

from input_pipeline import examples, filesystem, options, tfrecords, vocabulary
from input_pipeline.config import PreparationOptions
from input_pipeline.events import EventLog
from input_pipeline.graph.snapshot import NodeGraph, extend
from input_pipeline.interactions import OWNERS, Interactions, Past, build_interactions
from input_pipeline.merging_graph import MergingGraph
from input_pipeline.rows import Rows, add_negatives, group_pairs
from input_pipeline.sources import read_events
from input_pipeline.spec import SPEC_FILE, DatasetSpec, Task
from input_pipeline.windows import (
    STREAM_NEGATIVES,
    STREAM_ROW_ORDER,
    STREAM_SHARDS,
    cut_windows,
)


def prepare(preparation: PreparationOptions) -> DatasetSpec:
    """Reads a log and writes a data set directory, which appears at once when it is complete.

    Raises:
      ValueError: for options, or a log, from which no data set can be made.
      FileExistsError: where `data_dir` exists.
    """
    if not preparation.data_dir:
        raise ValueError("--data_dir: must name the directory to write, got ''")
    final = preparation.data_dir.rstrip("/")
    if filesystem.exists(final):
        raise FileExistsError(f"--data_dir: must not exist yet, got {final}")
    log = read_events(preparation)
    # An object store has no rename: what goes there is made locally and copied, the spec last.
    remote = filesystem.is_remote(final)
    temporary = tempfile.mkdtemp() if remote else filesystem.temporary_sibling(final)
    try:
        spec = write_data_set(log, preparation, temporary)
        filesystem.publish(temporary, final)
    except BaseException:
        filesystem.remove_tree(temporary)
        raise
    return spec


def write_data_set(log: EventLog, preparation: PreparationOptions, data_dir: str) -> DatasetSpec:
    """Writes every file of a data set; the spec, without which nothing is accepted, last."""
    rows = preparation.rows or ("exposures" if log.has_exposures else "pairs")
    if rows == "exposures" and not log.has_exposures:
        raise ValueError(
            "--rows=exposures: needs a log of exposures, but every line has a behaviour"
        )
    split = preparation.split or ("order" if log.timestamp is None else "time")
    windows = cut_windows(log, split, rows, preparation.cuts, preparation.seed)
    interactions = build_interactions(log, windows)
    spec = describe(log, interactions, preparation, rows, split)
    for folder in ("vocabulary", "graph", "examples"):
        filesystem.make_dirs(filesystem.join(data_dir, folder))
    for name, (_, column) in interactions.columns.items():
        vocabulary.write(data_dir, name, column, interactions.counts(column))
    counts = Writer(interactions, spec, preparation, data_dir).write()
    spec = dataclasses.replace(spec, counts=spec.counts | counts)
    filesystem.write_bytes(filesystem.join(data_dir, SPEC_FILE), spec.to_json().encode())
    return spec


def describe(
    log: EventLog,
    interactions: Interactions,
    preparation: PreparationOptions,
    rows: str,
    split: str,
) -> DatasetSpec:
    """The spec, without the counts of rows."""
    levels = preparation.task_levels or tuple(range(1, len(log.tasks) + 1))
    if len(levels) != len(log.tasks):
        raise ValueError(
            f"--task_levels: needs one level for each of {list(log.tasks)}, got {list(levels)}"
        )
    return DatasetSpec(
        source=preparation.source,
        rows=rows,
        split=split,
        timestamp_unit=log.timestamp_unit,
        tasks=tuple(Task(name, level) for name, level in zip(log.tasks, levels, strict=True)),
        vocabularies=tuple(
            vocabulary.describe(
                name, owner, column, interactions.counts(column), preparation.min_count
            )
            for name, (owner, column) in interactions.columns.items()
        ),
        num_user_macro_nodes=preparation.num_user_macro_nodes,
        num_item_macro_nodes=preparation.num_item_macro_nodes,
        max_neighbors=preparation.max_neighbors,
        cuts=preparation.cuts,
        cut_times=interactions.windows.cut_times,
        counts={
            "events": len(log),
            "users": len(interactions.ids["user"].values),
            "items": len(interactions.ids["item"].values),
            "malformed_lines": log.malformed_lines,
            "duplicate_lines": log.duplicate_lines,
        },
        source_files=log.source_files,
        flags=json.loads(json.dumps(dataclasses.asdict(preparation))),
    )


class Writer:
    """Walks through the windows: a graph of the past, the rows, then the window joins the past."""

    def __init__(
        self,
        interactions: Interactions,
        spec: DatasetSpec,
        preparation: PreparationOptions,
        data_dir: str,
    ):
        self._interactions = interactions
        self._windows = interactions.windows
        self._spec = spec
        self._options = preparation
        self._data_dir = data_dir
        self._past = Past(interactions, len(spec.tasks))
        self._graph = MergingGraph(interactions, spec, preparation, data_dir)
        self._encoded = {
            name: examples.encode_values(column.values)
            for name, (_, column) in interactions.columns.items()
        }
        empty = dict.fromkeys(spec.task_names, 0)
        splits = dict.fromkeys(self._windows.split(w) for w in range(self._windows.num_windows))
        self._counts: dict[str, Any] = {
            "rows": dict.fromkeys(splits, 0),
            "positives": {split: dict(empty) for split in splits},
            "missing_negatives": dict.fromkeys(splits, 0),
            "dropped_cold_rows": dict.fromkeys(splits, 0),
        }

    def write(self) -> dict:
        """Writes graphs and examples; returns the counts of rows."""
        num_windows = self._windows.num_windows
        with (
            tqdm(total=num_windows, desc="windows", unit="window", disable=None) as progress,
            contextlib.ExitStack() as files,
            concurrent.futures.ThreadPoolExecutor(
                self._options.num_workers or os.cpu_count()
            ) as workers,
        ):
            shards: dict[str, list[tfrecords.Shard]] = {}
            for window in range(num_windows):
                split = self._windows.split(window)
                if split not in shards:
                    shards[split] = [
                        tfrecords.Shard(
                            files.enter_context(tempfile.TemporaryFile(dir=self._data_dir))
                        )
                        for _ in range(self._options.num_shards)
                    ]
                self._write_window(window, shards[split], workers)
                progress.update()
            self._graph.write("latest", self._past)
            for split, parts in shards.items():
                self._write_shards(split, parts)
        return self._counts

    def _write_window(self, window, shards, workers) -> None:
        graphs = self._graph.write(str(window), self._past) if window else self._graph.empty()
        nodes: dict[str, NodeGraph] = {}
        for owner in OWNERS:
            size = int(self._interactions.ids[owner].known[window])
            features = self._past.next_window_features(owner)
            nodes[owner] = extend(graphs[owner], features, size)
        self._past.add_window()
        rows = self._rows(window, nodes)
        users, items = (
            examples.node_chunks(self._spec, owner, nodes[owner], self._encoded) for owner in OWNERS
        )
        labels, label = examples.label_chunks(self._spec, rows)

        def encode(index: np.ndarray) -> tfrecords.Block:
            part = rows.take(index)
            return tfrecords.compress(
                examples.encode_records(part, users, items, labels, label[index])
            )

        order = np.random.default_rng([self._options.seed, STREAM_ROW_ORDER, window])
        blocks = list(_blocks(order.permutation(len(rows)), len(shards)))
        indices = (index for _, index in blocks)
        for (shard, _), block in zip(blocks, _in_order(workers, encode, indices), strict=True):
            shards[shard].append(block)

    def _rows(self, window: int, nodes: dict[str, NodeGraph]) -> Rows:
        """The window's rows; the past already holds the window's events."""
        split = self._windows.split(window)
        part = self._windows.slice(window)
        rows = self._interactions.events.take(np.arange(part.start, part.stop))
        if self._spec.rows == "pairs":
            random = np.random.default_rng([self._options.seed, STREAM_NEGATIVES, window])
            rows, missing = add_negatives(
                group_pairs(rows, self._interactions.num_items),
                rows.item,
                self._past.touched_keys(),
                self._interactions.num_items,
                self._options.negatives,
                self._options.negative_power,
                random,
            )
            self._counts["missing_negatives"][split] += missing
        if self._options.drop_cold and window:
            cold = (nodes["user"].macro[rows.user] < 0) | (nodes["item"].macro[rows.item] < 0)
            self._counts["dropped_cold_rows"][split] += int(cold.sum())
            rows = rows.take(np.flatnonzero(~cold))
            if not len(rows):
                name = self._windows.describe(window)
                raise ValueError(f"--drop_cold: no row of {name} has a warm user and a warm item")
        self._counts["rows"][split] += len(rows)
        for task, name in enumerate(self._spec.task_names):
            positives = int(((rows.positive >> np.uint32(task)) & np.uint32(1)).sum())
            self._counts["positives"][split][name] += positives
        return rows

    def _write_shards(self, split: str, shards: list[tfrecords.Shard]) -> None:
        for number, shard in enumerate(shards):
            path = tfrecords.shard_path(self._data_dir, split, number, len(shards))
            stream = [self._options.seed, STREAM_SHARDS, list(self._counts["rows"]).index(split)]
            shard.write(path, np.random.default_rng([*stream, number]))


def _blocks(order: np.ndarray, num_shards: int) -> Iterator[tuple[int, np.ndarray]]:
    """Deals rows out to shards; yields (shard, rows of a block)."""
    for shard in range(num_shards):
        rows = order[shard::num_shards]
        for start in range(0, len(rows), tfrecords.ROWS_PER_BLOCK):
            yield shard, rows[start : start + tfrecords.ROWS_PER_BLOCK]


def _in_order(workers: concurrent.futures.ThreadPoolExecutor, function, arguments) -> Iterator:
    """Like map, with at most a few results waiting."""
    waiting: collections.deque = collections.deque()
    for argument in arguments:
        waiting.append(workers.submit(function, argument))
        if len(waiting) >= 2 * workers._max_workers:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def main() -> None:
    """The command."""
    options.define_flags(PreparationOptions, flags.FLAGS)
    filesystem.run_main(lambda: app.run(_run))


def _run(arguments: list[str]) -> None:
    if len(arguments) > 1:
        raise app.UsageError(f"unknown arguments: {arguments[1:]}")
    preparation = options.from_flags(PreparationOptions, flags.FLAGS)
    spec = prepare(preparation)
    print(f"wrote {preparation.data_dir}: {json.dumps(spec.counts, indent=2)}")


if __name__ == "__main__":
    main()
