"""Rows that are made of users and their candidates, not laid out side by side."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf


class SplitRows(NamedTuple):
    """x = [x_u ; x_i ; x_c] of B users with N candidates each: B N rows.

    A Dense layer on a concatenation is the sum of what its parts are multiplied with: that of user
    and context is then computed once a user, and x is never made.

    Attributes:
      user: [B, D_u].
      items: [B, N, D_i].
      context: [B, D_c], or None.
    """

    user: tf.Tensor
    items: tf.Tensor
    context: tf.Tensor | None = None


def for_all_tasks(rows: tf.Tensor | SplitRows) -> tf.Tensor | SplitRows:
    """Rows [B, F] as what all tasks see, [1, B, F]; `SplitRows` are that already."""
    return rows if isinstance(rows, SplitRows) else rows[tf.newaxis]


def product(rows: tf.Tensor | SplitRows, kernel: tf.Tensor) -> tf.Tensor:
    """Rows times a kernel [F, H]: [B, H] of [B, F], [B N, H] of `SplitRows`.

    Example:

    >>> rows = SplitRows(tf.constant([[1.0]]), tf.constant([[[2.0], [3.0]]]))
    >>> product(rows, tf.constant([[10.0], [1.0]])).numpy()
    array([[12.],
           [13.]], dtype=float32)
    """
    if not isinstance(rows, SplitRows):
        return tf.matmul(rows, kernel)
    parts = [rows.user, rows.items, *([] if rows.context is None else [rows.context])]
    of_user, of_items, *of_context = tf.split(kernel, [part.shape[-1] for part in parts])
    once = tf.matmul(rows.user, of_user)
    if rows.context is not None:
        once += tf.matmul(rows.context, of_context[0])
    # found: [B, N, H]
    found = once[:, tf.newaxis] + tf.matmul(rows.items, of_items)
    return tf.reshape(found, [-1, kernel.shape[-1]])
