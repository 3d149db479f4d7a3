"""Where the rows of an id table lie when the table is cut into shards.

Vocabularies begin with the ids that came first, which are popular ones, and shards are ranges of
rows: the first shard would be read most. So index i of a table of V rows lies in row

    a i mod V,  a the first number from 0.618 V on without a divisor in common with V

Neighbouring indices lie about 0.618 V (modulo V) apart, hence evenly over shards, however many.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import tensorflow as tf

_GOLDEN_SHARE = (math.sqrt(5.0) - 1.0) / 2.0


def multiplier(rows: int) -> int:
    """a, of a table of so many rows, at least 1.

    >>> multiplier(10)
    7
    """
    if rows < 1:
        raise ValueError(f"rows: must be at least 1, got {rows}")
    first = max(1, int(rows * _GOLDEN_SHARE))
    return next(a for a in range(first, first + rows) if math.gcd(a, rows) == 1)


def place(index: tf.Tensor, a: int | tf.Tensor, rows: int) -> tf.Tensor:
    """The rows in which indices lie, int64, of the same shape."""
    return tf.cast(index, tf.int64) * tf.cast(a, tf.int64) % rows


class RowOrders(tf.Module):
    """The orders of some tables, as a checkpoint records them.

    Args:
      rows: how many each table has, by its name.
    """

    def __init__(self, rows: Mapping[str, int]) -> None:
        super().__init__(name="row_orders")
        self.multipliers = {
            name: tf.Variable(multiplier(count), dtype=tf.int64, trainable=False, name=name)
            for name, count in rows.items()
        }

    def by_table(self) -> dict[str, int]:
        """a by table."""
        return {name: int(a.numpy()) for name, a in self.multipliers.items()}


def recorded(checkpoint: str, names: list[str]) -> dict[str, int]:
    """a by table, of the tables whose order a checkpoint of a run records."""
    reader = tf.train.load_checkpoint(checkpoint)
    keys = {name: f"row_orders/multipliers/{name}/.ATTRIBUTES/VARIABLE_VALUE" for name in names}
    return {n: int(reader.get_tensor(key)) for n, key in keys.items() if reader.has_tensor(key)}


def to_index_order(variable: tf.Variable, a: int) -> None:
    """Puts the rows of a table, or of what goes with one, where a whole table has them."""
    rows = variable.shape[0]
    variable.assign(
        tf.nn.embedding_lookup(variable, place(tf.range(rows, dtype=tf.int64), a, rows))
    )
