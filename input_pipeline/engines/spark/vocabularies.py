"""Vocabularies on Spark: ids in order of first appearance, and their files."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
import shutil
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from input_pipeline.engines.spark.array_file import ArrayFile, ListFile, cumulated, write_npz
from input_pipeline.engines.spark.workspace import SortedParts, Workspace
from input_pipeline.feature import Vocabulary
from input_pipeline.files import stored
from input_pipeline.log.byte_strings import ByteStrings
from input_pipeline.log.raw_ids import RawIds
from input_pipeline.log.vocabulary import lines_of
from input_pipeline.preparation_options import PreparationOptions

COUNTS = ("count", "validation", "test")
_INTEGER = r"\A(0|-?[1-9][0-9]{0,18})\z"
_WHOLE_FLOAT = r"\A(-?(0|[1-9][0-9]*)\.0*|-?[0-9](\.[0-9]+)?[eE]\+?[0-9]{1,2})\z"


@dataclasses.dataclass(frozen=True)
class IdStore:
    """The raw ids of a vocabulary in files, found by their rows.

    Attributes:
      path: of `.npy` (int64), or of `.npz` (bytes).
    """

    path: str

    def take(self, rows: NDArray[Any]) -> RawIds:
        """Those of some rows, ascending."""
        if self.path.endswith(".npy"):
            return ArrayFile(self.path).take(rows)
        lengths, arrays = ListFile(self.path).take(rows)
        return ByteStrings(arrays["bytes"], np.concatenate([[0], np.cumsum(lengths)]))


@dataclasses.dataclass(frozen=True)
class NumberedIds:
    """A vocabulary.

    Attributes:
      entry: of the spec.
      known: int64 [n + 1], how many had appeared by the end of each window.
      ids: the raw ids.
      codes: path of int64 [V], the order of raw ids by row.
      frame: `raw` ids with their row `node`.
    """

    entry: Vocabulary
    known: NDArray[Any]
    ids: IdStore
    codes: str
    frame: DataFrame


def appearances(values: DataFrame, num_windows: int) -> DataFrame:
    """When each raw value came first, and COUNTS: events by t_{n-1}, and in the windows after it.

    Args:
      values: `raw` (binary, null where there is none), `window` and `time` of every event.
      num_windows: n + 1.
    """
    validation = num_windows - 2
    found = (
        values.where("raw is not null")
        .groupBy("raw")
        .agg(
            F.min(F.struct("window", "time")).alias("_first"),
            F.sum((F.col("window") < validation).cast("long")).alias("count"),
            F.sum((F.col("window") == validation).cast("long")).alias("validation"),
            F.sum((F.col("window") > validation).cast("long")).alias("test"),
        )
    )
    return found.select("raw", "_first.*", *COUNTS)


def number_ids(
    first: DataFrame,
    name: str,
    owner: str,
    num_windows: int,
    data_dir: str,
    options: PreparationOptions,
    work: Workspace,
) -> NumberedIds:
    """Numbers the ids of a column and writes `vocabulary/`; to the workspace, later events.

    Args:
      first: `appearances` of the ids, each once.
      name, owner: of the column.
      num_windows: n + 1.
      data_dir: has a folder `vocabulary`.
      options: of the preparation.
      work: where.

    Raises:
      ValueError: ids cannot be told apart as the local engine does.
    """
    first = work.save(first, f"distinct/{name}")
    dtype, value = _type_of(first, name)
    first = first.withColumn("value", value)
    size = first.count()
    if not size:
        raise ValueError(f"column {name}: must have a value in some line, got none")
    parts = work.num_parts(size)
    by_value = work.save_sorted(first, f"by_value/{name}", ["value"], parts)
    coded = work.numbered(by_value, "code")
    ordered = work.save_sorted(coded, f"vocabulary/{name}", ["window", "time", "value"], parts)
    by_window = {r["window"]: r["count"] for r in first.groupBy("window").count().collect()}
    known = np.cumsum([by_window.get(window, 0) for window in range(num_windows)])
    work.remove(f"distinct/{name}", f"by_value/{name}")
    num_known = int(known[num_windows - 3])
    embedded, checksum = _write(ordered, name, dtype, size, num_known, data_dir, options, work)
    entry = Vocabulary(
        name=name,
        dtype=dtype,
        owner=owner,
        size=size,
        known=tuple(known[:-1].tolist()),
        embedded=embedded,
        checksum=checksum,
    )
    kind = "npy" if dtype == "int64" else "npz"
    frame = work.numbered(ordered, "node").select("raw", F.col("node").cast("int").alias("node"))
    ids = IdStore(work.path("ids", f"{name}.{kind}"))
    return NumberedIds(entry, known, ids, work.path("codes", f"{name}.npy"), frame)


def _type_of(first: DataFrame, name: str) -> tuple[str, Any]:
    """`int64` or `bytes`, and the column that ids are ordered by."""
    text = F.col("raw").cast("string")
    number = F.expr("try_cast(cast(raw as string) as bigint)")
    is_integer = text.rlike(_INTEGER) & number.isNotNull()
    other = ~is_integer & (F.length("raw") > 0)
    told = first.agg(
        F.sum((~is_integer).cast("long")).alias("others"),
        F.sum(other.cast("long")).alias("texts"),
        F.sum((other & text.rlike(_WHOLE_FLOAT)).cast("long")).alias("floats"),
    ).collect()[0]
    if told["texts"] and told["floats"] == told["texts"]:
        raise ValueError(
            f"column {name}: its {told['floats']} ids such as 108.0 are floats, which "
            "--engine=spark does not read as integers; write them as integers or text"
        )
    if told["others"]:
        return "bytes", F.col("raw")
    return "int64", number


def _write(
    parts: SortedParts,
    name: str,
    dtype: str,
    size: int,
    num_known: int,
    data_dir: str,
    options: PreparationOptions,
    work: Workspace,
) -> tuple[int, str]:
    """Writes the files of a vocabulary; how many ids are embedded, and their checksum."""
    folder = os.path.join(data_dir, "vocabulary")
    codes, counts = work.path("codes", f"{name}.npy"), os.path.join(folder, f"{name}_counts.npy")
    ArrayFile.create(codes, (size,), np.int64)
    ArrayFile.create(counts, (num_known,), np.int64)
    later = work.path("later", f"{name}_counts.npy")
    ArrayFile.create(later, (2, size), np.int64)
    ids = work.path("ids", f"{name}.npy" if dtype == "int64" else f"{name}_lengths.npy")
    ArrayFile.create(ids, (size,), np.int64)
    texts = [work.path("texts", name, f"{part:05d}") for part in range(len(parts))]
    files = _Files(ids, codes, counts, later)
    write = functools.partial(_write_part, name, dtype, files, num_known, options.min_count)
    embedded = sum(work.run(write, zip(parts.paths, parts.offsets, texts, strict=False)))
    digest = hashlib.sha256()
    for text in texts:
        with open(f"{text}-embedded", "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    if dtype == "bytes":
        lengths = ArrayFile(ids)
        total = sum(int(block.sum()) for _, block in lengths.blocks())
        pieces = (np.fromfile(f"{text}-bytes", np.uint8) for text in texts)
        arrays = {
            "indptr": (np.int64, (size + 1,), cumulated(lengths)),
            "bytes": (np.uint8, (total,), pieces),
        }
        write_npz(work.path("ids", f"{name}.npz"), arrays)
    _store_lines(os.path.join(folder, f"{name}.txt"), texts, options.spark_file_bytes)
    work.remove(f"texts/{name}")
    return embedded, digest.hexdigest()


def _store_lines(path: str, texts: list[str], most_bytes: int) -> None:
    """Puts the lines of parts together, or leaves them as parts where they are too many bytes."""
    if sum(map(os.path.getsize, texts)) > most_bytes:
        os.makedirs(stored.parts_folder(path))
        for number, text in enumerate(texts):
            os.rename(text, stored.part_path(path, number))
        return
    with open(path, "wb") as whole:
        for text in texts:
            with open(text, "rb") as file:
                shutil.copyfileobj(file, whole)


@dataclasses.dataclass(frozen=True)
class _Files:
    """Paths of what is known of each id: its raw form, its place among these, and its events."""

    ids: str
    codes: str
    counts: str
    later: str


def _write_part(
    name: str,
    dtype: str,
    files: _Files,
    num_known: int,
    min_count: int,
    task: tuple[str, int, str],
) -> int:
    """Writes what one file holds of a vocabulary; how many of its ids are embedded."""
    path, offset, text = task
    table = pq.ParquetFile(path).read(columns=["value", "code", *COUNTS])
    ArrayFile(files.codes).write(offset, table["code"].to_numpy())
    later = ArrayFile(files.later)
    for number, column in enumerate(COUNTS[1:]):
        later.flat().write(number * later.shape[1] + offset, table[column].to_numpy())
    found = table["count"].to_numpy()
    known = max(0, min(num_known - offset, len(found)))
    if known:
        ArrayFile(files.counts).write(offset, found[:known])
    values: RawIds
    if dtype == "int64":
        numbers = table["value"].to_numpy()
        ArrayFile(files.ids).write(offset, numbers)
        values = numbers
    else:
        array = table["value"].combine_chunks().cast(pa.large_binary())
        _, bounds, flat = array.buffers()
        starts = np.frombuffer(bounds, np.int64, len(array) + 1, 8 * array.offset)
        characters = np.frombuffer(flat, np.uint8) if flat is not None else np.zeros(0, np.uint8)
        values = ByteStrings(characters[starts[0] : starts[-1]], starts - starts[0])
        ArrayFile(files.ids).write(offset, values.lengths)
        values.flat.tofile(f"{text}-bytes")
    with open(text, "wb") as file:
        file.write(lines_of(name, values))
    embedded = np.flatnonzero(found[:known] >= min_count)
    with open(f"{text}-embedded", "wb") as file:
        file.write(lines_of(name, values[embedded]))
    return len(embedded)
