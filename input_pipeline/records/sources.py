"""Shards, or what is left of them, to serialized records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from input_pipeline.records.bad_records import open_records


class Source(NamedTuple):
    """Some records of a shard.

    Attributes:
      path: a file that holds the shard, or its end.
      begin: how many records of the file come before.
      first: the number in the shard of the first one.
      length: how many follow, with those that are left out.
      skipped: int64 [..], the numbers in the shard of those that are left out.
      is_cut: whether the file goes on behind the last one, with what cannot be read.
    """

    path: str
    begin: int
    first: int
    length: int
    skipped: NDArray[Any]
    is_cut: bool


# Of each slot; a thread a slot reads them, so that shards are inflated side by side.
_BLOCKS_AHEAD = 16


def read_one_by_one(sources: Sequence[Source]) -> tf.data.Dataset:
    """The records of one source after the other."""
    columns, opened = _columns(sources), _opener(sources)
    if len(sources) == 1:  # a dataset less for every record to pass through
        return opened(*(tf.constant(column[0]) for column in columns))
    return tf.data.Dataset.from_tensor_slices(columns).flat_map(opened)


def read_in_turn(
    slots: Sequence[Sequence[Source]], turns: NDArray[Any], records_per_block: int
) -> tf.data.Dataset:
    """Blocks of records, string [..], that the slots give in turn.

    Args:
      slots: each some sources, read one after the other; all slots are read at the same time.
      turns: which slot gives each block, int64 [blocks].
      records_per_block: of one slot; its last block may have fewer.
    """
    blocks = [
        read_one_by_one(sources).batch(records_per_block).prefetch(_BLOCKS_AHEAD)
        for sources in slots
    ]
    choices = tf.data.Dataset.from_tensor_slices(turns.astype(np.int64))
    return tf.data.Dataset.choose_from_datasets(blocks, choices, stop_on_empty_dataset=False)


def _columns(sources: Sequence[Source]) -> tuple[NDArray[Any], ...]:
    """The fields of some sources, column by column; `skipped` is filled up with -1."""
    width = max(len(source.skipped) for source in sources)
    skipped = np.full((len(sources), width), -1, np.int64)
    for row, source in zip(skipped, sources, strict=True):
        row[: len(source.skipped)] = source.skipped
    numbers = np.array([source[1:4] for source in sources], np.int64)
    paths = np.array([source.path for source in sources], object)
    return paths, *numbers.T, skipped


def _opener(sources: Sequence[Source]) -> Callable[..., tf.data.Dataset]:
    """What opens one of the sources; reading fails where its file has fewer records or more."""
    is_cut = any(source.is_cut for source in sources)
    leaves_out = any(len(source.skipped) for source in sources)

    @tf.autograph.experimental.do_not_convert
    def opened(
        path: tf.Tensor, begin: tf.Tensor, first: tf.Tensor, length: tf.Tensor, skipped: tf.Tensor
    ) -> tf.data.Dataset:
        records = open_records(path).skip(begin)
        if is_cut:
            records = records.take(length)
        records = records.apply(tf.data.experimental.assert_cardinality(length))
        if not leaves_out:
            return records
        records = records.enumerate(start=first)
        records = records.filter(lambda index, _: tf.reduce_all(index != skipped))
        return records.map(lambda _, serialized: serialized)

    return opened


def in_parallel(batches: tf.data.Dataset) -> tf.data.Dataset:
    """Fetches ahead, with all cores from the first batch on."""
    # Tuning the number of calls takes longer than an epoch of some seconds, and ends at one of two
    # speeds, a quarter apart.
    options = tf.data.Options()
    options.autotune.enabled = False
    # Rewriting the graph of the datasets takes as long as an epoch's first batches, and gains none.
    options.experimental_optimization.apply_default_optimizations = False
    return batches.prefetch(tf.data.AUTOTUNE).with_options(options)
