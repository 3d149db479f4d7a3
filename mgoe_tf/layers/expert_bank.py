"""The common part of all banks of experts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from mgoe_tf.layers.initializers import StackedGlorotUniform


class ExpertBank(tf.keras.layers.Layer):
    """Experts as single tensors: n_s experts that all tasks share, then n_t of each task.

    A weight of all experts is one variable [n_s + T * n_t, ...], shared experts first. What task t
    uses are X = n_s + n_t of them; `by_task` lays them out as [T, X, ...].

    Args:
      num_tasks: T.
      num_shared: n_s.
      num_task_experts: n_t.

    Example:

    >>> bank = ExpertBank(num_tasks=4, num_shared=2, num_task_experts=1)
    >>> kernel = bank.add_expert_weight("kernel", [10, 16])
    >>> kernel.shape, bank.by_task(kernel).shape
    (TensorShape([6, 10, 16]), TensorShape([4, 3, 10, 16]))
    """

    def __init__(
        self, *, num_tasks: int, num_shared: int, num_task_experts: int, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if num_tasks < 1:
            raise ValueError(f"num_tasks: must be at least 1, got {num_tasks}")
        if min(num_shared, num_task_experts) < 0 or num_shared + num_task_experts < 1:
            raise ValueError(
                "num_shared and num_task_experts: must be at least 0 and together at least 1, got "
                f"{num_shared} and {num_task_experts}"
            )
        self.num_tasks = num_tasks
        self.num_shared = num_shared
        self.num_task_experts = num_task_experts
        self.expert_weights: list[tf.Variable] = []

    @property
    def experts_of_task(self) -> int:
        """X = n_s + n_t."""
        return self.num_shared + self.num_task_experts

    def add_expert_weight(
        self, name: str, shape: Sequence[int], initializer: Any = None
    ) -> tf.Variable:
        """A weight of this shape for each expert; without an initializer, a Glorot kernel."""
        weight = self.add_weight(
            name=name,
            shape=[self.num_shared + self.num_tasks * self.num_task_experts, *shape],
            initializer=initializer or StackedGlorotUniform(),
        )
        self.expert_weights.append(weight)
        return weight

    def by_task(self, weight: tf.Variable) -> tf.Tensor:
        """Lays a weight out by the tasks that use it, in the compute dtype: [T, X, ...]."""
        own_count = self.num_tasks * self.num_task_experts
        # split, not slices: its gradient is one concatenation.
        shared, own = tf.split(tf.cast(weight, self.compute_dtype), [self.num_shared, own_count])
        shape = weight.shape[1:]
        shared = tf.broadcast_to(shared, [self.num_tasks, self.num_shared, *shape])
        own = tf.reshape(own, [self.num_tasks, self.num_task_experts, *shape])
        return tf.concat([shared, own], axis=1)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_tasks": self.num_tasks,
            "num_shared": self.num_shared,
            "num_task_experts": self.num_task_experts,
        }
