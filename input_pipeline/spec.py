"""What a prepared data set holds: tasks, features, vocabularies, cuts (`dataset_spec.json`).

Standard library only, so that every package (and the client, which has no TensorFlow) can read it.
Parsers, model inputs and serving signatures are derived from a `DatasetSpec` and nothing else.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from typing import Any

from input_pipeline.feature import NODES, Feature, Vocabulary, check_name
from input_pipeline.files import filesystem
from input_pipeline.files.json_file import parse_json

FORMAT_VERSION = 2
SPEC_FILE = "dataset_spec.json"
RECORD_LAYOUTS = ("example", "request")
# The most rows of a record in the request layout.
MAX_CANDIDATES = 32
WINDOWS = ("history", "train", "validation", "test")
# In `counts` of a refreshed data set: rows of the newest training window, whose shards come last.
NEWEST_ROWS = "newest_training_rows"
INPUT_OWNERS = (*NODES, "context")


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
      timestamp_unit: `s`, `ms`, `us`, `ns`, or None where the source has no clock.
      tasks: from the least to the most important; also the order of the cascade.
      vocabularies: `user_id` and `item_id` first, then those of side and context features.
      features: of a row, labels and timestamp included.
      num_user_macro_nodes, num_item_macro_nodes: K_U and K_I.
      max_neighbors: L, the most micro neighbours of a node by one task.
      cuts: the quantiles q_1 .. q_n as given, or the shares of the events up to given times.
      cut_times: t_1 .. t_n: timestamps, positions (`order`, as `log/windows.py` has them), or
        ranks in the permutation (`random`).
      counts: of events, users, items, malformed lines, duplicates, what else was left out or read
        otherwise than it is written, rows by window, and labels and positives by window and task.
      source_files: what went in.
      flags: every preparation flag.
      record_layout: `example`, a tf.train.Example a row; or `request`, one a user and some rows.
      record_packing: of the request layout, the features that lie side by side, by the feature of a
        record that holds them (`records/packing.py`).
      grouping: SHA-256 of which macro node each node of history is in: another grouping means
        other things by the same macro nodes.
      continues: fingerprints of the data sets that this one goes on from, the first one first: a
        model that was trained on one of them reads this one too, and a new one goes on from it.
    """

    source: str
    rows: str
    split: str
    timestamp_unit: str | None
    tasks: tuple[Task, ...]
    vocabularies: tuple[Vocabulary, ...]
    features: tuple[Feature, ...]
    num_user_macro_nodes: int
    num_item_macro_nodes: int
    max_neighbors: int
    cuts: tuple[float, ...]
    cut_times: tuple[float, ...]
    counts: dict[str, Any]
    source_files: tuple[SourceFile, ...]
    flags: dict[str, Any]
    record_layout: str = "example"
    record_packing: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    grouping: str = ""
    continues: tuple[str, ...] = ()
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        if self.record_layout not in RECORD_LAYOUTS:
            raise ValueError(
                f"record_layout must be one of {RECORD_LAYOUTS}, got {self.record_layout!r}"
            )
        names = [feature.name for feature in self.features]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"features must have names of their own, got {repeated} twice")

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

    @property
    def hash_rows(self) -> int:
        """How many rows the ids of users, and those of items, are hashed to; 0: they are not."""
        return self.vocabulary("user_id").hash_rows

    def with_hashed_ids(self, rows: int) -> DatasetSpec:
        """The spec for a model that hashes ids of users and items to so many rows; 0: does not."""
        ids = {feature.vocabulary for feature in self.select(role="id")}
        vocabularies = (
            dataclasses.replace(v, hash_rows=rows if v.name in ids else 0)
            for v in self.vocabularies
        )
        return dataclasses.replace(self, vocabularies=tuple(vocabularies))

    def select(self, owner: str | None = None, role: str | None = None) -> tuple[Feature, ...]:
        """The features of an owner, of a role, or of both, in the order of the spec."""
        return tuple(
            feature
            for feature in self.features
            if owner in (None, feature.owner) and role in (None, feature.role)
        )

    def side_columns(self, owner: str) -> tuple[str, ...]:
        """Names of the single-valued side features of `owner`, in the order of the spec."""
        return tuple(f.name for f in self.select(owner, "side") if f.length is None)

    @property
    def input_features(self) -> tuple[Feature, ...]:
        """Every feature of a row that a model may read: the user's, the item's, the context's."""
        return tuple(f for owner in INPUT_OWNERS for f in self.select(owner))

    def feature(self, name: str) -> Feature:
        for feature in self.features:
            if feature.name == name:
                return feature
        raise ValueError(f"the data set has no feature {name!r}")

    @property
    def label_features(self) -> tuple[Feature, ...]:
        """In task order."""
        return self.select(role="label")

    def fingerprint(self) -> str:
        """SHA-256 of what a model's weights depend on.

        A checkpoint reads data sets of its own fingerprint only.
        """
        parts = {
            "format_version": self.format_version,
            "tasks": [dataclasses.asdict(task) for task in self.tasks],
            "features": [dataclasses.asdict(feature) for feature in self.features],
            "embedded": [
                [v.name, v.table_rows, "hashed" if v.hash_rows else v.checksum]
                for v in self.vocabularies
            ],
            "grouping": self.grouping,
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def goes_on_from(self, other: DatasetSpec) -> bool:
        """Whether this is the other data set, as models see it, with days added to it."""
        return other.with_hashed_ids(0).fingerprint() in self.continues

    def to_json(self) -> str:
        """The spec as text."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, origin: str = SPEC_FILE) -> DatasetSpec:
        """Parses `to_json`'s text; raises ValueError naming `origin` where it is no spec."""
        fields = parse_json(text, origin, "Prepare the data set again, or put a copy of it back")
        version = fields.get("format_version") if isinstance(fields, dict) else None
        if version not in (None, FORMAT_VERSION):
            raise ValueError(
                f"{origin}: format_version must be {FORMAT_VERSION}, got {version!r}: the data set "
                "is of another version of this package; prepare it again from its log"
            )
        if isinstance(fields, dict):  # version 0.4 wrote neither
            fields = {"continues": (), "record_packing": {}} | fields
        known = {field.name for field in dataclasses.fields(cls)}
        if not isinstance(fields, dict) or set(fields) != known:
            found = set(fields) if isinstance(fields, dict) else set()
            raise ValueError(
                f"{origin}: not a data set spec: missing {sorted(known - found)}, unknown "
                f"{sorted(found - known)}"
            )
        parsers: dict[str, Callable[[Any], Any]] = {
            "tasks": lambda task: Task(**task),
            "vocabularies": Vocabulary.from_json,
            "features": Feature.from_json,
            "source_files": lambda file: SourceFile(**file),
            "cuts": float,
            "cut_times": lambda time: time,
            "continues": str,
        }
        for name, parse in parsers.items():
            fields[name] = tuple(parse(value) for value in fields[name])
        return cls(**fields)


def read_spec(folder: str) -> DatasetSpec:
    """The spec in a data set directory or a model directory.

    Raises:
      ValueError: there is none, or it is broken or of another version.
    """
    path = filesystem.join(folder, SPEC_FILE)
    if not filesystem.exists(path):
        raise ValueError(f"{folder!r} is not a data set directory: it has no {SPEC_FILE}")
    return DatasetSpec.from_json(filesystem.read_text(path), path)
