"""What a preparation would write, told without writing it (`--dry_run`)."""

from __future__ import annotations

import dataclasses
import math

from input_pipeline.commands.options import option
from input_pipeline.engines.engine import LogDescription
from input_pipeline.feature import NODES
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.spec import DatasetSpec

# Of what users, items and labels of a row take in packed records; measured, features aside.
_ROW_BYTES = 440
_SHUFFLED_BYTES = 313
_PAIR_BYTES = 12
_ENTRY_BYTES = 8


@dataclasses.dataclass(frozen=True)
class DryRunOptions:
    """Whether anything is written."""

    dry_run: bool = option(
        False,
        "Read the log and number its ids as a preparation does, with all checks of both, tell what "
        "would be written and about how large, and write nothing. Intermediate files of "
        "--engine=spark lie beside --data_dir meanwhile.",
    )


def told_of(log: LogDescription, spec: DatasetSpec, preparation: PreparationOptions) -> str:
    """What was found of a log, and about what a preparation would write, as text."""
    names = ("history", *(f"window {n}" for n in range(1, len(spec.cuts) - 1)), "validation")
    most_rows = log.num_events * (1 + (preparation.negatives if spec.rows == "pairs" else 0))
    dense, lists = _graph_bytes(spec)
    lines = [
        f"{log.num_events:,} events, {log.malformed_lines:,} malformed and "
        f"{log.duplicate_lines:,} repeated lines; tasks {', '.join(log.tasks)}; rows are "
        f"{spec.rows}, split by {spec.split}",
        *(
            f"{vocabulary.name}: {vocabulary.size:,} ids ({vocabulary.dtype}), "
            f"{vocabulary.embedded:,} with a row of an embedding table"
            for vocabulary in spec.vocabularies
        ),
        "ends of windows: "
        + ", ".join(f"{name} {time:,}" for name, time in zip(names, spec.cut_times, strict=True)),
        f"features: {', '.join(feature.name for feature in spec.input_features)}",
        "about what would be written:",
        f"  examples/ at most {_size(most_rows * _ROW_BYTES)} in at most {most_rows:,} rows, of "
        f"{_ROW_BYTES} bytes each as measured on a small log",
        f"  graph/    {_size(dense)} of columns in {len(spec.cuts) + 1} graphs, and at most "
        f"{_size(lists)} of lists and pairs",
    ]
    if preparation.engine == "spark":
        parts = -(-log.num_events // preparation.spark_part_rows)
        lines += [
            "about what it would take:",
            f"  {parts:,} parts of --spark_part_rows={preparation.spark_part_rows:,} rows, and "
            f"{_size(log.num_events * _SHUFFLED_BYTES)} shuffled",
        ]
    lines.append("nothing was written (--dry_run)")
    return "\n".join(lines)


def _graph_bytes(spec: DatasetSpec) -> tuple[int, int]:
    """Bytes of dense columns of all graphs, and at most of lists and of pairs."""
    dense = lists = 0
    for cut in range(len(spec.cuts) + 1):
        known = {
            owner: (*(v := spec.vocabulary(f"{owner}_id")).known, v.size)[cut] for owner in NODES
        }
        for owner in NODES:
            for feature in spec.select(owner):
                if feature.role == "id" or feature.aligned_with:
                    continue
                numbers = known[owner] * math.prod(feature.shape)
                if feature.ragged:
                    lists += min(numbers, spec.counts["events"]) * _ENTRY_BYTES
                else:
                    dense += 4 * numbers
        lists += min(math.prod(known.values()), spec.counts["events"]) * _PAIR_BYTES
    return dense, lists


def _size(size: float) -> str:
    """As text, in units of a thousand."""
    units = ("B", "kB", "MB", "GB", "TB", "PB")
    power = min(int(math.log10(max(size, 1))) // 3, len(units) - 1)
    return f"{size / 1000**power:.3g} {units[power]}"
