"""Suite `vocabulary`: columns of many ids beside columns as long of a few."""

from __future__ import annotations

import tempfile
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from input_pipeline.files import filesystem
from input_pipeline.log import vocabulary
from input_pipeline.log.raw_ids import IdIndex
from input_pipeline.log.vocabulary import order_by_appearance
from input_pipeline.log.windows import Windows
from input_pipeline.records.wire_format import encode_values
from input_pipeline.sources.columns import to_categorical
from tests.benchmarks.context import Context
from tests.benchmarks.line import Goal, Line
from tests.benchmarks.measure import alternate, peak_memory, seconds

_FEW = 1_000
_BLOCK = 1 << 20
# To which the bounds on seconds and memory belong.
_BOUNDED = 10**7


def run(context: Context) -> list[Line]:
    """Seconds and gigabytes of the stages of a column, from cells to what readers look up."""
    size = context.scale.table_sizes[-1]
    lines = []

    def bound(most: float) -> Goal | None:
        return Goal("ours", at_most=most) if size == _BOUNDED else None

    for dtype in ("int64", "bytes"):
        peaks = {}
        with tempfile.TemporaryDirectory(dir=context.folder) as folder:
            filesystem.make_dirs(filesystem.join(folder, "vocabulary"))
            for number in (_FEW, size):
                with peak_memory() as peak:
                    stages(dtype, number, size, folder)
                peaks[number] = peak.gigabytes
            samples = alternate(
                {
                    "few": seconds(lambda d=dtype, f=folder: stages(d, _FEW, size, f)),
                    "many": seconds(lambda d=dtype, f=folder: stages(d, size, size, f)),
                },
                context.scale.rounds,
            )
        more = np.subtract(samples["many"], samples["few"]).tolist()
        details = {
            "events": size,
            "seconds in all": float(np.median(samples["many"])),
            "peak of the process, GB": peaks[size],
        }
        name = f"{size:,} ids of {dtype}, more than {_FEW:,}"
        lines += [
            Line(f"{name}: time", "s", more, goal=bound(10), details=details),
            Line(f"{name}: memory", "GB", [peaks[size] - peaks[_FEW]], goal=bound(1)),
        ]
    return lines


def stages(dtype: str, num_ids: int, num_events: int, folder: str) -> None:
    """Reads, orders, writes and encodes a column, then reads and indexes its file."""
    chunks = [pc.dictionary_encode(cells) for cells in _blocks(dtype, num_ids, num_events)]
    categorical = to_categorical(chunks, "user_id")
    del chunks
    events = np.arange(num_events)
    bounds = num_events * np.array([0, 6, 8, 9, 10]) // 10
    column = order_by_appearance(categorical, Windows(events, events, bounds, (0.6, 0.8, 0.9)))
    del categorical
    counts = column.counts(int(bounds[2]), int(column.known[1]))
    described = vocabulary.describe("user_id", "user", column, counts, 1)
    vocabulary.write(folder, "user_id", column, counts)
    encode_values(column.values)
    del column
    spec: Any = types.SimpleNamespace(vocabulary=lambda _: described, flags={"min_count": 1})
    vocabulary.embedded_lines(folder, spec, "user_id")
    IdIndex(vocabulary.read_ids(folder, spec, "user_id"))


def _blocks(dtype: str, num_ids: int, num_events: int) -> Iterator[pa.Array]:
    """Cells of ids in random order, as a source reads them."""
    order = np.random.default_rng(0).permutation(num_events).astype(np.int32)
    for start in range(0, num_events, _BLOCK):
        digits = pa.array(order[start : start + _BLOCK] % num_ids).cast(pa.string())
        if dtype == "bytes":
            digits = pc.binary_join_element_wise("user_", digits, "")
        yield digits.cast(pa.binary())
