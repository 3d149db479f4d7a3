"""Small logs for the tests of preparation."""

from __future__ import annotations

import dataclasses
import math
import pathlib
import types
from collections.abc import Mapping
from typing import Any

import numpy as np

from input_pipeline import prepare
from input_pipeline.engines.local.engine import LocalEngine
from input_pipeline.log.byte_strings import ByteStrings
from input_pipeline.log.events import (
    Categorical,
    CategoricalLists,
    EventLog,
    FeatureValues,
    Numbers,
)
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.spec import INPUT_OWNERS, DatasetSpec
from tests.reference_preparation import Line

TASKS = ("click", "fav", "cart", "buy")


def random_lines(
    seed: int,
    num_lines: int = 240,
    users: int = 12,
    items: int = 40,
    clock: int | None = 90,
    bytes_ids: bool = False,
    exposures: bool = False,
    unlabeled: bool = False,
) -> list[Line]:
    """A log with ties in time, repeated pairs, ids that appear late, and changing side features.

    `clock` is how many distinct timestamps there are; None for a log without any.
    """
    random = np.random.default_rng(seed)
    lines = []
    for n in range(num_lines):
        # The range of ids grows with time, so that cold nodes appear in every window.
        share = 0.4 + 0.6 * n / num_lines
        user = int(random.integers(0, max(2, int(users * share))))
        item = int(random.integers(0, max(3, int(items * share)))) * 7 % items
        count = random.choice([0, 1, 2], p=[0.4, 0.4, 0.2]) if exposures else 1
        tasks = frozenset(random.choice(4, count, replace=False, p=[0.7, 0.1, 0.1, 0.1]).tolist())
        untold = frozenset({2, 3} - tasks) if unlabeled and random.random() < 0.3 else frozenset()
        lines.append(
            Line(
                b"u%03d" % user if bytes_ids else user * 11 + 3,
                b"i%d" % item if bytes_ids else item * 5 + 1,
                tasks,
                None if clock is None else 1_500_000_000 + int(n * clock / num_lines) * 60,
                untold,
                (("age", int(random.integers(18, 22))),),
                (("category_id", b"c%d" % (item % 5 + random.integers(0, 2))),),
            )
        )
    return lines


def _categorical(values: list) -> Categorical:
    distinct = sorted({value for value in values if value is not None})
    place = {None: -1} | {value: code for code, value in enumerate(distinct)}
    codes = np.array([place[value] for value in values], np.int32)
    integers = all(isinstance(value, int) for value in distinct)
    return Categorical(
        codes, np.array(distinct, np.int64) if integers else ByteStrings.of(distinct)
    )


def _lists(values: list[tuple]) -> CategoricalLists:
    distinct = list(dict.fromkeys(values))
    cells = np.array([distinct.index(value) for value in values], np.int32)
    indptr = np.cumsum([0, *map(len, distinct)])
    return CategoricalLists(cells, indptr, _categorical([v for cell in distinct for v in cell]))


def _column(values: list, transform: str) -> FeatureValues:
    if isinstance(values[0], float):
        return Numbers(np.array(values, np.float32), transform)
    return _lists(values) if isinstance(values[0], tuple) else _categorical(values)


def event_log(
    lines: list[Line],
    tasks: tuple[str, ...] = TASKS,
    transforms: Mapping[str, str] = types.MappingProxyType({}),
) -> EventLog:
    """The table that a source would make of these lines; `transforms` are of columns of numbers."""

    def bits(sets):
        return np.array([sum(1 << task for task in tasks_of) for tasks_of in sets], np.uint32)

    def columns(features):
        names = [name for name, _ in features[0]]
        return {
            name: _column([dict(f)[name] for f in features], transforms.get(name, "standard"))
            for name in names
        }

    clock = lines[0].timestamp is not None
    return EventLog(
        tasks=tasks,
        user_id=_categorical([line.user for line in lines]),
        item_id=_categorical([line.item for line in lines]),
        behaviors=bits([line.tasks for line in lines]),
        unlabeled=bits([line.unlabeled for line in lines]),
        timestamp=np.array([line.timestamp for line in lines], np.int64) if clock else None,
        timestamp_unit="s" if clock else None,
        user_features=columns([line.user_features for line in lines]),
        item_features=columns([line.item_features for line in lines]),
        context_features=columns([line.context_features for line in lines]),
        source_files=(),
        malformed_lines=0,
        duplicate_lines=0,
        has_exposures=any(not line.tasks for line in lines),
    )


