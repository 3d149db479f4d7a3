"""Adds a day to a data set: python -m input_pipeline.refresh --data_dir=NEW --from=OLD --input=DAY

NEW has a window more than OLD. Its test window is the day; its rows read the graph of all that came
before, which OLD has as graph/latest. The window that OLD tests becomes the validation window, and
the one that OLD validates is the newest training window. All rows and graphs are those that
`prepare` makes of the whole log with the same cuts (NEW's report has the command). What does not
change has a second name in NEW and is not copied; OLD stays as it is, and may be deleted.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from typing import Any

from absl import flags

from input_pipeline.commands.command import run_command
from input_pipeline.commands.options import define_flags, option
from input_pipeline.commands.stages import Stages
from input_pipeline.engines.engine import DatasetStatistics, WindowDescription
from input_pipeline.engines.local.day_engine import DayEngine
from input_pipeline.feature import NODES
from input_pipeline.files import filesystem
from input_pipeline.files.paths import require_apart
from input_pipeline.files.temporary_directory import temporary_directory
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.prepare import describe, with_transforms
from input_pipeline.refreshed_files import link_graphs, link_shards, moved_counts
from input_pipeline.report import data_report
from input_pipeline.sources import OF_ENGINES
from input_pipeline.spec import SPEC_FILE, DatasetSpec, read_spec

# What an earlier data set was told of its own log alone.
_NOT_OF_A_DAY: dict[str, Any] = {
    **dict.fromkeys(("time_from", "time_to", "cuts")),
    "grouping_from": "",
    "engine": "local",
    "spark_master": "",
    "spark_conf": (),
    "partition_filter": "",
}


@dataclasses.dataclass(frozen=True)
class RefreshOptions:
    """What is added to what."""

    data_dir: str = option("", "Data set directory to write; it must not exist yet.", is_path=True)
    from_dir: str = option(
        "",
        "Data set directory to go on from, of --split=time; --from is the same flag.",
        is_path=True,
    )
    input: tuple[str, ...] = option(
        (),
        "The raw files of the day, of the form that --from was prepared from (Parquet where that "
        "was ORC or a table of Spark's), as --input of prepare. Every line must be later than all "
        "of before.",
        is_path=True,
        repeated=True,
    )
    late_lines: str = option(
        "refuse",
        "What becomes of lines that are not later than all of before. refuse: an error; drop: they "
        "are left out and counted.",
        ("refuse", "drop"),
    )
    regroup: bool = option(
        False,
        "Group users and items anew, by everything up to the end of the day. The new macro nodes "
        "take the numbers of the old ones that they are nearest to, each a number of its own, so "
        "that models go on with what they learnt of them. Rows of the day still read the old "
        "grouping, which ended before them; those of the next day read the new one.",
    )
    num_workers: int = option(0, "Threads that compress shards; 0: one per core.")

    def __post_init__(self) -> None:
        for name, flag in (("data_dir", "data_dir"), ("from_dir", "from")):
            if not getattr(self, name):
                raise ValueError(f"--{flag}: must name a directory, got ''")
        if not self.input:
            raise ValueError("--input: must name the files of the day, got none")
        if self.num_workers < 0:
            raise ValueError(f"--num_workers: must be at least 0, got {self.num_workers}")


def refresh(options: RefreshOptions) -> DatasetSpec:
    """Writes a data set directory, which appears at once when it is complete.

    Raises:
      ValueError: the earlier data set cannot be gone on from, or the day does not fit to it.
      FileExistsError: where `data_dir` exists.
    """
    final, earlier = options.data_dir.rstrip("/"), options.from_dir.rstrip("/")
    require_apart({"data_dir": final, "from": earlier})
    if filesystem.exists(final):
        raise FileExistsError(f"--data_dir: must not exist yet, got {final}")
    spec = read_spec(earlier)
    preparation = day_preparation(spec, options)
    temporary = temporary_directory(final)
    try:
        engine = DayEngine(
            preparation, temporary, earlier=earlier, drop_late=options.late_lines == "drop"
        )
        with engine:
            spec = _write(engine, spec, earlier, regroup=options.regroup)
        filesystem.publish(temporary, final)
    except BaseException:
        filesystem.remove_tree_quietly(temporary)
        raise
    return spec


def day_preparation(spec: DatasetSpec, options: RefreshOptions) -> PreparationOptions:
    """The options that the earlier data set was prepared with, for the day's files.

    Raises:
      ValueError: they make a data set that no day can be added to.
    """
    known = {field.name for field in dataclasses.fields(PreparationOptions)}
    told: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in (spec.flags | _NOT_OF_A_DAY).items()
        if name in known
    }
    if spec.split != "time":
        raise ValueError(
            f"--from={options.from_dir}: must be of --split=time, as a day is later than all "
            f"before, got --split={spec.split}"
        )
    if spec.source == "synthetic":
        raise ValueError(
            f"--from={options.from_dir}: --source=synthetic generates its log whole; write it to "
            "files with input_pipeline.sources.synthetic, and prepare those"
        )
    if told["min_user_events"] > 1:
        raise ValueError(
            f"--from={options.from_dir}: --min_user_events={told['min_user_events']} counts the "
            "lines of the whole log, and those that were left out are not kept"
        )
    if spec.source in OF_ENGINES:
        told["source"] = "parquet"
    return PreparationOptions(
        **told
        | {
            "input": options.input,
            "data_dir": options.data_dir,
            "num_workers": options.num_workers,
            "cut_times": None,
            "rows": spec.rows,
            "split": spec.split,
        }
    )


def _write(engine: DayEngine, before: DatasetSpec, earlier: str, *, regroup: bool) -> DatasetSpec:
    data_dir, window = engine.data_dir, len(before.cuts) + 1
    for folder in ("vocabulary", "graph", "examples"):
        filesystem.make_dirs(filesystem.join(data_dir, folder))
    stages = Stages()
    stages.begin("reading the day")
    log = engine.read()
    stages.begin("numbering users and items")
    index = engine.index(before.rows, before.split)
    spec, facts = describe(log, index, engine.preparation, before.rows, before.split)
    # the day's records are read beside those of before, and lie as they do
    spec = dataclasses.replace(spec, record_packing=before.record_packing)
    link_graphs(before, spec, earlier, data_dir, grouping=not regroup)
    engine.begin(spec, facts)
    stages.begin("rows")
    described = engine.rows(window)
    stages.begin("writing records")
    engine.records(window)
    stages.begin("graph of the whole log")
    engine.pairs(window + 1)
    if regroup:
        engine.regroup()
    engine.edges(window + 1)
    stages.begin("putting shards together")
    statistics = engine.finish()
    link_shards(earlier, data_dir)
    stages.begin("writing the report")
    flag_values = spec.flags | {
        "input": [*before.flags["input"], *engine.preparation.input],
        "cut_times": [int(time) for time in spec.cut_times],
        "time_from": before.flags["time_from"],
        "grouping_from": before.flags.get("grouping_from", ""),
    }
    spec = dataclasses.replace(
        spec,
        features=with_transforms(spec, statistics.transforms),
        counts=spec.counts | moved_counts(before, described),
        grouping=_regrouped(before, data_dir) if regroup else before.grouping,
        continues=(*before.continues, before.fingerprint()),
        flags=flag_values,
    )
    _write_report(spec, engine.windows, statistics, data_dir)
    filesystem.write_bytes(filesystem.join(data_dir, SPEC_FILE), spec.to_json().encode())
    return spec


def _regrouped(before: DatasetSpec, data_dir: str) -> str:
    """The checksum of a grouping that took the numbers of another one."""
    digest = hashlib.sha256(before.grouping.encode())
    for owner in NODES:
        path = filesystem.join(data_dir, "graph", f"{owner}_centroids.npy")
        digest.update(filesystem.load_array(path).astype("<f8").tobytes())
    return digest.hexdigest()


def _write_report(
    spec: DatasetSpec,
    windows: tuple[WindowDescription, ...],
    statistics: DatasetStatistics,
    data_dir: str,
) -> None:
    edges = [window.edges for window in windows if window.edges]
    # What columns hold is that of the day; its events by day would be a single bar.
    log = dataclasses.replace(statistics.log, by_day=None)
    page = data_report.render(
        spec, log, [w.statistics for w in windows], edges, statistics.graph, statistics.degrees
    )
    filesystem.write_text(filesystem.join(data_dir, "report.html"), page)


def _refresh(options: RefreshOptions) -> None:
    spec = refresh(options)
    day = spec.counts["rows"]["test"]
    print(
        f"wrote {options.data_dir}: {day:,} rows of the day in test, {len(spec.cuts) + 1} windows\n"
        f"go on with:\n  python -m mgoe_tf.train --data_dir={options.data_dir} --warm_start=MODEL "
        "--model_dir=NEW_MODEL"
    )


def main() -> None:
    """The command."""
    define_flags(RefreshOptions, flags.FLAGS)
    with contextlib.suppress(flags.DuplicateFlagError):  # `main` called again
        flags.DEFINE_alias("from", "from_dir")
    run_command(_refresh, RefreshOptions, doc=__doc__)


if __name__ == "__main__":
    main()
