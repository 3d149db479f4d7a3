"""Prepares a data set: python -m input_pipeline.prepare --source=... --input=... --data_dir=..."""

from __future__ import annotations

import collections
import dataclasses
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from absl import logging

from input_pipeline.commands.command import run_command
from input_pipeline.commands.stages import Stages
from input_pipeline.dry_run import DryRunOptions, told_of
from input_pipeline.engines.engine import (
    DatasetStatistics,
    Engine,
    IndexDescription,
    LogDescription,
    WindowDescription,
)
from input_pipeline.engines.grouping_checksum import grouping_checksum
from input_pipeline.engines.registry import make_engine
from input_pipeline.feature import NODES, Feature, Transform
from input_pipeline.features.provider import LogFacts
from input_pipeline.features.registry import describe_features
from input_pipeline.files import filesystem
from input_pipeline.files.temporary_directory import temporary_directory
from input_pipeline.log.windows import split_of
from input_pipeline.log_choices import choose_rows, choose_split, tell_what_order_means
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.records.packing import pack
from input_pipeline.report import data_report as report
from input_pipeline.report import telling
from input_pipeline.report.window_warnings import window_warnings
from input_pipeline.spec import SPEC_FILE, DatasetSpec, Task


def prepare(preparation: PreparationOptions) -> DatasetSpec:
    """Reads a log and writes a data set directory, which appears at once when it is complete.

    Raises:
      ValueError: for options, or a log, from which no data set can be made.
      FileExistsError: where `data_dir` exists.
      ImportError: where the engine needs what is not installed.
    """
    final, temporary = _places(preparation)
    try:
        with make_engine(preparation, temporary) as engine:
            spec = write_data_set(engine)
        filesystem.publish(temporary, final)
    except BaseException:
        filesystem.remove_tree_quietly(temporary)
        raise
    return spec


def dry_run(preparation: PreparationOptions) -> str:
    """Reads a log and numbers its ids as `prepare` does; tells what that would write.

    Raises:
      ValueError, FileExistsError, ImportError: what `prepare` finds out by then.
    """
    _, temporary = _places(preparation)
    try:
        with make_engine(preparation, temporary) as engine:
            log, spec, _ = _indexed(engine, Stages())
    finally:
        filesystem.remove_tree_quietly(temporary)
    return told_of(log, spec, preparation)


def _places(preparation: PreparationOptions) -> tuple[str, str]:
    """The directory to write, and where it is written until it is complete."""
    if not preparation.data_dir:
        raise ValueError("--data_dir: must name the directory to write, got ''")
    final = preparation.data_dir.rstrip("/")
    if filesystem.exists(final):
        raise FileExistsError(f"--data_dir: must not exist yet, got {final}")
    # An object store has no rename: what goes there is made locally and copied, the spec last.
    remote = filesystem.is_remote(final)
    return final, tempfile.mkdtemp() if remote else temporary_directory(final)


def write_data_set(engine: Engine) -> DatasetSpec:
    """Runs an engine's stages; writes the report and the spec, without which nothing is accepted.

    Args:
      engine: it tells the options and the directory.
    """
    data_dir, stages = engine.data_dir, Stages()
    _, spec, facts = _indexed(engine, stages)
    engine.begin(spec, facts)
    num_windows = len(spec.cuts) + 1
    windows = []
    for window in stages.turns(range(num_windows), "window"):
        if window:
            stages.begin("graph")
            _write_graph(engine, window)
        stages.begin("rows")
        windows.append(engine.rows(window))
        stages.begin("writing records")
        engine.records(window)
    stages.begin("graph of the whole log")
    _write_graph(engine, num_windows)
    stages.begin("putting shards together")
    statistics = engine.finish()
    stages.begin("writing the report")
    spec = complete(spec, windows, statistics, data_dir)
    filesystem.write_bytes(filesystem.join(data_dir, SPEC_FILE), spec.to_json().encode())
    return spec


def _indexed(engine: Engine, stages: Stages) -> tuple[LogDescription, DatasetSpec, LogFacts]:
    """Runs the first two stages of an engine."""
    preparation = engine.preparation
    for folder in ("vocabulary", "graph", "examples"):
        filesystem.make_dirs(filesystem.join(engine.data_dir, folder))
    stages.begin("reading the log")
    log = engine.read()
    rows, split = choose_rows(log, preparation), choose_split(log, preparation)
    tell_what_order_means(log, preparation, split)
    stages.begin("numbering users and items")
    return log, *describe(log, engine.index(rows, split), preparation, rows, split)


def _write_graph(engine: Engine, cut: int) -> None:
    engine.pairs(cut)
    if cut == 1:
        engine.group()
    engine.edges(cut)


