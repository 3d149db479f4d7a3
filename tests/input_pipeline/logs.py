"""Small logs for the tests of preparation."""

from __future__ import annotations

import numpy as np

from input_pipeline.log.events import Categorical, EventLog
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
    distinct = sorted(set(values))
    codes = np.array([distinct.index(value) for value in values], np.int32)
    integers = isinstance(distinct[0], int)
    return Categorical(codes, np.array(distinct, dtype=np.int64 if integers else object))


def event_log(lines: list[Line], tasks: tuple[str, ...] = TASKS) -> EventLog:
    """The table that a source would make of these lines."""

    def bits(sets):
        return np.array([sum(1 << task for task in tasks_of) for tasks_of in sets], np.uint32)

    def columns(features):
        names = [name for name, _ in features[0]]
        return {name: _categorical([dict(f)[name] for f in features]) for name in names}

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
        source_files=(),
        malformed_lines=0,
        duplicate_lines=0,
        has_exposures=any(not line.tasks for line in lines),
    )
