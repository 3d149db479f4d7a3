"""A generated log as files of a day each, as a service would write them."""

from __future__ import annotations

import numpy as np
import pyarrow.csv

from export.daily.options import DailyOptions
from input_pipeline.files import filesystem
from input_pipeline.files.temporary_directory import temporary_directory
from input_pipeline.sources.synthetic.__main__ import SyntheticOptions, write_csv
from input_pipeline.sources.synthetic.world import NUM_SLICES, SLICE_SECONDS, START_SECONDS

DAY_SECONDS = 86_400
FIRST_DAYS = 10
_TIME = 4  # the column of Taobao's form


def day_file(folder: str, day: int) -> str:
    """The log of a day; of day 0 that of the ten before the first."""
    return filesystem.join(folder, f"day-{day:03d}.csv")


def first_cuts() -> tuple[int, ...]:
    """The ends of windows in the first ten days: five of history, then a day each."""
    return tuple(START_SECONDS + day * DAY_SECONDS - 1 for day in range(5, FIRST_DAYS))


def write_log(options: DailyOptions, folder: str) -> None:
    """Writes the files of all days, which appear together.

    The world of the generator lasts nine days; here it takes as many as there are, so that tastes
    turn as far, more slowly.
    """
    if filesystem.exists(folder):
        return
    temporary = temporary_directory(folder)
    whole = filesystem.join(temporary, "whole.csv")
    told = {n: getattr(options, n) for n in ("users", "items", "events", "seed")}
    write_csv(SyntheticOptions(output=whole, **told))
    table = pyarrow.csv.read_csv(whole, pyarrow.csv.ReadOptions(autogenerate_column_names=True))
    since = table.column(_TIME).to_numpy() - START_SECONDS
    days = FIRST_DAYS + options.log_days
    stretched = since * days * DAY_SECONDS // (NUM_SLICES * SLICE_SECONDS)
    day = np.clip(stretched // DAY_SECONDS - FIRST_DAYS + 1, 0, options.log_days)
    times = START_SECONDS + stretched
    table = table.set_column(_TIME, table.column_names[_TIME], [times])
    write_options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="none")
    for number in range(options.log_days + 1):
        path = day_file(temporary, number)
        pyarrow.csv.write_csv(table.filter(day == number), path, write_options)
    filesystem.remove(whole)
    filesystem.remove(f"{whole}.world.npz")
    filesystem.publish(temporary, folder)
