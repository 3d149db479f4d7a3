"""Probabilities of tasks that can happen only where another task does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf


class TaskHierarchy(tf.keras.layers.Layer):
    """p_t = sigmoid(s_t) p_parent(t), and p_t = sigmoid(s_t) of a task without a parent.

    In logits, where nothing underflows: log p_t = log sigmoid(s_t) + log p_parent, and
    log(1 - p_t) = log((1 - p_parent) + p_parent sigmoid(-s_t)) by the logarithm of a sum of
    exponentials, whose terms all have one sign; the logit is their difference. So loss and
    gradients are finite at any s_t. Everything is float32 under any policy, because logits are.

    Args:
      parents: of each task the number of its parent, or None.

    Call arguments:
      inputs: [T, B], s_t: the logits of each task where its parent happens.

    Returns:
      float32 [T, B], the logits of p_t.

    Example:

    >>> TaskHierarchy(parents=[None, 0])(tf.constant([[0.0], [0.0]])).numpy()
    array([[ 0.       ],
           [-1.0986123]], dtype=float32)
    """

    def __init__(self, *, parents: Sequence[int | None], **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.parents = tuple(parents)
        self._order = in_order(self.parents)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        conditional = tf.unstack(inputs, num=len(self.parents))
        # log p_t and log(1 - p_t): [B] each
        yes, no = dict[int, tf.Tensor](), dict[int, tf.Tensor]()
        logits = list(conditional)
        for task in self._order:
            parent = self.parents[task]
            yes[task] = tf.math.log_sigmoid(conditional[task])
            no[task] = tf.math.log_sigmoid(-conditional[task])
            if parent is not None:
                yes[task] += yes[parent]
                ways = tf.stack([no[parent], yes[parent] + no[task]])
                no[task] = tf.reduce_logsumexp(ways, axis=0)
                logits[task] = yes[task] - no[task]
        return tf.stack(logits)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "parents": self.parents}


def in_order(parents: Sequence[int | None]) -> tuple[int, ...]:
    """The tasks, each after its parent.

    Raises:
      ValueError: a parent is no other task's number, or tasks are each other's parents.
    """
    numbers = range(len(parents))
    if any(parent is not None and parent not in numbers for parent in parents):
        raise ValueError(
            f"parents: must be None or numbers below {len(parents)}, got {list(parents)}"
        )
    found: list[int] = []
    while len(found) < len(parents):
        ready = [t for t in numbers if t not in found and parents[t] in (None, *found)]
        if not ready:
            raise ValueError(f"parents: must not go round in a circle, got {list(parents)}")
        found += ready
    return tuple(found)
