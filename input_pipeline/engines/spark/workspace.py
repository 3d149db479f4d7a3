"""Where a preparation on Spark keeps what lies between its stages, and how it computes on parts."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

ResultT = TypeVar("ResultT")
TaskT = TypeVar("TaskT")


@dataclasses.dataclass(frozen=True)
class SortedParts:
    """A table in Parquet files that follow one another in an order.

    Attributes:
      paths: of the files, in their order.
      offsets: how many rows come before each file; last, how many rows there are.
    """

    paths: tuple[str, ...]
    offsets: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def num_rows(self) -> int:
        return self.offsets[-1]


class Workspace:
    """A directory that driver and executors see, and the session that fills it.

    Args:
      session: of Spark.
      root: the directory.
      part_rows: rows of a part, which a worker holds in memory.
    """

    def __init__(self, session: SparkSession, root: str, part_rows: int):
        self.session = session
        self.root = root
        self.part_rows = part_rows
        os.makedirs(root, exist_ok=True)

    def path(self, *names: str) -> str:
        """Of a file or directory, whose parent is made."""
        path = os.path.join(self.root, *names)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return path

    def num_parts(self, rows: int) -> int:
        """How many parts so many rows make."""
        return max(1, -(-rows // self.part_rows))

    def save(self, frame: DataFrame, name: str) -> DataFrame:
        """Computes a table once, so that what follows neither repeats nor remembers how."""
        path = self.path(name)
        frame.write.mode("overwrite").parquet(path)
        return self.session.read.parquet(path)

    def save_sorted(
        self, frame: DataFrame, name: str, keys: Sequence[str], parts: int, split: int | None = None
    ) -> SortedParts:
        """Sorts a table into files that follow one another.

        Args:
          frame: the table.
          name: of its directory.
          keys: what rows are sorted by.
          parts: about how many files.
          split: rows that are equal in so many of the keys stay in one file; None: all keys.
        """
        path = self.path(name)
        bounds = [F.col(key) for key in (keys if split is None else keys[:split])]
        ordered = frame.repartitionByRange(parts, *bounds).sortWithinPartitions(*keys)
        ordered.write.mode("overwrite").parquet(path)
        return self.sorted_parts(name)

    def sorted_parts(self, name: str) -> SortedParts:
        """The files of a directory that hold rows, in the order of their names."""
        path, offsets, paths = self.path(name), [0], []
        for file in sorted(os.listdir(path)):
            if not file.endswith(".parquet"):
                continue
            rows = pq.ParquetFile(os.path.join(path, file)).metadata.num_rows
            if rows:
                paths.append(os.path.join(path, file))
                offsets.append(offsets[-1] + rows)
        return SortedParts(tuple(paths), tuple(offsets))

    def numbered(self, parts: SortedParts, column: str) -> DataFrame:
        """A sorted table with the place of each row in the whole order, from 0."""
        starts = self.session.createDataFrame(
            [(os.path.basename(p), n) for p, n in zip(parts.paths, parts.offsets, strict=False)],
            "_file string, _start long",
        )
        frame = self.session.read.parquet(*parts.paths)
        frame = frame.select(
            "*",
            F.col("_metadata.file_name").alias("_file"),
            F.col("_metadata.row_index").alias("_row"),
        )
        place = (F.col("_start") + F.col("_row")).alias(column)
        names = [name for name in frame.columns if name not in ("_file", "_row")]
        return frame.join(F.broadcast(starts), "_file").select(*names, place)

    def run(self, function: Callable[[TaskT], ResultT], tasks: Iterable[TaskT]) -> list[ResultT]:
        """Calls a function for each task on the executors; the results in the order of the tasks.

        Both are pickled. A task may run twice, so that what it writes must be the same again. A
        single one, of a part as large as any, runs in the driver: sending it takes longer.
        """
        listed = list(tasks)
        if len(listed) < 2:
            return list(map(function, listed))
        context = self.session.sparkContext
        return context.parallelize(listed, len(listed)).map(function).collect()

    def remove(self, *names: str) -> None:
        """Removes directories that nothing reads any more."""
        for name in names:
            shutil.rmtree(os.path.join(self.root, name), ignore_errors=True)


def slabs(size: int, rows: int) -> list[tuple[int, int]]:
    """Ranges of so many rows at most that make up 0:size."""
    return [(start, min(start + rows, size)) for start in range(0, size, rows)]
