"""The plan of an epoch: worked by hand, and beside what tf.data does."""

import numpy as np
import pytest
import tensorflow as tf

from input_pipeline.records.epoch_order import (
    EpochOrder,
    ShuffledRecords,
    Start,
    shuffled_by_window,
)


def order_of(counts: list[int], **changes) -> EpochOrder:
    """Of shards with so many records, each record with as many rows as its number in all."""
    ends = np.cumsum(counts)
    rows = [
        np.arange(end - count, end).astype(np.uint8)
        for end, count in zip(ends, counts, strict=True)
    ]
    sizes = {"slots": 2, "records_per_block": 2, "blocks_per_window": 3, "seed": 7, **changes}
    return EpochOrder(rows, **sizes)


def test_by_hand() -> None:
    # slot 0: shards 0 and 2, records 0 1 2 5 6; slot 1: shard 1, records 3 4
    # blocks in turn: 01 | 34 | 25 || 6
    order = order_of([3, 2, 2])
    assert order.num_windows == 2
    np.testing.assert_array_equal(order.records_before, [0, 6, 7])
    np.testing.assert_array_equal(order.rows_before, [0, 15, 21])
    window = sorted(block.tolist() for block in order.windows(0, 0))
    assert window == [[0, 1], [2, 5], [3, 4]]
    assert [block.tolist() for block in order.windows(1, 1)] == [[6]]
    assert order.slots_at(0) == [[(0, 0), (2, 0)], [(1, 0)]]
    # of slot 0, 0 1 2 5 are read: what is left is the second record of shard 2
    assert order.slots_at(1) == [[(2, 1)]]
    assert order.start_at(7) == Start(2, 0, 0)
    assert order.start_at(6) == Start(1, 0, 0)
    assert order.start_at(3) == Start(0, 1, 1)


def test_the_slot_whose_turn_it_is_comes_first() -> None:
    # blocks of one: 0 | 2 | 1 | 3, of slots 0 1 0 1
    order = order_of([2, 2], records_per_block=1, blocks_per_window=1)
    assert order.slots_at(1) == [[(1, 0)], [(0, 1)]]
    assert order.slots_at(2) == [[(0, 1)], [(1, 1)]]
    assert order.slots_at(4) == []


@pytest.mark.parametrize("seed", range(3))
def test_the_plan_is_what_is_read_from_any_record_on(seed) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 30, 7).tolist()
    order = order_of(counts, slots=3, records_per_block=4, blocks_per_window=3)
    first_record = np.cumsum([0, *counts])

    def read(slots: list[list[tuple[int, int]]]) -> tf.data.Dataset:
        blocks: list[list[np.ndarray]] = []
        for shards in slots:
            of_slot = np.concatenate(
                [np.arange(first, counts[shard]) + first_record[shard] for shard, first in shards]
            )
            blocks.append([of_slot[i : i + 4] for i in range(0, len(of_slot), 4)])
        longest = max(map(len, blocks))
        in_turn = [of_slot[t] for t in range(longest) for of_slot in blocks if t < len(of_slot)]
        return tf.data.Dataset.from_generator(
            lambda: in_turn, output_signature=tf.TensorSpec([None], tf.int64)
        )

    records = ShuffledRecords(order, read)
    whole = np.concatenate(list(records.starting_at(0).as_numpy_iterator()))
    np.testing.assert_array_equal(np.sort(whole), np.arange(sum(counts)))
    planned = np.concatenate(order.windows(0, order.num_windows - 1))
    np.testing.assert_array_equal(planned, whole)
    for record in rng.integers(0, sum(counts), 6):
        found = np.concatenate(list(records.starting_at(int(record)).as_numpy_iterator()))
        np.testing.assert_array_equal(found, whole[record:])


def test_windows_stay_in_order_and_are_shuffled_by_their_number() -> None:
    def shuffled(first: int) -> list[int]:
        numbers = tf.data.Dataset.range(10 * first, 50)
        windows = shuffled_by_window(numbers, blocks_per_window=10, seed=3, first_window=first)
        return list(windows.as_numpy_iterator())

    whole = shuffled(0)
    for start in range(0, 50, 10):
        assert sorted(whole[start : start + 10]) == list(range(start, start + 10))
        assert whole[start : start + 10] != list(range(start, start + 10))
    assert shuffled(2) == whole[20:]
    assert [n - 10 for n in whole[10:20]] != whole[:10]