def describe(
    log: LogDescription,
    index: IndexDescription,
    preparation: PreparationOptions,
    rows: str,
    split: str,
) -> tuple[DatasetSpec, LogFacts]:
    """The spec, without what `complete` adds, and what its features were described by."""
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
    facts = LogFacts(
        tasks=log.tasks,
        vocabularies={column.name: column for column in index.vocabularies},
        num_macro_nodes={
            "user": preparation.num_user_macro_nodes,
            "item": preparation.num_item_macro_nodes,
        },
        max_neighbors=preparation.max_neighbors,
        has_clock=log.timestamp_unit is not None,
        list_lengths=index.list_lengths,
        numbers=index.numbers,
        activity=preparation.activity_features,
        timestamp_unit=log.timestamp_unit,
    )
    features = describe_features(facts)
    spec = DatasetSpec(
        source=preparation.source,
        rows=rows,
        split=split,
        timestamp_unit=log.timestamp_unit,
        tasks=tuple(Task(name, level) for name, level in zip(log.tasks, levels, strict=True)),
        vocabularies=index.vocabularies,
        features=features,
        num_user_macro_nodes=preparation.num_user_macro_nodes,
        num_item_macro_nodes=preparation.num_item_macro_nodes,
        max_neighbors=preparation.max_neighbors,
        cuts=preparation.quantiles if index.cuts is None else index.cuts,
        cut_times=index.cut_times,
        counts={
            "events": log.num_events,
            **{f"{owner}s": facts.vocabularies[f"{owner}_id"].size for owner in NODES},
            "malformed_lines": log.malformed_lines,
            "duplicate_lines": log.duplicate_lines,
            **log.other_counts,
        },
        source_files=log.source_files,
        record_layout=preparation.record_layout,
        record_packing=pack(features) if preparation.record_layout == "request" else {},
        flags=json.loads(json.dumps(dataclasses.asdict(preparation))),
    )
    return spec, facts


def complete(
    spec: DatasetSpec,
    windows: Sequence[WindowDescription],
    statistics: DatasetStatistics,
    data_dir: str,
) -> DatasetSpec:
    """Writes the report, and adds to a spec what is known after the last window."""
    spec = dataclasses.replace(
        spec,
        features=with_transforms(spec, statistics.transforms),
        counts=spec.counts | _counts(spec, windows),
        grouping=grouping_checksum(spec, data_dir),
    )
    edges = [window.edges for window in windows if window.edges]
    by_window = [window.statistics for window in windows]
    page = report.render(
        spec, statistics.log, by_window, edges, statistics.graph, statistics.degrees
    )
    filesystem.write_text(filesystem.join(data_dir, "report.html"), page)
    for text in window_warnings(spec, by_window):
        logging.warning("%s", text)
    told = telling.warning(telling.find(by_window, spec.task_names))
    if told:
        logging.warning("%s", told)
    return spec


def with_transforms(spec: DatasetSpec, transforms: Mapping[str, Transform]) -> tuple[Feature, ...]:
    """The features of a spec with what their numbers are read through, by name."""
    return tuple(
        feature
        if feature.transform is None
        else dataclasses.replace(feature, transform=transforms[feature.name])
        for feature in spec.features
    )


def _counts(spec: DatasetSpec, windows: Sequence[WindowDescription]) -> dict[str, Any]:
    """Rows, labels, positives and what is missing, by split."""
    counts: dict[str, Any] = {
        name: collections.Counter() for name in ("rows", "missing_negatives", "dropped_cold_rows")
    }
    of_tasks: dict[str, Any] = {
        name: collections.defaultdict(collections.Counter) for name in ("labels", "positives")
    }
    for number, window in enumerate(windows):
        split = split_of(number, len(windows))
        counts["rows"][split] += window.statistics.rows
        counts["missing_negatives"][split] += window.missing_negatives
        counts["dropped_cold_rows"][split] += window.dropped_cold_rows
        for name, by_split in of_tasks.items():
            by_split[split].update(getattr(window.statistics, name))
    return {name: dict(value) for name, value in counts.items()} | {
        name: {split: dict(by_task) for split, by_task in by_split.items()}
        for name, by_split in of_tasks.items()
    }


def prepare_for_user(preparation: PreparationOptions) -> DatasetSpec:
    """As `prepare`, for commands: an interruption says what is left of it."""
    try:
        return prepare(preparation)
    except KeyboardInterrupt:
        if not filesystem.exists(preparation.data_dir):
            print(
                f"\ninterrupted: nothing was written to {preparation.data_dir}, and the same "
                "command begins anew",
                file=sys.stderr,
            )
        raise


def _prepare(preparation: PreparationOptions, run: DryRunOptions) -> None:
    if run.dry_run:
        print(dry_run(preparation))
        return
    spec = prepare_for_user(preparation)
    print(f"wrote {preparation.data_dir}: {json.dumps(spec.counts, indent=2)}")


def main() -> None:
    """The command."""
    run_command(_prepare, PreparationOptions, DryRunOptions, doc=__doc__)


if __name__ == "__main__":
    main()
