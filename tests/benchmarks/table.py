"""Suite `table`: training steps on the same batches, their ids spread over ever longer tables."""

from __future__ import annotations

import dataclasses
from typing import Any

import tensorflow as tf

from input_pipeline.spec import DatasetSpec
from tests.benchmarks.context import Context
from tests.benchmarks.line import Goal, Line
from tests.benchmarks.measure import alternate, peak_memory
from tests.benchmarks.runs import Run, make_step, parsed_batches
from tests.benchmarks.step import Ours, milliseconds

_L2 = 1e-5


def run(context: Context) -> list[Line]:
    """Milliseconds of a step by the number of ids of the user and the item table, each."""
    data_dir, sizes = context.data_dir(), context.scale.table_sizes
    lines = []
    for name in ("mgoe", "mmoe"):
        small = Run.of(name, data_dir)
        parsed = parsed_batches(data_dir, "train", small.options.batch_size, context.scale.steps)
        encoded = [small.encode(rows) for rows in parsed]
        measures, parameters = {}, {}
        for size in sizes:
            options = dataclasses.replace(small.options, l2=_L2)
            step = make_step(lengthened(small.spec, size), options)
            party = Ours(dataclasses.replace(small, step=step))
            spread = [(spread_ids(small.spec, size, x), y) for x, y in encoded]
            measures[size], parameters[size] = milliseconds(party, spread), party.parameters
        samples = alternate(measures, context.scale.rounds, warm_ups=1)
        with peak_memory() as peak:
            measures[sizes[-1]]()
        rise = peak.gigabytes - peak.before_gigabytes
        lines += [
            Line(
                f"{name}: a step, {size:,} users and items", "ms", samples[size],
                samples[sizes[0]], f"{sizes[0]:,} users and items",
                Goal("ratio", at_most=1.3) if size == sizes[-1] else None,
                {"parameters": parameters[size]},
            )
            for size in sizes[1:]
        ]  # fmt: skip
        table_gigabytes = sizes[-1] * small.model.options.embedding_dim * 4 / 1e9
        lines.append(
            Line(f"{name}: memory that the steps of the last line add", "GB", [rise],
                 [table_gigabytes], "one table")
        )  # fmt: skip
    return lines


def lengthened(spec: DatasetSpec, size: int) -> DatasetSpec:
    """The same data set with `size` users and `size` items in the id tables."""
    return dataclasses.replace(
        spec,
        vocabularies=tuple(
            dataclasses.replace(column, embedded=size) if _is_id(column.name) else column
            for column in spec.vocabularies
        ),
    )


def spread_ids(spec: DatasetSpec, size: int, features: dict[str, tf.Tensor]) -> dict[str, Any]:
    """The features with users and items at equal distances in tables of `size` ids.

    Equal ids stay equal and others different, so a batch has as many distinct rows as before.
    """
    spread = dict(features)
    for name, rows in features.items():
        owner = name.split("_", 1)[0]
        column = f"{owner}_id"
        if name.startswith(f"{owner}_neighbors_") and "/" not in name:
            column = {"user": "item_id", "item": "user_id"}[owner]
        elif not _is_id(name):
            continue
        embedded = spec.vocabulary(column).embedded
        if size < embedded:
            raise ValueError(f"table sizes: must be at least {embedded}, got {size}")
        wide = 1 + (tf.cast(rows, tf.int64) - 1) * size // embedded
        # row 0 is that of unknown ids, and of padding
        spread[name] = tf.where(rows > 0, tf.cast(wide, tf.int32), 0)
    return spread


def _is_id(name: str) -> bool:
    return name in ("user_id", "item_id")
