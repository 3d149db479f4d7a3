"""Rows that share users."""

from __future__ import annotations

import tensorflow as tf


def by_row(values: tf.Tensor, user_row: tf.Tensor | None, axis: int = 0) -> tf.Tensor:
    """What is known of R users, laid out by the B rows along `axis`.

    Args:
      values: [..., R, ...].
      user_row: int32 [B], the user of each row; None: every row is of a user of its own.
      axis: where R is.

    Returns:
      [..., B, ...].

    Example:

    >>> by_row(tf.constant([1.0, 2.0]), tf.constant([0, 0, 1])).numpy()
    array([1., 1., 2.], dtype=float32)
    """
    return values if user_row is None else tf.gather(values, user_row, axis=axis)
