"""The order of an epoch's records, known without reading any, so that reading can begin anywhere.

Two levels of chance. Slots, each some shards one after the other, give blocks of consecutive
records at a pace that lets all of them end together, so that every part of an epoch holds a like
share of each shard; and so many blocks as fit into memory, a window, are shuffled at a time. Which
record comes when depends on the seed, the epoch and the index of the shards alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray


def shuffled_by_window(
    blocks: tf.data.Dataset, *, blocks_per_window: int, seed: int, first_window: int = 0
) -> tf.data.Dataset:
    """Windows of a dataset in their order, each with its elements in random order.

    Args:
      blocks: begins with the first element of a window.
      blocks_per_window: elements of a window; the last one may have fewer.
      seed: of the order, with the number of the window.
      first_window: the number of the first window.
    """

    @tf.autograph.experimental.do_not_convert
    def shuffled(number: tf.Tensor, window: tf.data.Dataset) -> tf.data.Dataset:
        # of this function's graph alone: the order must not depend on the global seed
        tf.compat.v1.set_random_seed(seed)
        return window.shuffle(blocks_per_window, seed=number, reshuffle_each_iteration=False)

    # the next window is read while one is given out
    windows = blocks.window(blocks_per_window).prefetch(1)
    return windows.enumerate(start=first_window).flat_map(shuffled)


@dataclasses.dataclass(frozen=True)
class Start:
    """Where reading begins.

    Attributes:
      window: its first block is the first one that is read.
      blocks: how many of its shuffled blocks are left out.
      records: how many records of the next block are left out.
    """

    window: int
    blocks: int
    records: int


class EpochOrder:
    """Which record of which shard comes when.

    Args:
      rows: of each record of each shard, uint8 [N] a shard, in the order in which shards are read.
      slots: how many shards are read at a time.
      records_per_block: consecutive records that stay together.
      blocks_per_window: blocks that are shuffled together.
      seed: of the shuffling, at least 1.
    """

    def __init__(
        self,
        rows: Sequence[NDArray[Any]],
        *,
        slots: int,
        records_per_block: int,
        blocks_per_window: int,
        seed: int,
    ) -> None:
        self.records_per_block = records_per_block
        self.blocks_per_window = blocks_per_window
        self.seed = seed
        self._shards = [list(range(slot, len(rows), slots)) for slot in range(slots)]
        self._ends = [np.cumsum([len(rows[n]) for n in shards]) for shards in self._shards]
        # [records of the slot] each
        self._rows = [np.concatenate([rows[n] for n in shards]) for shards in self._shards]
        counts = [-(-len(of_slot) // records_per_block) for of_slot in self._rows]
        slot, turn = (
            np.concatenate(parts)
            for parts in zip(
                *(
                    (np.full(count, s, np.int32), np.arange(count, dtype=np.int32))
                    for s, count in enumerate(counts)
                ),
                strict=True,
            )
        )
        # a slot's blocks lie evenly over the epoch
        order = np.lexsort((slot, (turn + 0.5) / np.array(counts)[slot]))
        self._slot, self._turn = slot[order], turn[order]
        sums = [
            np.add.reduceat(of_slot, np.arange(0, len(of_slot), records_per_block), dtype=np.int64)
            for of_slot in self._rows
            if len(of_slot)
        ]
        first = np.arange(0, len(order), blocks_per_window)
        # [windows + 1]: records and rows before each window
        block_rows = np.concatenate(sums)[order]
        block_records = np.concatenate(
            [
                np.diff(np.append(np.arange(0, len(r), records_per_block), len(r)))
                for r in self._rows
            ]
        )[order]
        self.records_before = np.append(0, np.cumsum(np.add.reduceat(block_records, first)))
        self.rows_before = np.append(0, np.cumsum(np.add.reduceat(block_rows, first)))

    @property
    def num_windows(self) -> int:
        return len(self.rows_before) - 1

    def windows(self, first: int, last: int) -> list[NDArray[Any]]:
        """The rows of each record of each block of some windows, in the order of reading.

        Args:
          first, last: numbers of windows, `last` included.
        """
        begin = first * self.blocks_per_window
        end = min((last + 1) * self.blocks_per_window, len(self._slot))
        places = shuffled_by_window(
            tf.data.Dataset.range(begin, end),
            blocks_per_window=self.blocks_per_window,
            seed=self.seed,
            first_window=first,
        )
        in_order = places.batch(end - begin).get_single_element().numpy()
        return [self._block(place) for place in in_order]

    def _block(self, place: int) -> NDArray[Any]:
        first = int(self._turn[place]) * self.records_per_block
        return self._rows[self._slot[place]][first : first + self.records_per_block]

    def start_at(self, record: int) -> Start:
        """Where to begin so that the first record is number `record` of the epoch."""
        if record >= self.records_before[-1]:
            return Start(self.num_windows, 0, 0)
        window = int(np.searchsorted(self.records_before, record, side="right")) - 1
        ends = np.cumsum([len(block) for block in self.windows(window, window)])
        before = record - int(self.records_before[window])
        block = int(np.searchsorted(ends, before, side="right"))
        return Start(window, block, before - int(ends[block - 1] if block else 0))

    def slots_at(self, window: int) -> tuple[list[list[tuple[int, int]]], NDArray[Any]]:
        """What is left to read from the beginning of a window on.

        Returns:
          The shards of each slot, as (number of the shard, its first record that is read); slots
          that are read to the end are left out. And which of these slots gives each block, int64.
        """
        begin = window * self.blocks_per_window
        taken = np.bincount(self._slot[:begin], minlength=len(self._shards))
        left, turns = np.unique(self._slot[begin:], return_inverse=True)
        found = []
        for slot in left.tolist():
            record = int(taken[slot]) * self.records_per_block
            shard = int(np.searchsorted(self._ends[slot], record, side="right"))
            first = record - int(self._ends[slot][shard - 1] if shard else 0)
            shards = self._shards[slot][shard:]
            found.append([(shards[0], first), *((number, 0) for number in shards[1:])])
        return found, turns


class ShuffledRecords:
    """The records of an epoch in random order, from anywhere on.

    Args:
      order: of the records.
      read: from what `EpochOrder.slots_at` gives to blocks in this order, string [..].
    """

    def __init__(
        self,
        order: EpochOrder,
        read: Callable[[list[list[tuple[int, int]]], NDArray[Any]], tf.data.Dataset],
    ) -> None:
        self.order = order
        self._read = read

    def starting_at(self, record: int) -> tf.data.Dataset:
        """Blocks of serialized records, string [..], the first one beginning with `record`."""
        start = self.order.start_at(record) if record else Start(0, 0, 0)
        blocks = shuffled_by_window(
            self._read(*self.order.slots_at(start.window)),
            blocks_per_window=self.order.blocks_per_window,
            seed=self.order.seed,
            first_window=start.window,
        ).skip(start.blocks)
        if not start.records:
            return blocks

        @tf.autograph.experimental.do_not_convert
        def without_first(number: tf.Tensor, block: tf.Tensor) -> tf.Tensor:
            return block[tf.where(number == 0, start.records, 0) :]

        return blocks.enumerate().map(without_first)
