"""The stages of preparation, which an engine computes and `input_pipeline.prepare` runs.

A stage reads and writes files and columns of a data set directory; only what describes a log, and
what counts its rows, comes back. No stage hands over the log: what an engine needs of it between
stages is its own, arrays in memory or partitioned tables. The stages, in the order of their calls:

    read, index                         vocabulary/
    at each cut: pairs, group, edges    graph/<cut>/, graph/ with the first cut's
    in each window: rows, records       examples/, complete after `finish`

Window w holds the events after cut w and up to cut w + 1, of windows 0 to n; its rows read
`graph/<w>`, and those of window 0 no graph. Cut n + 1 comes after the last window; its graph is
`graph/latest`.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping
from types import TracebackType

from input_pipeline.feature import Transform, Vocabulary
from input_pipeline.features.provider import LogFacts
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.report.log_statistics import LogStatistics
from input_pipeline.report.macro_graph import Degrees, MacroGraph
from input_pipeline.report.macro_statistics import EdgeStatistics
from input_pipeline.report.window_statistics import WindowStatistics
from input_pipeline.spec import DatasetSpec, SourceFile


@dataclasses.dataclass(frozen=True)
class LogDescription:
    """What a log is.

    Attributes:
      tasks: names from the least to the most important.
      num_events: lines that were read.
      timestamp_unit: one of UNITS; None where the source has no clock.
      has_exposures: whether lines without any behaviour are part of the log.
      source_files: what was read.
      malformed_lines, duplicate_lines: how many lines were refused, and how many repeat an
        earlier one.
      other_counts: by name, what else was left out, or read otherwise than it is written.
      single_time: the time of all lines, where they have the same one.
    """

    tasks: tuple[str, ...]
    num_events: int
    timestamp_unit: str | None
    has_exposures: bool
    source_files: tuple[SourceFile, ...]
    malformed_lines: int
    duplicate_lines: int
    other_counts: Mapping[str, int] = dataclasses.field(default_factory=dict)
    single_time: int | None = None


@dataclasses.dataclass(frozen=True)
class IndexDescription:
    """What the cut log holds.

    Attributes:
      cut_times: t_1 .. t_n.
      vocabularies: `user_id` and `item_id` first, then those of side and context features.
      list_lengths: of columns whose cells hold several ids, by name, how many at most.
      numbers: of columns of numbers, by name, their owner and kind of transform.
      cuts: where times were given, the shares of the events up to them; None: the options'.
    """

    cut_times: tuple[float, ...]
    vocabularies: tuple[Vocabulary, ...]
    list_lengths: Mapping[str, int]
    numbers: Mapping[str, tuple[str, str]]
    cuts: tuple[float, ...] | None = None


@dataclasses.dataclass(frozen=True)
class WindowDescription:
    """What the rows of a window are.

    Attributes:
      statistics: how many, with which labels, and what single numbers win.
      edges: what the macro edges say of them; None in history, which reads no graph.
      missing_negatives: how many could not be drawn, for want of untouched items.
      dropped_cold_rows: how many were left out with `--drop_cold`.
    """

    statistics: WindowStatistics
    edges: EdgeStatistics | None
    missing_negatives: int
    dropped_cold_rows: int


@dataclasses.dataclass(frozen=True)
class DatasetStatistics:
    """What is known after the last window.

    Attributes:
      log: what the report shows of the whole log.
      transforms: of every numeric feature, by name, over the events up to t_{n-1}.
      graph: the macro graph at the end.
      degrees: by owner, at the end.
    """

    log: LogStatistics
    transforms: Mapping[str, Transform]
    graph: MacroGraph
    degrees: Mapping[str, Degrees]


def graph_name(cut: int, num_cuts: int) -> str:
    """The folder of a cut's graph: its number, or `latest` after the last one."""
    return str(cut) if cut <= num_cuts else "latest"


class Engine(abc.ABC):
    """Computes the stages for one data set; a context manager, which frees what it held.

    Args:
      preparation: the options.
      data_dir: a local directory to write to, which gets its name when it is complete.
    """

    def __init__(self, preparation: PreparationOptions, data_dir: str):
        self.preparation = preparation
        self.data_dir = data_dir

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @abc.abstractmethod
    def close(self) -> None:
        """Frees threads, files and memory, also after a failure in a stage."""

    @abc.abstractmethod
    def read(self) -> LogDescription:
        """Reads the raw log.

        Raises:
          ValueError: there is nothing to read, or too many lines are malformed.
        """

    @abc.abstractmethod
    def index(self, rows: str, split: str) -> IndexDescription:
        """Orders the events, cuts them into windows and numbers their ids.

        Writes `vocabulary/<name>.txt`, ids in order of first appearance, and
        `vocabulary/<name>_counts.npy`, int64, the events by t_{n-1} of each id known by then.

        Args:
          rows, split: as the spec has them.

        Raises:
          ValueError: a window has no events.
        """

    @abc.abstractmethod
    def begin(self, spec: DatasetSpec, facts: LogFacts) -> None:
        """Takes in what the stages after this go by.

        Args:
          spec: of the data set, without counts of rows and without statistics of transforms.
          facts: what the features were described by.
        """

    @abc.abstractmethod
    def pairs(self, cut: int) -> None:
        """Merges the events before a cut into scored pairs (Eq. 6 and 7).

        Writes `graph/<name>/merging_matrix.npz`: E, CSR float64 [U, I] as SciPy saves it.
        """

    @abc.abstractmethod
    def group(self) -> None:
        """Groups the nodes of history by the pairs at the first cut (Eq. 8 and 9).

        Writes `graph/<owner>_centroids.npy`, float64 [K, r], and, where a projection places the
        nodes, `graph/projection.npz`.

        Raises:
          ValueError: history has no interactions.
        """

    @abc.abstractmethod
    def edges(self, cut: int) -> None:
        """Joins new nodes to the macro nodes and computes what is known of each node at a cut.

        Writes the columns of `features/` to `graph/<name>/<column>.npy` or, of lists, `.npz`, each
        [U, ...] or [I, ...] in vocabulary order, and `graph/<name>/graph.json`. What is too large
        for a file is left in parts (`files/stored.py`) after the records of the window.
        """

    @abc.abstractmethod
    def rows(self, window: int) -> WindowDescription:
        """Labels the rows of a window, with sampled negatives where the spec's rows are pairs.

        Raises:
          ValueError: with `--drop_cold` none is left.
        """

    @abc.abstractmethod
    def records(self, window: int) -> None:
        """Encodes the rows of the window that `rows` was called for last.

        They read the columns of `graph/<window>`, and of new nodes what the window's events tell.
        """

    @abc.abstractmethod
    def finish(self) -> DatasetStatistics:
        """Completes `examples/<split>-<shard>-of-<shards>.tfrecord.gz` after the last window."""
