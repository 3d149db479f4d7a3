"""Prepares a data set: python -m input_pipeline.prepare --source=... --input=... --data_dir=..."""

from __future__ import annotations

import dataclasses
import json
import tempfile

import numpy as np

from input_pipeline.commands.command import run_command
from input_pipeline.engines.dataset_writer import DatasetWriter
from input_pipeline.features.provider import LogFacts
from input_pipeline.features.registry import describe_features
from input_pipeline.files import filesystem
from input_pipeline.files.temporary_directory import temporary_directory
from input_pipeline.log import vocabulary
from input_pipeline.log.events import EventLog
from input_pipeline.log.interactions import Interactions, build_interactions
from input_pipeline.log.vocabulary import ListsColumn, NumbersColumn
from input_pipeline.log.windows import cut_windows
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.sources import read_events
from input_pipeline.spec import SPEC_FILE, DatasetSpec, Task


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
    temporary = tempfile.mkdtemp() if remote else temporary_directory(final)
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
    spec, facts = describe(log, interactions, preparation, rows, split)
    for folder in ("vocabulary", "graph", "examples"):
        filesystem.make_dirs(filesystem.join(data_dir, folder))
    for name, (_, column) in interactions.vocabularies.items():
        vocabulary.write(data_dir, name, column, interactions.counts(column))
    spec = DatasetWriter(interactions, facts, spec, preparation, data_dir).write()
    filesystem.write_bytes(filesystem.join(data_dir, SPEC_FILE), spec.to_json().encode())
    return spec


def describe(
    log: EventLog,
    interactions: Interactions,
    preparation: PreparationOptions,
    rows: str,
    split: str,
) -> tuple[DatasetSpec, LogFacts]:
    """The spec, without the counts of rows, and what its features were described by."""
    levels = preparation.task_levels or tuple(range(1, len(log.tasks) + 1))
    if len(levels) != len(log.tasks):
        raise ValueError(
            f"--task_levels: needs one level for each of {list(log.tasks)}, got {list(levels)}"
        )
    if preparation.activity_features and split != "time":
        raise ValueError(
            "--activity_features: needs --split=time, whose cuts are the times that ages are "
            f"measured at, got --split={split}"
        )
    vocabularies = tuple(
        vocabulary.describe(name, owner, column, interactions.counts(column), preparation.min_count)
        for name, (owner, column) in interactions.vocabularies.items()
    )
    facts = LogFacts(
        tasks=log.tasks,
        vocabularies={column.name: column for column in vocabularies},
        num_macro_nodes={
            "user": preparation.num_user_macro_nodes,
            "item": preparation.num_item_macro_nodes,
        },
        max_neighbors=preparation.max_neighbors,
        has_clock=log.timestamp_unit is not None,
        list_lengths={
            name: max(1, int(np.diff(column.indptr).max(initial=0)))
            for name, (_, column) in interactions.vocabularies.items()
            if isinstance(column, ListsColumn)
        },
        numbers={
            name: (owner, column.transform)
            for owner, features in interactions.features.items()
            for name, column in features.items()
            if isinstance(column, NumbersColumn)
        },
        activity=preparation.activity_features,
        timestamp_unit=log.timestamp_unit,
    )
    spec = DatasetSpec(
        source=preparation.source,
        rows=rows,
        split=split,
        timestamp_unit=log.timestamp_unit,
        tasks=tuple(Task(name, level) for name, level in zip(log.tasks, levels, strict=True)),
        vocabularies=vocabularies,
        features=describe_features(facts),
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
        record_layout=preparation.record_layout,
        flags=json.loads(json.dumps(dataclasses.asdict(preparation))),
    )
    return spec, facts


def _prepare(preparation: PreparationOptions) -> None:
    spec = prepare(preparation)
    print(f"wrote {preparation.data_dir}: {json.dumps(spec.counts, indent=2)}")


def main() -> None:
    """The command."""
    run_command(_prepare, PreparationOptions)


if __name__ == "__main__":
    main()
