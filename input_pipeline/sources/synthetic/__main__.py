"""Streams a synthetic log to a file:

    python -m input_pipeline.sources.synthetic --users=2000 --items=3000 --events=100000 \\
        --output=log.csv

`--source=taobao` reads it (with --exposures, `--source=csv`); the world is written beside it.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.csv
from tqdm import tqdm

from input_pipeline.commands.command import run_command
from input_pipeline.commands.options import option
from input_pipeline.files import filesystem
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.sources.synthetic.funnel import TASKS
from input_pipeline.sources.synthetic.planted_log import Lines, generate
from input_pipeline.sources.synthetic.world import World, make_world

_TAOBAO_NAMES = ("pv", "fav", "cart", "buy")
_DEFAULTS = {field.name: field.default for field in dataclasses.fields(PreparationOptions)}


@dataclasses.dataclass(frozen=True)
class SyntheticOptions:
    """The flags of this command; those of `prepare` have the same defaults."""

    users: int = option(_DEFAULTS["users"], "Number of users.")
    items: int = option(_DEFAULTS["items"], "Number of items.")
    events: int = option(_DEFAULTS["events"], "Number of lines.")
    exposures: bool = option(
        _DEFAULTS["exposures"], "Write every exposure, not only those with a behaviour."
    )
    seed: int = option(_DEFAULTS["seed"], "Seed of the world and of the log.")
    output: str = option(
        "", "File to write, local or remote; the world goes to <output>.world.npz.", is_path=True
    )

    def __post_init__(self) -> None:
        if not self.output:
            raise ValueError("--output: must name the file to write, got ''")
        for name in ("users", "items", "events"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name}: must be at least 1, got {getattr(self, name)}")
        if self.seed < 0:
            raise ValueError(f"--seed: must be at least 0, got {self.seed}")


def write_csv(synthetic: SyntheticOptions) -> None:
    """Streams the log to a file in memory that does not grow with its length.

    Behaviours are written as Taobao writes them; exposures with a header and a column per task.
    """
    world = make_world(synthetic.users, synthetic.items, synthetic.seed)
    world.save(f"{synthetic.output}.world.npz")
    temporary = filesystem.temporary_sibling(synthetic.output)
    write_options = pyarrow.csv.WriteOptions(
        include_header=synthetic.exposures, quoting_style="none"
    )
    writer = None
    with (
        filesystem.open_binary(temporary, "wb") as file,
        tqdm(total=synthetic.events, unit="line", unit_scale=True, disable=None) as progress,
    ):
        for lines in generate(world, synthetic.events, synthetic.exposures, synthetic.seed):
            table = _table(world, lines, synthetic.exposures)
            if writer is None:
                writer = pyarrow.csv.CSVWriter(
                    pa.PythonFile(file, mode="w"), table.schema, write_options=write_options
                )
            writer.write_table(table)
            progress.update(len(lines.user))
        if writer is not None:
            writer.close()
    filesystem.rename(temporary, synthetic.output)


def _table(world: World, lines: Lines, exposures: bool) -> pa.Table:
    columns = {
        "user_id": world.user_id[lines.user],
        "item_id": world.item_id[lines.item],
        "category_id": world.category_id[lines.item],
    }
    if exposures:
        columns["timestamp"] = lines.timestamp
        for task, name in enumerate(TASKS):
            columns[name] = (lines.behaviors >> np.uint32(task) & np.uint32(1)).astype(np.int8)
    else:
        task = np.log2(lines.behaviors).astype(np.int32)
        columns["behavior"] = pa.array(_TAOBAO_NAMES).take(pa.array(task))
        columns["timestamp"] = lines.timestamp
    return pa.table(columns)


def main() -> None:
    """The command."""
    run_command(write_csv, SyntheticOptions, doc=__doc__)


if __name__ == "__main__":
    main()
