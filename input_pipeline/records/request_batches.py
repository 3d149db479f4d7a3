"""Parsed requests -> batches of exactly so many rows.

Requests are parsed some hundreds at a time. The rows of such a group are dealt out like cards to as
many batches as they fill, so that a user's rows meet in few batches; what is left over waits for
the next group. A batch holds the features of each of its requests' users once.

Axes: R requests, N rows of them, B rows of a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from input_pipeline.feature import USER_ROW
from input_pipeline.records.epoch_order import EpochOrder, ShuffledRecords

Columns = Mapping[str, tf.Tensor]

# Requests that are dealt out together, for each row of a batch. A request has some 20 rows where
# users have many, so that they fill five batches.
_REQUESTS_PER_ROW = 0.25


class _Group(NamedTuple):
    """Columns of one type and shape on one another, as moving a few large ones costs least.

    Attributes:
      users: [C, R, ...] each, of C columns.
      rows: [C, N, ...] each.
      user_row: int32 [N], below R.
    """

    users: tuple[tf.Tensor, ...]
    rows: tuple[tf.Tensor, ...]
    user_row: tf.Tensor

    def take(self, index: tf.Tensor) -> _Group:
        """Some rows, and the users that they need."""
        needed, user_row = tf.unique(tf.gather(self.user_row, index))
        return _Group(
            tuple(tf.gather(stack, needed, axis=1) for stack in self.users),
            tuple(tf.gather(stack, index, axis=1) for stack in self.rows),
            user_row,
        )

    def followed_by(self, other: _Group) -> _Group:
        """The rows of both."""
        num_users = tf.reduce_max(tf.concat([[-1], self.user_row], axis=0)) + 1
        users, rows = (
            tuple(tf.concat(parts, axis=1) for parts in zip(ours, others, strict=True))
            for ours, others in ((self.users, other.users), (self.rows, other.rows))
        )
        return _Group(users, rows, tf.concat([self.user_row, other.user_row + num_users], axis=0))


class _Stacking:
    """Which columns lie on one another.

    Args:
      columns: what a group of requests has, by name.
      of_user: names of the features of a user; columns go by the part before a slash.
    """

    def __init__(self, columns: Mapping[str, tf.TensorSpec], of_user: Collection[str]) -> None:
        self._columns = columns
        users: dict[object, list[str]] = {}
        rows: dict[object, list[str]] = {}
        for name in sorted(columns.keys() - {USER_ROW}):
            side = users if name.partition("/")[0] in of_user else rows
            kind = (columns[name].dtype.name, tuple(columns[name].shape[1:]))
            side.setdefault(kind, []).append(name)
        self._users, self._rows = list(users.values()), list(rows.values())

    def stack(self, columns: Columns) -> _Group:
        users, rows = (
            tuple(tf.stack([columns[name] for name in names]) for names in side)
            for side in (self._users, self._rows)
        )
        return _Group(users, rows, columns[USER_ROW])

    def unstack(self, group: _Group) -> dict[str, tf.Tensor]:
        columns = {USER_ROW: group.user_row}
        for side, stacks in ((self._users, group.users), (self._rows, group.rows)):
            for names, stack in zip(side, stacks, strict=True):
                columns |= zip(names, tf.unstack(stack, num=len(names)), strict=True)
        return columns

    def empty(self) -> _Group:
        """No rows."""
        return self.stack(
            {
                name: tf.zeros([0, *spec.shape[1:]], spec.dtype)
                for name, spec in self._columns.items()
            }
        )


class _Place(NamedTuple):
    """Where reading begins so that a certain batch comes out.

    Attributes:
      record: the first request that is read.
      records: how many come before the first group that is dealt out, for the rows that wait.
      waiting: how many of their rows, the last ones, wait for that group.
      batches: how many of the group's batches come before.
    """

    record: int
    records: int
    waiting: int
    batches: int


def _place_of(order: EpochOrder, batch: int, batch_size: int, group_size: int) -> _Place:
    """Where batch number `batch` of an epoch begins."""
    needed = (batch + 1) * batch_size
    # the group that fills the batch, and as many requests before it as may have rows that wait
    last = int(np.searchsorted(order.rows_before, needed, side="left")) - 1
    early = int(order.records_before[last]) - group_size - batch_size
    first = max(0, int(np.searchsorted(order.records_before, early, side="right")) - 1)
    # rows: those of each request from the window `first` on
    rows = np.concatenate(order.windows(first, last))
    # ends: [requests], rows of the epoch up to and with each
    ends = int(order.rows_before[first]) + np.cumsum(rows, dtype=np.int64)
    begin = int(order.records_before[first])
    group = (begin + int(np.searchsorted(ends, needed, side="left"))) // group_size * group_size
    if not group:
        return _Place(0, 0, 0, batch)
    before = int(ends[group - begin - 1])
    waiting = before % batch_size
    record = begin + int(np.searchsorted(ends, before - waiting, side="right"))
    return _Place(record, group - record, waiting, batch - before // batch_size)


def request_batches(
    records: ShuffledRecords,
    parse: Callable[[tf.Tensor], Columns],
    batch_size: int,
    of_user: Collection[str],
    first_batch: int = 0,
) -> tf.data.Dataset:
    """Batches of `batch_size` rows; the rows of an incomplete last one are dropped.

    Args:
      records: serialized requests in random order.
      parse: from requests to dense columns by name: R rows for the features of a user, N for
        others; `user_row`, int32 [N], is below R.
      batch_size: B.
      of_user: names of the features of a user; columns go by the part before a slash.
      first_batch: where to begin.

    Returns:
      The same columns with B for N, and as many rows for R as the batch has requests.
    """
    parallel = {"num_parallel_calls": tf.data.AUTOTUNE, "deterministic": True}
    group_size = max(1, int(batch_size * _REQUESTS_PER_ROW))
    place = _Place(0, 0, 0, 0)
    if first_batch:
        place = _place_of(records.order, first_batch, batch_size, group_size)
    serialized = records.starting_at(place.record)
    if place.records:
        num_groups = -(-int(records.order.records_before[-1]) // group_size)
        sizes = [place.records, *[group_size] * num_groups]
        groups = serialized.rebatch(tf.constant(sizes, tf.int64))
    else:
        groups = serialized.rebatch(group_size)
    groups = groups.map(parse, **parallel)
    stacking = _Stacking(groups.element_spec, of_user)

    def append(
        state: tuple[_Group, tf.Tensor], group: _Group
    ) -> tuple[tuple[_Group, tf.Tensor], tuple[_Group, tf.Tensor]]:
        # kept: how many rows wait of a group that is not dealt out; -1 of one that is
        waiting, kept = state
        group = waiting.followed_by(group)
        num_rows = tf.size(group.user_row)
        num_batches = tf.where(kept < 0, num_rows // batch_size, 0)
        begin = tf.where(kept < 0, num_batches * batch_size, num_rows - kept)
        return (group.take(tf.range(begin, num_rows)), tf.constant(-1)), (group, num_batches)

    def repeat(group: _Group, num_batches: tf.Tensor) -> tf.data.Dataset:
        # Repeating copies no tensors.
        numbers = tf.data.Dataset.range(tf.cast(num_batches, tf.int64), output_type=tf.int32)
        return tf.data.Dataset.zip(
            (numbers, tf.data.Dataset.from_tensors((group, num_batches)).repeat())
        )

    def deal(number: tf.Tensor, group: tuple[_Group, tf.Tensor]) -> dict[str, tf.Tensor]:
        whole, num_batches = group
        return stacking.unstack(whole.take(number + num_batches * tf.range(batch_size)))

    groups = groups.map(stacking.stack, **parallel)
    kept = tf.constant(place.waiting if place.records else -1)
    dealt = groups.scan((stacking.empty(), kept), append).flat_map(repeat)
    return dealt.skip(place.batches).map(deal, **parallel)
