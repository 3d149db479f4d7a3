"""Parsed requests -> batches of exactly so many rows.

Requests are parsed some hundreds at a time. The rows of such a group are dealt out like cards to as
many batches as they fill, so that a user's rows meet in few batches; what is left over waits for
the next group. A batch holds the features of each of its users once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import tensorflow as tf

from input_pipeline.spec import USER_ROW

Columns = Mapping[str, tf.Tensor]

# Requests that are dealt out together, for each row of a batch. A request has some 20 rows where
# users have many, so that they fill five batches.
_REQUESTS_PER_ROW = 0.25


def request_batches(
    blocks: tf.data.Dataset,
    parse: Callable[[tf.Tensor], Columns],
    batch_size: int,
    of_user: Collection[str],
) -> tf.data.Dataset:
    """Batches of `batch_size` rows; the rows of an incomplete last one are dropped.

    Args:
      blocks: serialized requests in random order, string [..].
      parse: from requests to columns by name: R rows for the features of a user, N for others;
        `user_row`, int32 [N], is below R.
      batch_size: B.
      of_user: names of the features of a user; columns go by the part before a slash.

    Returns:
      The same columns with B for N, and as many rows for R as the batch has users.
    """

    def split(columns: Columns) -> tuple[Columns, Columns]:
        users = {n: v for n, v in columns.items() if n.partition("/")[0] in of_user}
        return users, {name: value for name, value in columns.items() if name not in users}

    def take(columns: Columns, index: tf.Tensor) -> dict[str, tf.Tensor]:
        """Some rows, and the users that they need."""
        users, rows = split(columns)
        rows = {name: tf.gather(value, index) for name, value in rows.items()}
        needed, rows[USER_ROW] = tf.unique(rows[USER_ROW])
        return {**rows, **{name: tf.gather(value, needed) for name, value in users.items()}}

    def append(waiting: Columns, group: Columns) -> tuple[Columns, tuple[Columns, tf.Tensor]]:
        num_users = tf.reduce_max(tf.concat([[-1], waiting[USER_ROW]], axis=0)) + 1
        group = {**group, USER_ROW: group[USER_ROW] + num_users}
        columns = {name: tf.concat([waiting[name], group[name]], axis=0) for name in group}
        num_rows = tf.size(columns[USER_ROW])
        num_batches = num_rows // batch_size
        waiting = take(columns, tf.range(num_batches * batch_size, num_rows))
        return waiting, (columns, num_batches)

    def repeat(columns: Columns, num_batches: tf.Tensor) -> tf.data.Dataset:
        # Repeating copies no tensors.
        numbers = tf.data.Dataset.range(tf.cast(num_batches, tf.int64), output_type=tf.int32)
        group = tf.data.Dataset.from_tensors((columns, num_batches)).repeat()
        return tf.data.Dataset.zip((numbers, group))

    def deal(number: tf.Tensor, group: tuple[Columns, tf.Tensor]) -> Columns:
        columns, num_batches = group
        return take(columns, number + num_batches * tf.range(batch_size))

    parallel = {"num_parallel_calls": tf.data.AUTOTUNE, "deterministic": True}
    groups = blocks.rebatch(max(1, int(batch_size * _REQUESTS_PER_ROW))).map(parse, **parallel)
    nothing = {
        name: tf.zeros([0, *spec.shape[1:]], spec.dtype)
        for name, spec in groups.element_spec.items()
    }
    return groups.scan(nothing, append).flat_map(repeat).map(deal, **parallel)
