"""Experts of tasks and shared ones, layered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from mgoe_tf.layers.mlp_experts import MlpExperts
from mgoe_tf.layers.split_rows import SplitRows, for_all_tasks
from mgoe_tf.layers.task_gates import TaskGates, mix


class Extraction(NamedTuple):
    """What a level makes.

    Attributes:
      tasks: [T, B, H], a_t.
      shared: [1, B, H], s; None after the last level, and where no expert is shared.
      task_gates: float32 [T, B, m_s + m_t], shared experts first.
      shared_gates: float32 [1, B, m_s + T m_t], shared experts first; None where `shared` is.
    """

    tasks: tf.Tensor
    shared: tf.Tensor | None
    task_gates: tf.Tensor
    shared_gates: tf.Tensor | None


class ProgressiveExtraction(tf.keras.layers.Layer):
    """a_t^l = sum_j softmax(a_t^{l-1} W_t^l)_j {S, P_t}_j, from a_t^0 = s^0 = x to a_t^L.

    Level l has the experts P_{t,j} = MLP(a_t^{l-1}) of each task and the shared ones
    S_j = MLP(s^{l-1}). Between levels, l < L, all experts of all tasks make up the shared stream:
    s^l = sum_j softmax(s^{l-1} W_s^l)_j {S, P_1, ..., P_T}_j; without shared experts there is none,
    as nothing would read it. Gates have no bias. L = 1 is customised gate control, CGC.

    Source: Tang et al., "Progressive layered extraction", RecSys 2020.

    Args:
      num_tasks: T.
      num_levels: L.
      num_shared: m_s, shared experts of a level.
      num_task_experts: m_t, experts of each task of a level.
      units: widths of the layers of every expert of every level.
      dropout: rate after each layer of an expert.
      gate_temperature: of all gates, see `TaskGates`.

    Call arguments:
      inputs: [B, F], x, or `SplitRows`.

    Returns:
      [T, B, H], a_t^L, H the last of `units`.

    Example:

    >>> extraction = ProgressiveExtraction(
    ...     num_tasks=4, num_levels=2, num_shared=2, num_task_experts=1, units=[64, 32]
    ... )
    >>> extraction(tf.zeros([5, 20])).shape
    TensorShape([4, 5, 32])
    """

    def __init__(
        self,
        *,
        num_tasks: int,
        num_levels: int,
        num_shared: int,
        num_task_experts: int,
        units: Sequence[int],
        dropout: float = 0.0,
        gate_temperature: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if num_levels < 1:
            raise ValueError(f"num_levels: must be at least 1, got {num_levels}")
        if min(num_shared, num_task_experts) < 0 or num_shared + num_task_experts < 1:
            raise ValueError(
                "num_shared and num_task_experts: must be at least 0 and together at least 1, got "
                f"{num_shared} and {num_task_experts}"
            )
        self.num_tasks = num_tasks
        self.num_levels = num_levels
        self.num_shared = num_shared
        self.num_task_experts = num_task_experts
        self.units = tuple(units)
        self.dropout = dropout
        self.gate_temperature = gate_temperature
        levels = range(1, num_levels + 1)
        # By level; of what there is none of, an empty list.
        self.task_experts = [
            self._experts(num_tasks, 0, num_task_experts, f"task_experts_{level}")
            for level in levels
            if num_task_experts
        ]
        self.shared_experts = [
            self._experts(1, num_shared, 0, f"shared_experts_{level}")
            for level in levels
            if num_shared
        ]
        self.task_gates = [
            TaskGates(
                num_tasks=num_tasks,
                num_experts=num_shared + num_task_experts,
                temperature=gate_temperature,
                name=f"task_gates_{level}",
            )
            for level in levels
        ]
        self.shared_gates = [
            TaskGates(
                num_tasks=1,
                num_experts=num_shared + num_tasks * num_task_experts,
                temperature=gate_temperature,
                name=f"shared_gates_{level}",
            )
            for level in levels
            if num_shared and level < num_levels
        ]

    def _experts(
        self, num_tasks: int, num_shared: int, num_task_experts: int, name: str
    ) -> MlpExperts:
        return MlpExperts(
            num_tasks=num_tasks,
            num_shared=num_shared,
            num_task_experts=num_task_experts,
            units=self.units,
            dropout=self.dropout,
            name=name,
        )

    def levels(
        self, inputs: tf.Tensor | SplitRows, training: bool | None = None
    ) -> list[Extraction]:
        """What each level makes of x."""
        found: list[Extraction] = []
        # [1, B, F] where all streams are still the same
        first = inputs if isinstance(inputs, SplitRows) else tf.cast(inputs, self.compute_dtype)
        tasks = shared = for_all_tasks(first)
        for level in range(self.num_levels):
            # Banks of experts, each with the weights that tasks and the shared stream give it:
            # [1, m_s, B, H] and [T, m_t, B, H]
            banks = []
            if self.num_shared:
                banks.append(self.shared_experts[level](shared, training=training))
            if self.num_task_experts:
                banks.append(self.task_experts[level](tasks, training=training))
            task_gates = self.task_gates[level](tasks if level else first)
            shared_gates = None
            tasks = _mix_banks(banks, task_gates)
            if level < len(self.shared_gates):
                shared_gates = self.shared_gates[level](shared)
                # every task's experts in one row: [1, T * m_t, B, H]
                rows = [
                    tf.reshape(bank, [1, bank.shape[0] * bank.shape[1], -1, bank.shape[3]])
                    for bank in banks
                ]
                shared = _mix_banks(rows, shared_gates)
            found.append(
                Extraction(
                    tasks, None if shared_gates is None else shared, task_gates, shared_gates
                )
            )
        return found

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        return self.levels(inputs, training)[-1].tasks

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_tasks": self.num_tasks,
            "num_levels": self.num_levels,
            "num_shared": self.num_shared,
            "num_task_experts": self.num_task_experts,
            "units": self.units,
            "dropout": self.dropout,
            "gate_temperature": self.gate_temperature,
        }


def _mix_banks(banks: Sequence[tf.Tensor], gates: tf.Tensor) -> tf.Tensor:
    """sum_j g_tj outputs_tj over the experts of all banks: [T, B, H].

    Args:
      banks: [T, X_i, B, H] each, or [1, X_i, B, H] of experts that all tasks share.
      gates: [T, B, X], X the sum of X_i.
    """
    parts = tf.split(gates, [bank.shape[1] for bank in banks], axis=-1)
    return tf.add_n([mix(bank, part) for bank, part in zip(banks, parts, strict=True)])
