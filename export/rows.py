"""Rows of a request: whose they are, and which of them can be scored.

Axes: B users, or flat rows; N candidates of a user.
"""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf


def both_valid(one: tf.Tensor | None, other: tf.Tensor | None) -> tf.Tensor | None:
    """Which rows are valid by both, bool [B]; None: all."""
    if one is None or other is None:
        return other if one is None else one
    return one & other


def nan_unless(valid: tf.Tensor | None, outputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Outputs [B, ...] with NaN in the rows that are not valid, bool [B] (None: all are)."""
    if valid is None:
        return dict(outputs)

    def masked(name: str, value: tf.Tensor) -> tf.Tensor:
        mask = tf.reshape(valid, [-1, *[1] * (value.shape.rank - 1)])
        return tf.where(mask, value, float("nan"), name=name)

    return {name: masked(name, value) for name, value in outputs.items()}


class CandidateRows:
    """The flat rows of B users with N candidates each."""

    def __init__(self, user_id: tf.Tensor, item_id: tf.Tensor) -> None:
        self.shape = tf.shape(item_id)
        users = tf.shape(user_id)[0]
        # user_row: int32 [B * N], which user a row is of
        self.user_row = tf.repeat(tf.range(users), self.shape[1])
        self._size = tf.reduce_prod(self.shape)

    def flatten(self, value: tf.Tensor) -> tf.Tensor:
        """[B, N, ...] -> [B * N, ...]."""
        return tf.reshape(value, [self._size, *value.shape[2:]])

    def laid_out(self, value: tf.Tensor, owner: str) -> tf.Tensor:
        """A feature as `rank` reads it: of users and context [B, ...], of items by row."""
        return self.flatten(value) if owner == "item" else tf.identity(value)

    def unflatten(self, outputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """[B * N, ...] -> [B, N, ...]."""
        return {
            name: tf.reshape(value, tf.concat([self.shape, value.shape[1:]], axis=0), name=name)
            for name, value in outputs.items()
        }