# Kinds of columns for features that may be missing: `_cell` writes times of these.
_PARTS_OF_TIME = {"hour": "hour", "born": "weekday"}


def write_csv(
    lines: list[Line],
    path: pathlib.Path,
    tasks: tuple[str, ...] = TASKS,
    transforms: Mapping[str, str] = types.MappingProxyType({}),
) -> dict[str, Any]:
    """Writes the lines as `--source=csv` reads them; returns the flags that name the columns."""
    owners = {owner: dict(getattr(lines[0], f"{owner}_features")) for owner in INPUT_OWNERS}
    names = [name for features in owners.values() for name in features]
    clock = ["timestamp"] if lines[0].timestamp is not None else []
    with open(path, "wb") as file:
        head = ["user_id", "item_id", *clock, *(f"is_{task}" for task in tasks), *names]
        file.write(",".join(head).encode() + b"\n")
        for line in lines:
            told = dict(line.user_features + line.item_features + line.context_features)
            labels = [
                "1" if task in line.tasks else "" if task in line.unlabeled else "0"
                for task in range(len(tasks))
            ]
            times = [line.timestamp] if clock else []
            cells = [line.user, line.item, *times, *labels, *(_time(n, told[n]) for n in names)]
            file.write(b",".join(map(_cell, cells)) + b"\n")
    return {
        "timestamp_column": clock[0] if clock else None,
        "task_columns": tuple(f"is_{task}:{task}" for task in tasks),
        **{
            f"{owner}_feature_columns": tuple(
                f"{name}:{_kind(name, value, transforms)}" for name, value in features.items()
            )
            for owner, features in owners.items()
        },
    }


def _kind(name: str, value: Any, transforms: Mapping[str, str]) -> str:
    if isinstance(value, float):
        return f"numeric:{transforms.get(name, 'standard')}"
    return "multi" if isinstance(value, tuple) else _PARTS_OF_TIME.get(name, "categorical")


def _time(name: str, value: Any) -> Any:
    """Of a part of a time, seconds since 1970, a Thursday, that have it."""
    if value is None or name not in _PARTS_OF_TIME:
        return value
    return value * 3600 if _PARTS_OF_TIME[name] == "hour" else (value + 4) % 7 * 86400


def _cell(value: Any) -> bytes:
    if isinstance(value, tuple):
        return b"|".join(map(_cell, value))
    if value is None or value != value:
        return b""
    return value if isinstance(value, bytes) else str(value).encode()


def with_features(lines: list[Line], seed: int) -> list[Line]:
    """The lines with features of every kind, which change, and are missing here and there."""
    random = np.random.default_rng(seed)

    def some(values: range, most: int) -> tuple[int, ...]:
        return tuple(random.permutation(values)[: random.integers(0, most + 1)].tolist())

    def number(scale: float) -> float:
        # As a record holds it.
        return float(np.float32(random.normal(scale, scale)))

    def maybe(value, share: float, missing):
        return missing if random.random() < share else value

    return [
        dataclasses.replace(
            line,
            user_features=(
                *line.user_features,
                ("clubs", some(range(40), 3)),
                ("income", maybe(number(3000.0), 0.2, math.nan)),
            ),
            item_features=(
                *line.item_features,
                ("price_macro", b"p%d" % random.integers(6)),
                ("tags", tuple(b"t%02d" % tag for tag in some(range(30), 5))),
                ("born", maybe(int(random.integers(7)), 0.15, None)),
                ("price", number(10.0)),
                ("weight", maybe(2.5, 0.1, math.nan)),
            ),
            context_features=(
                ("device", random.choice([b"", b"phone", b"tv"])),
                ("hour", maybe(int(random.integers(24)), 0.1, None)),
                ("topics", some(range(5), 2)),
                ("position", maybe(float(random.integers(50)), 0.3, math.nan)),
            ),
        )
        for line in lines
    ]


TRANSFORMS = {"income": "log", "weight": "standard", "price": "none", "position": "log"}


def write_log(log: EventLog, options: PreparationOptions, data_dir: str) -> DatasetSpec:
    """Prepares a log that lies in memory, which the local engine alone takes."""
    with LocalEngine(options, data_dir, log) as engine:
        return prepare.write_data_set(engine)
