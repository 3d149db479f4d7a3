"""Features that describe themselves: what a value is, whose it is, and how a missing one reads.

Standard library only. Whatever comes after preparation (parsing, checks, lookups, models, serving)
goes by a feature's attributes, never by its name.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any

# Beside features of R users and of B rows: which user each row belongs to, int32 [B].
USER_ROW = "user_row"
# `merging_matrix` is a file beside the columns of the nodes' tables.
# What a feature or task of such a name would be taken for.
RESERVED_NAMES = {
    "score": "exports answer what all tasks say together under it",
    "timestamp": "rows hold their time under it",
    "inputs": "exports take serialized examples under it",
    "examples": "exports take serialized examples under it",
    "merging_matrix": "the graph has a file of it",
    USER_ROW: "batches hold which user a row is of under it",
}
RESERVED_TASK_NAMES = RESERVED_NAMES | {
    "average": "metrics, TensorBoard and comparisons have the mean over all tasks under it",
    "loss": "training has the loss of all tasks together under it",
}
NODES = ("user", "item")
# `context` is of the row itself and known when a request comes; `row` is known afterwards only.
OWNERS = (*NODES, "context", "row")
DTYPES = ("int64", "bytes", "float")
ROLES = (
    "id",  # the raw id of the user or the item
    "side",  # raw ids that say something about the owner: one, or several where ragged
    "numeric",  # numbers, through `transform`
    "macro_edges",  # the owner's edge weights to each macro node
    "macro_id",  # the owner's own macro node
    "task_table",  # counts by task and item macro node, row-major by task
    "neighbors",  # raw ids of micro neighbours by one task, newest first
    "neighbor_weights",  # their scores
    "graph_cut",  # the number of the cut whose graph the owner's features come from
    "graph_node",  # the owner's number in that graph, from 1; 0: it is not there
    "label",
    "timestamp",
)
UNKNOWN_INT64 = -(2**63)
_NAME = re.compile(r"[a-z][a-z0-9_]*\Z")


def check_name(kind: str, name: str) -> str:
    """Returns `name`, or raises ValueError where it cannot name a task or feature."""
    if not _NAME.match(name):
        raise ValueError(f"{kind} name {name!r} must match [a-z][a-z0-9_]*")
    reserved = RESERVED_TASK_NAMES if kind == "task" else RESERVED_NAMES
    if name in reserved:
        raise ValueError(f"{kind} name {name!r} is reserved: {reserved[name]}")
    return name


def _require(what: str, value: str | None, choices: tuple[str | None, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{what} must be one of {choices}, got {value!r}")


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """The raw ids of one column in order of first appearance.

    The line number is the node's row in `graph/`.

    Attributes:
      name: `user_id`, `item_id` or a side or context feature; the file is `vocabulary/<name>.txt`.
      dtype: `int64` or `bytes`.
      owner: `user`, `item` or `context`: what the column describes.
      size: ids in the whole log.
      known: how many of them (a prefix) had appeared by each cut t_1 .. t_n.
      embedded: how many ids an embedding table has a row for, beside the out-of-vocabulary row 0:
        those known at t_{n-1} and seen at least `min_count` times by then. The i-th of them (from
        0) has row i + 1.
      checksum: SHA-256 of the embedded ids, one a line.
      hash_rows: of a model that hashes the ids (`log/id_hashes.py`), to how many rows beside row 0:
        no id then has a row of its own, and `embedded` plays no part. 0: it does not.
    """

    name: str
    dtype: str
    owner: str
    size: int
    known: tuple[int, ...]
    embedded: int
    checksum: str
    hash_rows: int = 0

    def __post_init__(self) -> None:
        check_name("column", self.name)
        _require(f"vocabulary {self.name}: dtype", self.dtype, ("int64", "bytes"))
        _require(f"vocabulary {self.name}: owner", self.owner, (*NODES, "context"))

    @property
    def table_rows(self) -> int:
        """How many rows, beside row 0, an embedding table of the ids has."""
        return self.hash_rows or self.embedded

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Vocabulary:
        return cls(**{**fields, "known": tuple(fields["known"])})


@dataclasses.dataclass(frozen=True)
class Transform:
    """What a model reads of a numeric feature: (f(x) - mean) / deviation, entry by entry.

    Attributes:
      kind: `standard`: f(x) = x; `log`: f(x) = sign(x) ln(1 + |x|); `none`: x as it is.
      mean, deviation: of f(x) over the events up to t_{n-1}; one a value of the feature.
      has_missing: whether some value was missing then; a model then reads a second number, 1
        where the value is missing, whose first reads as the mean.
    """

    kind: str
    mean: tuple[float, ...] = (0.0,)
    deviation: tuple[float, ...] = (1.0,)
    has_missing: bool = False

    def __post_init__(self) -> None:
        _require("transform", self.kind, ("standard", "log", "none"))
        if min(self.deviation, default=1.0) <= 0.0:
            raise ValueError(f"deviation: must be above 0, got {list(self.deviation)}")

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Transform:
        numbers = {name: tuple(fields[name]) for name in ("mean", "deviation")}
        return cls(**{**fields, **numbers})


@dataclasses.dataclass(frozen=True)
class Feature:
    """One feature of a row.

    Attributes:
      name: its key in the tf.train.Example and its input name in every signature.
      owner: one of OWNERS: whose it is.
      role: one of ROLES: what it is.
      dtype: `int64`, `bytes` or `float`.
      length: None for a scalar, else the length of the list; a ragged list holds at most that many.
      ragged: whether a row may hold fewer entries; dense readers fill up with `missing`.
      vocabulary: whose ids it holds; None: it holds none.
      macro_nodes: `user` or `item`: the kind of macro nodes that it weighs, counts or numbers.
      task: the task that it is of; None: of none.
      aligned_with: the ragged feature whose entries its own belong to, one by one.
      missing: how it reads, raw, of a node or row that has none: a number (or one an entry of the
        list), "nan", or "" for bytes. None: there must be one.
      optional: whether a record may leave it out, which then reads as `missing`.
      bounds: the least and the largest value that can be scored, None where there is no limit.
        Without, any number can, and NaN is missing.
      transform: of a numeric feature.
    """

    name: str
    owner: str
    role: str
    dtype: str
    length: int | None = None
    ragged: bool = False
    vocabulary: str | None = None
    macro_nodes: str | None = None
    task: str | None = None
    aligned_with: str | None = None
    missing: float | int | str | tuple[float, ...] | None = None
    optional: bool = False
    bounds: tuple[float | None, float | None] | None = None
    transform: Transform | None = None

    def __post_init__(self) -> None:
        _require(f"feature {self.name}: owner", self.owner, OWNERS)
        _require(f"feature {self.name}: role", self.role, ROLES)
        _require(f"feature {self.name}: dtype", self.dtype, DTYPES)
        _require(f"feature {self.name}: macro_nodes", self.macro_nodes, (*NODES, None))
        if self.ragged and self.length is None:
            raise ValueError(f"feature {self.name}: a ragged list needs a length, got None")
        if isinstance(self.missing, tuple) and (len(self.missing),) != self.shape:
            raise ValueError(
                f"feature {self.name}: needs a missing value for each of {self.length} entries, "
                f"got {len(self.missing)}"
            )
        if (self.role == "numeric") != (self.transform is not None):
            raise ValueError(
                f"feature {self.name}: numeric features, and no others, have a transform"
            )
        if self.transform is not None:
            self._check_numbers(self.transform)
        if self.role == "side" and self.length is not None and self.missing is None:
            raise ValueError(f"feature {self.name}: a list of ids needs a `missing` to fill it up")

    def _check_numbers(self, transform: Transform) -> None:
        if self.dtype != "float" or self.ragged:
            raise ValueError(
                f"feature {self.name}: a numeric feature must be float and of a fixed length, got "
                f"{self.dtype}{', ragged' if self.ragged else ''}"
            )
        sizes = (len(transform.mean), len(transform.deviation))
        if sizes != (self.length or 1,) * 2:
            raise ValueError(
                f"feature {self.name}: its transform must have a mean and a deviation for each of "
                f"{self.length or 1} numbers, got {sizes[0]} and {sizes[1]}"
            )

    @property
    def column(self) -> str:
        """The column of the node's table, in `graph/`, that holds it."""
        return self.aligned_with or self.name

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a row's value in dense form."""
        return () if self.length is None else (self.length,)

    @property
    def filler(self) -> float | int | bytes | tuple[float, ...]:
        """`missing` as a raw value of the feature's type; where there must be one, 0 or b""."""
        if isinstance(self.missing, tuple):
            return self.missing
        if self.dtype == "bytes":
            return str(self.missing or "").encode()
        return {"float": float, "int64": int}[self.dtype](self.missing or 0)

    @property
    def encoded_filler(self) -> int:
        """What fills up a list of embedding rows: -1, or 0 where weights tell what is filled up."""
        return -1 if self.length is not None and self.role == "side" else 0

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Feature:
        """From what `dataclasses.asdict` gave, through JSON."""
        bounds, transform, missing = (fields[n] for n in ("bounds", "transform", "missing"))
        return cls(
            **{
                **fields,
                "missing": tuple(missing) if isinstance(missing, list) else missing,
                "bounds": None if bounds is None else tuple(bounds),
                "transform": None if transform is None else Transform.from_json(transform),
            }
        )
