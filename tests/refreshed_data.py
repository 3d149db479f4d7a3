"""A small data set, and the one with a day more, in which new users and items have come."""

import dataclasses
import os
import pathlib

import numpy as np

from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.prepare import prepare
from input_pipeline.refresh import RefreshOptions, refresh

DAY = 86_400


@dataclasses.dataclass(frozen=True)
class Days:
    """Data set directories."""

    before: str
    after: str


def write_days(
    folder: pathlib.Path, *, num_days: int, events_a_day: int, seed: int = 0
) -> list[str]:
    """A file of ten days, then one a day; users of four groups like items of their own.

    Of 40 users and 60 items half are there on the first day and all on the tenth; then one of each
    comes every day.
    """
    random = np.random.default_rng(seed)
    os.makedirs(folder, exist_ok=True)
    paths, lines = [], []
    for day in range(num_days):
        share = min(1.0, 0.5 + day / 18)
        users, items = int(40 * share) + max(0, day - 9), int(60 * share) + 4 * max(0, day - 9)
        for second in np.sort(random.integers(0, DAY, events_a_day)):
            user = random.integers(users)
            group = user % 4 if random.random() < 0.9 else random.integers(4)
            item = group + 4 * random.integers(max(1, items // 4))
            buys = int(random.random() < (0.4 if user % 4 == item % 4 else 0.05))
            lines.append(
                f"{1000 + 7 * user},item{item:03d},{day * DAY + second},1,{buys},{item % 4}"
            )
        if day >= 9:
            path = folder / f"day-{day:03d}.csv"
            path.write_text("user,item,ts,click,buy,category\n" + "\n".join(lines) + "\n")
            paths.append(str(path))
            lines = []
    return paths


def preparation(**options) -> PreparationOptions:
    """Of the files of `write_days`."""
    told = {
        "source": "csv",
        "user_column": "user",
        "item_column": "item",
        "timestamp_column": "ts",
        "task_columns": ("click", "buy"),
        "item_feature_columns": ("category",),
        "num_user_macro_nodes": 4,
        "num_item_macro_nodes": 5,
        "max_neighbors": 6,
        "negatives": 2,
        "num_shards": 3,
        "cuts": (0.4, 0.7, 0.85),
    }
    return PreparationOptions(**told | options)


def make_days(folder: pathlib.Path) -> Days:
    """Prepares ten days and adds one."""
    paths = write_days(folder / "log", num_days=11, events_a_day=300)
    days = Days(str(folder / "before"), str(folder / "after"))
    prepare(preparation(data_dir=days.before, input=(paths[0],)))
    refresh(RefreshOptions(data_dir=days.after, from_dir=days.before, input=(paths[1],)))
    return days
