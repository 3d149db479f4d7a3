"""Experts of shared and of task-specific inputs, by whose gates tasks see all and teach their own.

Axes: T tasks, E = T n_t + n_s experts, B rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from mgoe_tf.layers.mlp_experts import MlpExperts
from mgoe_tf.layers.task_gates import TaskGates


class StemLayer(tf.keras.layers.Layer):
    """m_t = sum_e g_te O_e over the experts of all tasks, which only task t's loss moves t's.

        P_tj = MLP_tj(x_t)    S_j = MLP_sj(x_s)    g_t = softmax(Gate_t(x_t + x_s))
        m_t  = sum_j g_t[t,j] P_tj + sum_{t' != t, j} g_t[t',j] sg(P_t'j) + sum_j g_t[s,j] S_j
        m_s  = sum_e softmax(Gate_s(x_s))_e O_e    with `shared_stream`; nothing is stopped

    sg lets values pass and stops gradients. Experts are in the order of the tasks, shared ones
    last. Gates have biases.

    Args:
      num_tasks: T.
      num_shared, num_task_experts: n_s and n_t, together at least 1.
      units: widths of the layers of an expert; the last one is activated too.
      gate_units: widths of the hidden layers of a gate.
      gate_temperature: of the gates.
      dropout: rate after each layer of an expert.
      shared_stream: whether there is m_s, which a next layer takes.

    Call arguments:
      inputs: [T + 1, B, F], x_1 to x_T and x_s.

    Returns:
      [T, B, H], or with `shared_stream` [T + 1, B, H].

    Example:

    >>> layer = StemLayer(num_tasks=3, num_shared=2, num_task_experts=1, units=[8], gate_units=[])
    >>> layer(tf.zeros([4, 5, 20])).shape
    TensorShape([3, 5, 8])
    """

    def __init__(
        self,
        *,
        num_tasks: int,
        num_shared: int,
        num_task_experts: int,
        units: Sequence[int],
        gate_units: Sequence[int],
        gate_temperature: float = 1.0,
        dropout: float = 0.0,
        shared_stream: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if min(num_shared, num_task_experts) < 0 or num_shared + num_task_experts < 1:
            raise ValueError(
                "num_shared and num_task_experts: must be at least 0 and together at least 1, got "
                f"{num_shared} and {num_task_experts}"
            )
        self.num_tasks = num_tasks
        self.num_shared = num_shared
        self.num_task_experts = num_task_experts
        self.units = tuple(units)
        self.gate_units = tuple(gate_units)
        self.gate_temperature = gate_temperature
        self.dropout = dropout
        self.shared_stream = shared_stream
        self.own_experts: MlpExperts | None = None
        self.shared_experts: MlpExperts | None = None
        mlp: dict[str, Any] = {"units": units, "dropout": dropout}
        if num_task_experts:
            self.own_experts = MlpExperts(
                num_tasks=num_tasks,
                num_shared=0,
                num_task_experts=num_task_experts,
                **mlp,
                name="own_experts",
            )
        if num_shared:
            self.shared_experts = MlpExperts(
                num_tasks=1, num_shared=num_shared, num_task_experts=0, **mlp, name="shared_experts"
            )
        self.gates = TaskGates(
            num_tasks=num_tasks + shared_stream,
            num_experts=num_tasks * num_task_experts + num_shared,
            use_bias=True,
            units=gate_units,
            temperature=gate_temperature,
            name="gates",
        )

    def gate_weights(self, inputs: tf.Tensor) -> tf.Tensor:
        """g_1 to g_T, and that of m_s where there is one: float32 [T or T + 1, B, E]."""
        of_tasks, shared = tf.split(inputs, [self.num_tasks, 1])
        seen = of_tasks + shared
        return self.gates(tf.concat([seen, shared], axis=0) if self.shared_stream else seen)

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        of_tasks, shared = tf.split(inputs, [self.num_tasks, 1])
        gates = tf.cast(self.gate_weights(inputs), self.compute_dtype)
        # own_gates: [T, B, T * n_t]; shared_gates: [T, B, n_s]
        own_gates, shared_gates = tf.split(
            gates[: self.num_tasks],
            [self.num_tasks * self.num_task_experts, self.num_shared],
            axis=-1,
        )
        # outputs: those of the experts, [n, B, H] each
        outputs, mixed = [], []
        if self.own_experts is not None:
            own = self.own_experts(of_tasks, training=training)
            outputs.append(tf.reshape(own, [own_gates.shape[-1], -1, self.units[-1]]))
            mixed += self._mixed_own(own_gates, own, tf.stop_gradient(outputs[0]))
        if self.shared_experts is not None:
            outputs.append(self.shared_experts(shared, training=training)[0])
            mixed.append(_mix(outputs[-1], shared_gates))
        found = tf.add_n(mixed)
        if not self.shared_stream:
            return found
        stream = _mix(tf.concat(outputs, axis=0), gates[self.num_tasks :])
        return tf.concat([found, stream], axis=0)

    def _mixed_own(self, gates: tf.Tensor, own: tf.Tensor, stopped: tf.Tensor) -> list[tf.Tensor]:
        """What a task mixes of its own experts and of those of others: [T, B, H] each.

        Args:
          gates: [T, B, T * n_t].
          own: P, [T, n_t, B, H].
          stopped: sg(P), [T * n_t, B, H].
        """
        by_owner = tf.reshape(gates, [self.num_tasks, -1, self.num_tasks, self.num_task_experts])
        # is_own: [T, 1, T, 1]
        is_own = tf.eye(self.num_tasks, dtype=gates.dtype)[:, tf.newaxis, :, tf.newaxis]
        of_own = tf.reduce_sum(by_owner * is_own, axis=2)
        of_others = tf.reshape(by_owner * (1.0 - is_own), tf.shape(gates))
        return [tf.einsum("tbj,tjbh->tbh", of_own, own), _mix(stopped, of_others)]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_tasks": self.num_tasks,
            "num_shared": self.num_shared,
            "num_task_experts": self.num_task_experts,
            "units": self.units,
            "gate_units": self.gate_units,
            "gate_temperature": self.gate_temperature,
            "dropout": self.dropout,
            "shared_stream": self.shared_stream,
        }


def _mix(outputs: tf.Tensor, gates: tf.Tensor) -> tf.Tensor:
    """sum_e g_te O_e of experts that all tasks see: [E, B, H] by [T, B, E] is [T, B, H]."""
    return tf.einsum("tbe,ebh->tbh", gates, outputs)
