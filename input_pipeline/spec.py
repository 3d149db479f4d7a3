"""What a prepared data set holds: tasks, features, vocabularies, cuts (`dataset_spec.json`).

Standard library only, so that every package (and the client, which has no TensorFlow) can read it.
Parsers, model inputs and serving signatures are derived from a `DatasetSpec` and nothing else.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from typing import Any

FORMAT_VERSION = 1
SPEC_FILE = "dataset_spec.json"
RECORD_LAYOUTS = ("example", "request")
# The most rows of a record in the request layout.
MAX_CANDIDATES = 32
WINDOWS = ("history", "train", "validation", "test")
NEIGHBOR_SETS = ("user_1hop", "user_2hop", "item_1hop", "item_2hop")
# Beside features of R users and of B rows: which user each row belongs to, int32 [B].
USER_ROW = "user_row"
RESERVED_NAMES = frozenset({"score", "timestamp", "inputs", "examples", USER_ROW})
_NAME = re.compile(r"[a-z][a-z0-9_]*\Z")


def check_name(kind: str, name: str) -> str:
    """Returns `name`, or raises ValueError where it cannot name a task or feature."""
    if not _NAME.match(name):
        raise ValueError(f"{kind} name {name!r} must match [a-z][a-z0-9_]*")
    if name in RESERVED_NAMES:
        raise ValueError(f"{kind} name {name!r} is reserved")
    return name


@dataclasses.dataclass(frozen=True)
class Task:
    """A behaviour that the model predicts. Tasks are listed from the least to the most important.

    Attributes:
      name: also the name of the model's output.
      level: importance in the merging matrix; equal levels are ties.
    """

    name: str
    level: int

    def __post_init__(self) -> None:
        check_name("task", self.name)


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """The raw ids of one column in order of first appearance.

    The line number is the node's row in `graph/`.

    Attributes:
      name: `user_id`, `item_id` or a side feature; the file is `vocabulary/<name>.txt`.
      dtype: `int64` or `bytes`.
      owner: `user` or `item`: the node that the column describes.
      size: ids in the whole log.
      known: how many of them (a prefix) had appeared by each cut t_1 .. t_n.
      embedded: how many ids an embedding table has a row for, beside the out-of-vocabulary row 0:
        those known at t_{n-1} and seen at least `min_count` times by then. The i-th of them (from
        0) has row i + 1.
      checksum: SHA-256 of the embedded ids, one a line.
    """

    name: str
    dtype: str
    owner: str
    size: int
    known: tuple[int, ...]
    embedded: int
    checksum: str

    def __post_init__(self) -> None:
        check_name("column", self.name)
        if self.dtype not in ("int64", "bytes"):
            raise ValueError(
                f"vocabulary {self.name}: dtype must be int64 or bytes, got {self.dtype!r}"
            )
        if self.owner not in ("user", "item"):
            raise ValueError(
                f"vocabulary {self.name}: owner must be user or item, got {self.owner!r}"
            )


@dataclasses.dataclass(frozen=True)
class Feature:
    """One feature of a row.

    Attributes:
      name: its key in the tf.train.Example and its input name in every signature.
      dtype: `int64`, `bytes` or `float`.
      length: None for a scalar, else the length of the list; a ragged list holds at most that many.
      ragged: whether a row may hold fewer entries (then readers pad with 0 or the empty string).
      owner: `user`, `item`, or `row` for labels and the timestamp.
    """

    name: str
    dtype: str
    length: int | None
    ragged: bool
    owner: str


@dataclasses.dataclass(frozen=True)
class SourceFile:
    """A raw file that the data set was made from."""

    path: str
    size_bytes: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class DatasetSpec:
    """Everything that a reader of the data set directory has to know.

    Attributes:
      source: the `--source` that the log came from.
      rows: `pairs`, `events` or `exposures`.
      split: `time`, `order` or `random`.
      timestamp_unit: `s`, `ms`, ..., or None where the source has no clock.
      tasks: from the least to the most important; also the order of the cascade.
      vocabularies: `user_id` and `item_id` first, then the side features.
      num_user_macro_nodes, num_item_macro_nodes: K_U and K_I.
      max_neighbors: L, the most micro neighbours of a node by one task.
      cuts: the quantiles q_1 .. q_n as given.
      cut_times: t_1 .. t_n: timestamps, positions (`order`), or ranks in the permutation
        (`random`).
      counts: of events, users, items, malformed lines, duplicates, rows by window, and positives
        by window and task.
      source_files: what went in.
      flags: every preparation flag.
      record_layout: `example`, a tf.train.Example a row; or `request`, a tf.train.SequenceExample
        a user and some rows: the context holds the features of `user`, the feature lists those of
        `item` and `row`.
      grouping: SHA-256 of which macro node each node of history is in: another grouping means
        other things by the same macro nodes. Empty in specs written before it was recorded.
    """

    source: str
    rows: str
    split: str
    timestamp_unit: str | None
    tasks: tuple[Task, ...]
    vocabularies: tuple[Vocabulary, ...]
    num_user_macro_nodes: int
    num_item_macro_nodes: int
    max_neighbors: int
    cuts: tuple[float, ...]
    cut_times: tuple[float, ...]
    counts: dict[str, Any]
    source_files: tuple[SourceFile, ...]
    flags: dict[str, Any]
    record_layout: str = "example"
    grouping: str = ""
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        if self.record_layout not in RECORD_LAYOUTS:
            raise ValueError(
                f"record_layout must be one of {RECORD_LAYOUTS}, got {self.record_layout!r}"
            )

    @property
    def task_names(self) -> tuple[str, ...]:
        return tuple(task.name for task in self.tasks)

    def vocabulary(self, name: str) -> Vocabulary:
        for vocabulary in self.vocabularies:
            if vocabulary.name == name:
                return vocabulary
        raise ValueError(
            f"the data set has no column {name!r}, only {[v.name for v in self.vocabularies]}"
        )

    def side_features(self, owner: str) -> tuple[str, ...]:
        """Names of the side features of `owner` (`user` or `item`), in vocabulary order."""
        return tuple(
            v.name for v in self.vocabularies if v.owner == owner and v.name != f"{owner}_id"
        )

    def node_features(self, owner: str) -> tuple[Feature, ...]:
        """The features that depend on the row's user alone, or on its item alone."""
        other = {"user": "item", "item": "user"}[owner]
        num_macro_nodes = {"user": self.num_user_macro_nodes, "item": self.num_item_macro_nodes}
        features = [
            Feature(v.name, v.dtype, None, False, owner)
            for v in self.vocabularies
            if v.owner == owner
        ]
        features += [
            Feature(f"{owner}_1hop", "float", num_macro_nodes[other], False, owner),
            Feature(f"{owner}_2hop", "float", num_macro_nodes[owner], False, owner),
            Feature(f"{owner}_macro", "int64", None, False, owner),
        ]
        if owner == "user":
            size = len(self.tasks) * self.num_item_macro_nodes
            features.append(Feature("task_table", "float", size, False, owner))
        id_type = self.vocabulary(f"{other}_id").dtype
        for task in self.task_names:
            features += [
                Feature(f"{owner}_neighbors_{task}", id_type, self.max_neighbors, True, owner),
                Feature(
                    f"{owner}_neighbor_weights_{task}", "float", self.max_neighbors, True, owner
                ),
            ]
        return tuple(features)

    @property
    def input_features(self) -> tuple[Feature, ...]:
        """Every feature of a row that a model may read: the user's, then the item's."""
        return self.node_features("user") + self.node_features("item")

    def feature(self, name: str) -> Feature:
        for feature in self.input_features:
            if feature.name == name:
                return feature
        raise ValueError(f"the data set has no feature {name!r}")

    @property
    def label_features(self) -> tuple[Feature, ...]:
        return tuple(
            Feature(f"label_{task}", "float", None, False, "row") for task in self.task_names
        )

    def fingerprint(self) -> str:
        """SHA-256 of what a model's weights depend on.

        A checkpoint reads data sets of its own fingerprint only.
        """
        parts = {
            "format_version": self.format_version,
            "tasks": [dataclasses.asdict(task) for task in self.tasks],
            "features": [dataclasses.asdict(feature) for feature in self.input_features],
            "embedded": [[v.name, v.embedded, v.checksum] for v in self.vocabularies],
            "grouping": self.grouping,
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def to_json(self) -> str:
        """The spec as text, with the features of a row listed for readers of other languages."""
        clock = (Feature("timestamp", "int64", None, False, "row"),) if self.timestamp_unit else ()
        features = (*self.input_features, *clock, *self.label_features)
        listed = [dataclasses.asdict(feature) for feature in features]
        return json.dumps({**dataclasses.asdict(self), "features": listed}, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, origin: str = SPEC_FILE) -> DatasetSpec:
        """Parses `to_json`'s text; raises ValueError naming `origin` where it is no spec."""
        try:
            fields = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"{origin}: not JSON: {error}") from None
        if isinstance(fields, dict):
            fields.setdefault("record_layout", "example")  # older specs knew no other
            fields.setdefault("grouping", "")  # nor recorded this
        known = {field.name for field in dataclasses.fields(cls)} | {"features"}
        if not isinstance(fields, dict) or set(fields) != known:
            found = set(fields) if isinstance(fields, dict) else set()
            raise ValueError(
                f"{origin}: not a data set spec: missing {sorted(known - found)}, unknown "
                f"{sorted(found - known)}"
            )
        del fields["features"]  # derived from the rest
        if fields["format_version"] != FORMAT_VERSION:
            raise ValueError(
                f"{origin}: format_version must be {FORMAT_VERSION}, got "
                f"{fields['format_version']!r}"
            )
        fields["tasks"] = tuple(Task(**task) for task in fields["tasks"])
        fields["vocabularies"] = tuple(
            Vocabulary(**{**v, "known": tuple(v["known"])}) for v in fields["vocabularies"]
        )
        fields["source_files"] = tuple(SourceFile(**file) for file in fields["source_files"])
        fields["cuts"] = tuple(fields["cuts"])
        fields["cut_times"] = tuple(fields["cut_times"])
        return cls(**fields)
