"""The options of preparation: what `python -m input_pipeline.prepare` can be told.

Long, because every option is declared once, with its default and its help.
"""

from __future__ import annotations

import dataclasses
import itertools
import math

from input_pipeline.commands.options import option
from input_pipeline.engines.registry import ENGINES
from input_pipeline.spec import RECORD_LAYOUTS

SOURCES = (
    "taobao",
    "tenrec_qb_video",
    "tenrec_qk_article",
    "movielens",
    "csv",
    "parquet",
    "orc",
    "table",
    "synthetic",
)

DEFAULT_CUTS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


@dataclasses.dataclass(frozen=True)
class PreparationOptions:
    """Checked when made; every field is a flag of the same name."""

    source: str = option("", "Raw format of the log.", SOURCES)
    input: tuple[str, ...] = option(
        (),
        "Raw files, globs or directories, local or remote: plain text or packed as gzip, bz2, xz, "
        "zstd, lz4 or zip, or Parquet. A list between commas, or given several times; a path that "
        "holds a comma stands in double quotes. A directory is read whole, its folders too; "
        "in a glob ** is any number of folders. A folder called name=value gives all lines below "
        "it that value of a column that the files do not have.",
        is_path=True,
        repeated=True,
    )
    delimiter: str = option(
        "",
        "csv: what is between cells: comma, tab, semicolon, pipe, space or a character. Default: "
        "the first four of them that the header shows.",
    )
    columns: tuple[str, ...] = option(
        (), "csv: the names of all columns, in their order, of files without a header."
    )
    encoding: str = option(
        "",
        "csv: the encoding of text without a byte order mark, as latin-1; ids are read into UTF-8. "
        "Default: bytes are taken as they are, delimiters and line ends being those of ASCII.",
    )
    quoted_cells: bool = option(
        True,
        "csv: cells that begin with a double quote end with the next one, and may hold delimiters "
        "and line ends. --noquoted_cells: double quotes stand for themselves.",
    )
    engine: str = option(
        "local",
        "What computes the data set. local: this process, in its memory. spark: executors that see "
        "--data_dir under the same path (extra `spark`), of logs of --source=csv, parquet, orc or "
        "table.",
        tuple(ENGINES),
    )
    spark_master: str = option(
        "",
        "spark: the cluster, as local[2], spark://host:7077 or yarn. Default: that of "
        "spark-submit, or local[*].",
    )
    spark_conf: tuple[str, ...] = option(
        (), "spark: settings of Spark, key=value; may be given several times.", repeated=True
    )
    spark_part_rows: int = option(
        1_000_000,
        "spark: events, pairs or nodes that a worker holds in memory at once, about; some 200 "
        "bytes of its memory each.",
    )
    spark_file_bytes: int = option(
        1 << 30,
        "spark: a column of the graph, or a vocabulary, of more bytes than this lies in parts of "
        "--spark_part_rows rows in place of one file: columns as Parquet (node, value), "
        "vocabularies as text. All commands read both.",
    )
    partition_filter: str = option(
        "",
        "spark: which partitions are read, as \"dt >= '2026-01-01'\": of a table any condition of "
        "Spark's SQL; of files one on what their folders called name=value say, as text.",
    )
    data_dir: str = option("", "Data set directory to write; it must not exist yet.", is_path=True)
    seed: int = option(
        0, "Seed of every random draw: negatives, grouping, permutation, synthetic log."
    )
    rows: str | None = option(
        None,
        "What a row is. pairs: a (user, item) pair of the window, plus sampled negatives. events: "
        "a logged event. "
        "exposures: a logged exposure with its labels. Default: exposures where the source has "
        "them, else pairs.",
        ("pairs", "events", "exposures"),
    )
    split: str | None = option(
        None,
        "How rows are ordered into windows. time: by timestamp. order: by position among the "
        "user's lines, in the order of their times, or of the files in logs without: the last line "
        "of a user is test, the one before validation, and --cuts cut the others. random: by a "
        "seeded permutation. Default: time where the log has timestamps that differ, else order.",
        ("time", "order", "random"),
    )
    cuts: tuple[float, ...] | None = option(
        None,
        "Quantiles of the events' timestamps, at least three, ascending. The first ends history, "
        "the last but one ends training, the last ends validation; a graph is built at each. "
        f"Default: {','.join(map(str, DEFAULT_CUTS))}. With --split=order the default leaves out "
        "each user's last two lines (never the first one) for validation and test, and cuts the "
        "others, ordered by position, at all but the last two, as shares of the last but one; "
        "cuts that are given are positions themselves, (0-based index) / (number of the user's "
        "lines), so that 0.95 tests users of 20 lines and more alone.",
    )
    cut_times: tuple[int, ...] | None = option(
        None,
        "In place of --cuts, the times themselves at which windows end: at least three, ascending, "
        "numbers in the unit of the data set; an event at one is the last of its window. With "
        "--split=time.",
    )
    time_from: str | None = option(
        None,
        "Leave out the lines before this time, a number in the log's unit or ISO 8601 (in UTC).",
    )
    time_to: str | None = option(
        None, "Leave out the lines at this time and after it, as --time_from."
    )
    min_user_events: int = option(
        1,
        "Leave out users of whom the log has fewer lines than this, over its whole time, before "
        "anything else: what is known of a user in the end then decides whether they are there "
        "from the beginning.",
    )
    num_user_macro_nodes: int = option(20, "K_U, the number of user macro nodes.")
    num_item_macro_nodes: int = option(20, "K_I, the number of item macro nodes.")
    task_levels: tuple[int, ...] | None = option(
        None, "Importance level of each task in task order, ties allowed. Default: 1, 2, 3, ..."
    )
    beta: float = option(
        1.0,
        "Transformation parameter: a pair's score is ((rho(C) + 1) ** beta - 1) / beta, and "
        "ln(rho(C) + 1) at 0 (Eq. 6). 1: rho itself; lower: less of a difference between strong "
        "and weak sets of tasks; negative: less still.",
    )
    omega_high: float = option(2.0, "Weight of active nodes in the k-means (Eq. 9).")
    omega_low: float = option(0.5, "Weight of inactive nodes in the k-means (Eq. 9).")
    theta_high: float | None = option(
        None, "Activity above which a node is active. Default: the 0.8 quantile."
    )
    theta_low: float | None = option(
        None,
        "Activity below which a node is inactive. Default: the 0.2 quantile, below which there is "
        "none where a fifth of all nodes or more share the least activity.",
    )
    baseline: float | None = option(
        None,
        "Scores above this count towards a node's activity. Default: the mean of the non-zero "
        "scores.",
    )
    activity: str = option(
        "baseline",
        "A node's activity (Eq. 8). baseline: the sum of its scores above --baseline. "
        "copreference: how much it shares with all others, the row sum of S S^T without itself.",
        ("baseline", "copreference"),
    )
    preference: bool = option(
        True,
        "Group on scores and preference weights; --nopreference groups on the binary matrix, all "
        "weights 1.",
    )
    grouping: str = option(
        "spectral",
        "What is grouped, always at unit length. spectral: a node's place in the truncated SVD of "
        "S, where two users are alike if they like the same items or items that go together. rows: "
        "its row of S, which shares no entry with most others where the log is sparse.",
        ("spectral", "rows"),
    )
    grouping_dim: int = option(
        16, "spectral: dimensions of the SVD; at most the smaller number of nodes less one."
    )
    grouping_scale: str = option(
        "none",
        "spectral: what is decomposed. none: S. degree: S with each entry divided by the roots of "
        "its row's and its column's sum, so that popular nodes count less. regularized: the same "
        "with the mean sum added to each, so that nodes and islands of a few entries do not count "
        "for more than all others.",
        ("none", "degree", "regularized"),
    )
    grouping_power: int = option(
        2,
        "spectral: weight of a dimension is its singular value to this power, 1 or 2; 2 is S S^T, "
        "in which the strongest tastes count more.",
    )
    grouping_from: str = option(
        "",
        "A data set whose macro nodes, and what places later nodes, are taken instead of grouping "
        "anew; the same ids must be known at the end of history.",
        is_path=True,
    )
    kmeans_restarts: int = option(5, "How many k-means++ seedings are tried; the best is kept.")
    max_neighbors: int = option(
        20, "L, the most micro neighbours of a node by one task, newest first."
    )
    negatives: int = option(4, "Sampled negatives per pair, with --rows=pairs.")
    negative_power: float = option(
        0.75, "Negatives are drawn by (number of the item's events in the window) ** this power."
    )
    min_count: int = option(
        1, "Ids seen fewer times than this by the end of training share embedding row 0."
    )
    drop_cold: bool = option(
        False, "Drop training-window, validation and test rows whose user or item is cold."
    )
    duplicates: str = option(
        "keep", "What to do with lines equal in every used column.", ("keep", "drop")
    )
    max_malformed: float = option(
        0.001, "Stop when more than this share of the lines is malformed."
    )
    record_layout: str = option(
        "example",
        "What a record holds, a tf.train.Example. example: a row. request: up to 32 rows of a "
        "user, with the user's features once; training reads it several times faster.",
        RECORD_LAYOUTS,
    )
    num_shards: int = option(8, "TFRecord shards per window.")
    num_workers: int = option(
        0, "Threads that compress shards; 0: one per core. The bytes do not depend on it."
    )
    user_column: str = option("user_id", "csv, parquet: column of the user id.")
    item_column: str = option("item_id", "csv, parquet: column of the item id.")
    timestamp_column: str | None = option(
        None,
        "csv, parquet: column of the time, if there is one: numbers in --timestamp_unit, whole or "
        "not, ISO 8601 with or without zone (without: UTC), dates and timestamps of parquet.",
    )
    timestamp_unit: str = option(
        "s",
        "csv, parquet: unit of times that are numbers, and of the data set, whatever form its "
        "times have; what is less than one is dropped.",
        ("s", "ms", "us", "ns"),
    )
    task_columns: tuple[str, ...] = option(
        (),
        "csv, parquet: column:task, least to most important, e.g. is_click:click,is_like:like. "
        "Cells are 0 or 1, true or false (t, f, yes, no), or a number that a condition compares: "
        "'rating>=4:like' (>=, >, <=, <, =; quote it for the shell). Several conditions may share "
        "a column. An empty cell leaves the task of that row unlabelled. With --event_column it is "
        "value:task, as view:click,addtocart:cart; so are conditions on text of one column alone, "
        "as event=view:click,event=addtocart:cart.",
    )
    event_column: str | None = option(
        None,
        "csv, parquet: column that holds the type of event of each line, whose values "
        "--task_columns names.",
    )
    unknown_events: str = option(
        "drop",
        "csv, parquet: lines of a type of event that --task_columns does not name. drop: they are "
        "left out, counted and shown by type. refuse: they are malformed.",
        ("drop", "refuse"),
    )
    implicit_task: str | None = option(
        None,
        "csv, parquet: a task that every line shows, the least important one, for logs of one "
        "behaviour without a column that says so.",
    )
    null_markers: tuple[str, ...] = option(
        ("NULL", "null", "\\N", "NA", "<NA>", "nan", "NaN", "None"),
        "Cells that say that there is no value, beside the empty one: malformed as an id or a "
        "time, unlabelled as a label, missing as a feature. Name others where one of these is an "
        "id of yours (NA is Namibia too), or none, as --null_markers= does.",
    )
    user_feature_columns: tuple[str, ...] = option(
        (),
        "csv, parquet: facts about the user, each as column, column:name, column:kind or "
        "column:name:kind. A "
        "kind is categorical (an id, the default), multi (several ids a cell, see "
        "--multi_separator), numeric (a number, scaled as numeric:standard, numeric:log or "
        "numeric:none says), hour or weekday (of a time, as --timestamp_column has it, in UTC; "
        "Monday is 0).",
    )
    item_feature_columns: tuple[str, ...] = option(
        (), "csv, parquet: facts about the item, as --user_feature_columns."
    )
    context_feature_columns: tuple[str, ...] = option(
        (),
        "csv, parquet: facts of the line itself that are known when its request comes, such as "
        "ts:hour_of_day:hour, device or position:numeric, as --user_feature_columns.",
    )
    multi_separator: str = option("|", "csv, parquet: what is between the ids of a multi cell.")
    activity_features: bool = option(
        False,
        "Add how active user and item are: log(1 + events) by task before the cut, and the age in "
        "days, at the cut, of the first and the latest event. Needs --split=time.",
    )
    users: int = option(2_000, "synthetic: number of users.")
    items: int = option(3_000, "synthetic: number of items.")
    events: int = option(100_000, "synthetic: number of logged lines.")
    exposures: bool = option(
        False, "synthetic: log every exposure, not only those with a behaviour."
    )

    def __post_init__(self) -> None:
        for name, low in (
            ("num_user_macro_nodes", 1),
            ("num_item_macro_nodes", 1),
            ("kmeans_restarts", 1),
            ("grouping_dim", 1),
            ("max_neighbors", 1),
            ("negatives", 0),
            ("min_count", 1),
            ("min_user_events", 1),
            ("num_shards", 1),
            ("spark_part_rows", 1),
            ("spark_file_bytes", 0),
            ("num_workers", 0),
            ("seed", 0),
            ("users", 1),
            ("items", 1),
            ("events", 1),
        ):
            if getattr(self, name) < low:
                raise ValueError(f"--{name}: must be at least {low}, got {getattr(self, name)}")
        for name in ("omega_high", "omega_low"):
            if not getattr(self, name) > 0:
                raise ValueError(f"--{name}: must be above 0, got {getattr(self, name)}")
        for name in ("beta", "baseline", "theta_high", "theta_low", "negative_power"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise ValueError(f"--{name}: must be finite, got {value}")
        if (
            self.theta_low is not None
            and self.theta_high is not None
            and self.theta_low > self.theta_high
        ):
            raise ValueError(
                f"--theta_low: must be at most --theta_high={self.theta_high}, got {self.theta_low}"
            )
        if self.grouping_power not in (1, 2):
            raise ValueError(f"--grouping_power: must be 1 or 2, got {self.grouping_power}")
        if self.activity == "copreference" and self.baseline is not None:
            raise ValueError(
                f"--baseline: is for --activity=baseline only, got {self.baseline} with "
                f"--activity={self.activity}"
            )
        if self.engine != "spark":
            for name in ("spark_master", "spark_conf", "partition_filter"):
                if getattr(self, name):
                    raise ValueError(
                        f"--{name}: is for --engine=spark, got {getattr(self, name)!r} with "
                        f"--engine={self.engine}"
                    )
        if self.user_column == self.item_column:
            raise ValueError(
                f"--item_column: must be another column than --user_column={self.user_column}"
            )
        try:
            "".encode(self.encoding or "utf-8")
        except LookupError as error:
            raise ValueError(f"--encoding: {error}") from None
        if not self.multi_separator:
            raise ValueError("--multi_separator: must be at least one character, got ''")
        if not 0 <= self.max_malformed < 1:
            raise ValueError(f"--max_malformed: must be in [0, 1), got {self.max_malformed}")
        cuts = self.quantiles
        if (
            len(cuts) < 3
            or any(not 0 < q < 1 for q in cuts)
            or any(a >= b for a, b in itertools.pairwise(cuts))
        ):
            raise ValueError(
                f"--cuts: must be at least three ascending numbers in (0, 1), got {list(cuts)}"
            )
        times = self.cut_times
        if times is None:
            return
        if len(times) < 3 or any(a >= b for a, b in itertools.pairwise(times)):
            raise ValueError(
                f"--cut_times: must be at least three ascending times, got {list(times)}"
            )
        if self.cuts is not None:
            raise ValueError(f"--cut_times: take the place of --cuts={list(self.cuts)}; give one")

    @property
    def quantiles(self) -> tuple[float, ...]:
        """`cuts`, or the default ones."""
        return DEFAULT_CUTS if self.cuts is None else self.cuts
