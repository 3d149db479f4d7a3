"""The lines in the order of time, cut into windows (see `log/windows.py`)."""

from __future__ import annotations

import dataclasses

import numpy as np
from pyspark.sql import Column, DataFrame
from pyspark.sql import Window as Over
from pyspark.sql import functions as F

from input_pipeline.engines.spark.workspace import Workspace
from input_pipeline.log.windows import Windows
from input_pipeline.preparation_options import PreparationOptions

_LINE = ("file", "block", "row")


@dataclasses.dataclass(frozen=True)
class OrderedLog:
    """The events of a log.

    Attributes:
      frame: the lines with `event`, their place in the order of window, time and line, `window`
        and `time`, as `Windows` has them.
      windows: their bounds and names; the lines themselves are in the frame alone.
      last_time: the largest time.
    """

    frame: DataFrame
    windows: Windows
    last_time: float


def order_log(
    lines: DataFrame, num_lines: int, split: str, options: PreparationOptions, work: Workspace
) -> OrderedLog:
    """Orders the lines and cuts them into n + 1 windows.

    Raises:
      ValueError: the split is not offered, or not with times; or a window is empty.
    """
    if split not in ("time", "order"):
        raise ValueError(f"--split: --engine=spark has time and order, got {split!r}")
    if options.cut_times is not None and split != "time":
        raise ValueError(f"--cut_times: needs --split=time, got --split={split}")
    parts, cuts = work.num_parts(num_lines), options.quantiles
    ranked = work.save_sorted(lines, "ranked", ["timestamp", *_LINE], parts)
    frame = work.numbered(ranked, "event")
    cut_times: tuple[float, ...] = cuts
    if split == "time":
        cut_times = options.cut_times or _times_at(frame, num_lines, cuts)
        window = _count_of([F.col("timestamp") > cut for cut in cut_times])
        frame = frame.withColumn("window", window).withColumn("time", F.col("timestamp"))
    else:
        if options.cuts is None:
            cut_times = (*(q / cuts[-2] for q in cuts[:-2]), 1.0, 2.0)
        positions = _positions(frame, options.cuts is None, parts, work)
        window = _count_of([F.col("position") >= cut for cut in cut_times])
        positions = positions.withColumn("window", window).drop("position")
        positions = positions.withColumnRenamed("event", "time")
        ordered = work.save_sorted(positions, "ordered", ["window", "time"], parts)
        frame = work.numbered(ordered, "event")
    counts = {row["window"]: row["count"] for row in frame.groupBy("window").count().collect()}
    sizes = [counts.get(window, 0) for window in range(len(cut_times) + 1)]
    bounds = np.concatenate([[0], np.cumsum(sizes)])
    windows = Windows(np.zeros(0, np.int64), np.zeros(0, np.int64), bounds, cut_times)
    for number, size in enumerate(sizes):
        if not size:
            flag = "cuts" if options.cut_times is None else "cut_times"
            raise ValueError(
                f"--{flag}: every window needs events, but {windows.describe(number)} has none of "
                f"the {num_lines} events: take other --{flag}"
            )
    last_time = frame.agg(F.max("time")).collect()[0][0]
    return OrderedLog(frame, windows, float(last_time))


def _times_at(frame: DataFrame, num_lines: int, cuts: tuple[float, ...]) -> tuple[float, ...]:
    """The times of the lines up to some shares of all, the lower ones of `numpy.quantile`."""
    places = np.floor((num_lines - 1) * np.asarray(cuts)).astype(np.int64).tolist()
    found = frame.where(F.col("event").isin(places)).select("event", "timestamp").collect()
    by_place = {row["event"]: row["timestamp"] for row in found}
    return tuple(by_place[place] for place in places)


def _count_of(conditions: list[Column]) -> Column:
    """How many of some conditions hold, as int."""
    total = F.lit(0)
    for condition in conditions:
        total = total + condition.cast("int")
    return total.cast("int")


def _positions(frame: DataFrame, from_the_end: bool, parts: int, work: Workspace) -> DataFrame:
    """The lines with their position among those of their user."""
    of_user = Over.partitionBy("user")
    index, count = F.row_number().over(of_user.orderBy("event")) - 1, F.count("*").over(of_user)
    frame = frame.withColumn("_index", index).withColumn("_count", count)
    if not from_the_end:
        return frame.withColumn("position", F.col("_index") / F.col("_count")).drop(
            "_index", "_count"
        )
    from_end = F.col("_count") - 1 - F.col("_index")
    is_last = (F.col("_index") > 0) & (from_end == 0)
    is_before = (F.col("_index") > 0) & (from_end == 1)
    frame = work.save(
        frame.withColumn("_fixed", F.when(is_last, 2.0).when(is_before, 1.0)), "positions"
    )
    others = F.col("_count") - (F.col("_count") > 1).cast("int") - (F.col("_count") > 2).cast("int")
    shared = frame.where("_fixed is null").withColumn("_share", F.col("_index") / others)
    ranked = work.save_sorted(shared, "shares", ["_share", "event"], parts)
    numbered = work.numbered(ranked, "_rank")
    shared = numbered.withColumn("position", F.col("_rank") / F.lit(ranked.num_rows))
    fixed = frame.where("_fixed is not null").withColumn("position", F.col("_fixed"))
    names = [n for n in frame.columns if not n.startswith("_")]
    return fixed.select(*names, "position").unionByName(shared.select(*names, "position"))
