"""The log in parts that workers hold in memory: by user, by item, and the history of each node.

Parts by item are cut between any two pairs, so that an item of many pairs is spread over several;
a user's events stay together, since negatives are what the user has not touched.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from input_pipeline.engines.spark.plan import PairParts, group_starts
from input_pipeline.engines.spark.workspace import SortedParts, Workspace

_BEFORE = np.iinfo(np.int64).min


def pairs_by_user(events: SortedParts, num_tasks: int, work: Workspace) -> PairParts:
    """Merges the events of each user, item and window into a row."""
    paths = [work.path("pairs_of_users", f"{n:05d}.parquet") for n in range(len(events))]
    merge = functools.partial(_merge, num_tasks)
    ranges = work.run(merge, list(zip(events.paths, paths, strict=True)))
    return PairParts(tuple(paths), tuple(ranges))


def _merge(num_tasks: int, task: tuple[str, str]) -> tuple[int, int]:
    source, target = task
    names = ["user", "item", "window", "time", "timestamp", "positive", "unlabeled"]
    table = pq.ParquetFile(source).read(columns=names)
    columns = {n: table[n].to_numpy() for n in names if n != "timestamp"}
    starts = group_starts(columns["user"], columns["item"], columns["window"])
    positive = np.bitwise_or.reduceat(columns["positive"], starts)
    merged = {name: pa.array(columns[name][starts]) for name in ("user", "item", "window")}
    merged |= {
        "positive": pa.array(positive),
        "unlabeled": pa.array(np.bitwise_and.reduceat(columns["unlabeled"], starts) & ~positive),
        "timestamp": table["timestamp"].take(pa.array(starts)),
        "first": pa.array(starts),
    }
    for bit in range(num_tasks):
        times = np.where(columns["positive"] >> bit & 1, columns["time"], _BEFORE)
        merged[f"latest{bit}"] = pa.array(np.maximum.reduceat(times, starts))
    temporary = f"{target}.{os.getpid()}"
    pq.write_table(pa.table(merged), temporary)
    os.replace(temporary, target)
    return int(columns["user"][0]), int(columns["user"][-1])


def pairs_by_item(of_users: PairParts, num_tasks: int, work: Workspace) -> PairParts:
    """The same by item."""
    names = ["item", "user", "window", "positive", *(f"latest{n}" for n in range(num_tasks))]
    frame = work.session.read.parquet(*of_users.paths).select(*names)
    rows = frame.count()
    keys = ["item", "user", "window"]
    parts = work.save_sorted(frame, "pairs_of_items", keys, work.num_parts(rows), split=2)
    return PairParts(parts.paths, tuple(work.run(_ends, parts.paths)))


def _ends(path: str) -> tuple[int, int]:
    items = pq.ParquetFile(path).read(columns=["item"])["item"]
    return items[0].as_py(), items[-1].as_py()


def histories(
    events: DataFrame,
    owner: str,
    features: Sequence[str],
    num_tasks: int,
    size: int,
    work: Workspace,
) -> SortedParts:
    """What happened to each node in each window, sorted by both.

    Columns: node, window, count, count0 ... by task, `first_time` and `last_time`, and of each
    feature what the first and the last event of the window tell, `first_f0` and `last_f0`, say.
    """
    told = F.struct("timestamp", *features)
    counts = [
        F.sum(F.col("positive").bitwiseAND(1 << bit) / F.lit(1 << bit))
        .cast("long")
        .alias(f"count{bit}")
        for bit in range(num_tasks)
    ]
    merged = events.groupBy(F.col(owner).alias("node"), "window").agg(
        F.count("*").alias("count"),
        *counts,
        F.min_by(told, F.col("event")).alias("_first"),
        F.max_by(told, F.col("event")).alias("_last"),
    )
    ends = [
        F.col(f"_{end}.{name}").alias(f"{end}_{name}")
        for end in ("first", "last")
        for name in ("timestamp", *features)
    ]
    frame = merged.select(
        "node", "window", "count", *(f"count{n}" for n in range(num_tasks)), *ends
    )
    return work.save_sorted(
        frame, f"histories/{owner}", ["node", "window"], work.num_parts(size), split=1
    )
