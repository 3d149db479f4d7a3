"""Parsed requests -> batches of exactly so many rows.

Requests are parsed some hundreds at a time. The rows of such a group are dealt out like cards to as
many batches as they fill, so that a user's rows meet in few batches; what is left over waits for
the next group. A batch holds the features of each of its requests' users once.

Axes: R requests, N rows of them, B rows of a batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

import tensorflow as tf

from input_pipeline.feature import USER_ROW

Columns = Mapping[str, tf.Tensor]

# Requests that are dealt out together, for each row of a batch. A request has some 20 rows where
# users have many, so that they fill five batches.
_REQUESTS_PER_ROW = 0.25


class _Group(NamedTuple):
    """Columns side by side in one matrix a type, as moving a few wide ones costs least.

    Attributes:
      users: [R, widths of all columns of a type] by type.
      rows: [N, ..].
      user_row: int32 [N], below R.
    """

    users: dict[str, tf.Tensor]
    rows: dict[str, tf.Tensor]
    user_row: tf.Tensor

    def take(self, index: tf.Tensor) -> _Group:
        """Some rows, and the users that they need."""
        needed, user_row = tf.unique(tf.gather(self.user_row, index))
        return _Group(
            {dtype: tf.gather(matrix, needed) for dtype, matrix in self.users.items()},
            {dtype: tf.gather(matrix, index) for dtype, matrix in self.rows.items()},
            user_row,
        )


class _Packing:
    """Which columns lie side by side.

    Args:
      columns: what a group of requests has, by name.
      of_user: names of the features of a user; columns go by the part before a slash.
    """

    def __init__(self, columns: Mapping[str, tf.TensorSpec], of_user: Collection[str]) -> None:
        self._columns = columns
        self._users: dict[str, list[str]] = {}
        self._rows: dict[str, list[str]] = {}
        for name in sorted(columns.keys() - {USER_ROW}):
            side = self._users if name.partition("/")[0] in of_user else self._rows
            side.setdefault(columns[name].dtype.name, []).append(name)

    def pack(self, columns: Columns) -> _Group:
        users, rows = (
            {
                dtype: tf.concat(
                    [tf.reshape(columns[name], [-1, self._width(name)]) for name in names], axis=1
                )
                for dtype, names in side.items()
            }
            for side in (self._users, self._rows)
        )
        return _Group(users, rows, columns[USER_ROW])

    def unpack(self, group: _Group) -> dict[str, tf.Tensor]:
        columns = {USER_ROW: group.user_row}
        for side, matrices in ((self._users, group.users), (self._rows, group.rows)):
            for dtype, names in side.items():
                parts = tf.split(matrices[dtype], [self._width(name) for name in names], axis=1)
                for name, part in zip(names, parts, strict=True):
                    columns[name] = part if self._columns[name].shape.rank > 1 else part[:, 0]
        return columns

    def empty(self) -> _Group:
        """No rows."""
        return self.pack(
            {
                name: tf.zeros([0, *spec.shape[1:]], spec.dtype)
                for name, spec in self._columns.items()
            }
        )

    def _width(self, name: str) -> int:
        return math.prod(self._columns[name].shape[1:])


def request_batches(
    blocks: tf.data.Dataset,
    parse: Callable[[tf.Tensor], Columns],
    batch_size: int,
    of_user: Collection[str],
) -> tf.data.Dataset:
    """Batches of `batch_size` rows; the rows of an incomplete last one are dropped.

    Args:
      blocks: serialized requests in random order, string [..].
      parse: from requests to dense columns by name: R rows for the features of a user, N for
        others; `user_row`, int32 [N], is below R.
      batch_size: B.
      of_user: names of the features of a user; columns go by the part before a slash.

    Returns:
      The same columns with B for N, and as many rows for R as the batch has requests.
    """
    parallel = {"num_parallel_calls": tf.data.AUTOTUNE, "deterministic": True}
    groups = blocks.rebatch(max(1, int(batch_size * _REQUESTS_PER_ROW))).map(parse, **parallel)
    packing = _Packing(groups.element_spec, of_user)

    def append(waiting: _Group, group: _Group) -> tuple[_Group, tuple[_Group, tf.Tensor]]:
        num_users = tf.reduce_max(tf.concat([[-1], waiting.user_row], axis=0)) + 1
        group = group._replace(user_row=group.user_row + num_users)
        group = tf.nest.map_structure(lambda *parts: tf.concat(parts, axis=0), waiting, group)
        num_rows = tf.size(group.user_row)
        num_batches = num_rows // batch_size
        return group.take(tf.range(num_batches * batch_size, num_rows)), (group, num_batches)

    def repeat(group: _Group, num_batches: tf.Tensor) -> tf.data.Dataset:
        # Repeating copies no tensors.
        numbers = tf.data.Dataset.range(tf.cast(num_batches, tf.int64), output_type=tf.int32)
        return tf.data.Dataset.zip(
            (numbers, tf.data.Dataset.from_tensors((group, num_batches)).repeat())
        )

    def deal(number: tf.Tensor, group: tuple[_Group, tf.Tensor]) -> dict[str, tf.Tensor]:
        whole, num_batches = group
        return packing.unpack(whole.take(number + num_batches * tf.range(batch_size)))

    groups = groups.map(packing.pack, **parallel)
    dealt = groups.scan(packing.empty(), append).flat_map(repeat)
    return dealt.map(deal, **parallel)
