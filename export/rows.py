"""Rows of a request: whose they are, and which of them can be scored.

Axes: B users, or flat rows; N candidates of a user.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import tensorflow as tf

from input_pipeline.feature import Feature


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


def same_candidates(features: Mapping[str, tf.Tensor], declared: Sequence[Feature]) -> tf.Operation:
    """An assertion that all features have the same B, and the candidates' the same N.

    Args:
      features: of users and context [B, ...], of items [B, N, ...], by name.
      declared: what they are.
    """
    users = [tf.shape(features[f.name])[0] for f in declared]
    candidates = [tf.shape(features[f.name])[1] for f in declared if f.owner == "item"]
    return tf.debugging.Assert(
        tf.reduce_all(tf.stack(users) == users[0])
        & tf.reduce_all(tf.stack(candidates) == candidates[0]),
        ["users must be [B, ...] and candidates [B, N, ...], got B and N", users, candidates],
    )


def same_users(features: Mapping[str, tf.Tensor]) -> list[tf.Operation]:
    """Assertions that the context's features are of as many users as the candidates.

    Args:
      features: `user_id` [B], `item_id` [B, N], and those of the context [B, ...], by name.
    """
    return [
        tf.debugging.assert_equal(  # a GPU would read zeros beyond the last one
            tf.shape(features[name])[0],
            tf.shape(features["item_id"])[0],
            f"{name} must be of as many users as item_id",
        )
        for name in sorted(features.keys() - {"user_id", "item_id"})
    ]


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
