"""The exponential moving average of an id table, at the cost of the rows that a step touches.

After each step, s <- decay s + (1 - decay) w. While a row is not touched its w stays, and n steps
come to

    s <- w + decay^n (s - w)

so a row's average is brought up to date when the row is touched next, or when it is asked for. The
result is that of a pass over the whole table at each step, but for rounding.

A row is kept as [s, t], float32 [D + 1], t being the step after which s held; steps are counted
exactly up to 2^24, and to one in eight million beyond.
"""

from __future__ import annotations

import tensorflow as tf


def rows_of_table(table: tf.Tensor) -> tf.Tensor:
    """The state before the first step: [V, D + 1] of [V, D]."""
    return tf.concat([table, tf.zeros([tf.shape(table)[0], 1], table.dtype)], axis=1)


def updated_rows(
    rows: tf.Tensor, old: tf.Tensor, new: tf.Tensor, *, step: tf.Tensor, decay: float
) -> tf.Tensor:
    """The state of some rows after a step that touched them.

    Args:
      rows: [R, D + 1], their state.
      old, new: [R, D], their weights before and after the step.
      step: the number of the step, from 1.
      decay: in [0, 1).

    Returns:
      [R, D + 1].
    """
    step = tf.cast(step, rows.dtype)
    average = decay * of_table(rows, old, step=step - 1.0, decay=decay) + (1.0 - decay) * new
    return tf.concat([average, tf.fill([tf.shape(rows)[0], 1], step)], axis=1)


def of_table(rows: tf.Tensor, weights: tf.Tensor, *, step: tf.Tensor, decay: float) -> tf.Tensor:
    """The averages after so many steps, [R, D], of rows that have had these weights [R, D]."""
    since = tf.cast(step, rows.dtype) - rows[:, -1:]
    return weights + tf.pow(tf.constant(decay, rows.dtype), since) * (rows[:, :-1] - weights)
