"""PLE, progressive layered extraction; one level of it is CGC."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from input_pipeline.commands.options import option
from input_pipeline.spec import DatasetSpec
from mgoe_tf.layers.progressive_extraction import ProgressiveExtraction
from mgoe_tf.models.base import Features, RankingModel, concatenated
from mgoe_tf.models.options import GatedOptions, require


@dataclasses.dataclass(frozen=True)
class PLEOptions(GatedOptions):
    """Sizes of PLE."""

    num_levels: int = option(
        2, "L, levels of experts. 1 is CGC, customised gate control, which has no shared gate."
    )
    num_shared_experts: int = option(1, "m_s, experts of a level that all tasks share.")
    num_task_experts: int = option(1, "m_t, experts of each task of a level.")
    expert_units: tuple[int, ...] = option((64, 32), "Layers of an expert of every level.")

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "at least 1", ("num_levels", "expert_units"), lambda value: value >= 1)
        experts = ("num_shared_experts", "num_task_experts")
        require(self, "at least 0", experts, lambda value: value >= 0)
        if self.num_shared_experts + self.num_task_experts < 1:
            raise ValueError("--num_shared_experts + --num_task_experts: must be at least 1, got 0")


class PLE(RankingModel):
    """s_t = Tower_t(a_t^L), a_t^L from L levels of experts (see `ProgressiveExtraction`).

    Level l mixes the task's experts, which read a_t^{l-1}, and the shared ones, which read
    s^{l-1}, by softmax(a_t^{l-1} W_t); the shared stream s^l mixes all experts of all tasks by
    softmax(s^{l-1} W_s), but for the last level, which has no shared gate. a_t^0 = s^0 =
    x = [x_u ; x_i ; x_c]. A level has m_s + T m_t experts.

    Source: Tang et al., RecSys 2020. Their defaults differ by code: two levels, m_s = m_t = 1,
    experts of 256, towers of 64 (DeepCTR); two levels of 512, then 256, m_s = m_t = 4 (MTReclib).
    That each task learns from the rows of its own sample space alone is what missing labels are
    for. Weights of losses do not decay by epochs (gamma is 1): the weightings of training do what
    that is for. Args, input and output as `RankingModel`.
    """

    options_class = PLEOptions
    options: PLEOptions
    reads_concatenated = True

    def __init__(
        self, *, spec: DatasetSpec, options: PLEOptions | None = None, **kwargs: Any
    ) -> None:
        super().__init__(spec=spec, options=options, **kwargs)
        options = self.options
        self.extraction = ProgressiveExtraction(
            num_tasks=len(spec.tasks),
            num_levels=options.num_levels,
            num_shared=options.num_shared_experts,
            num_task_experts=options.num_task_experts,
            units=options.expert_units,
            dropout=options.dropout,
            gate_temperature=options.gate_temperature,
            name="extraction",
        )
        self.towers = self.prediction_towers()

    @property
    def last_shared_weights(self) -> tuple[tf.Variable, ...]:
        return tuple(bank.kernels[-1] for bank in self.extraction.shared_experts[-1:])

    @property
    def expert_names(self) -> tuple[str, ...]:
        options = self.options
        shared = (f"shared_{number}" for number in range(options.num_shared_experts))
        own = (f"own_{number}" for number in range(options.num_task_experts))
        return (*shared, *own)

    def network(self, inputs: Mapping[str, Any], training: bool = False) -> dict[str, tf.Tensor]:
        x = concatenated(inputs)
        extracted = self.extraction(x, training=training)
        return self.by_task(self.towers(extracted, training=training))

    def diagnostics(self, features: Features) -> dict[str, tf.Tensor]:
        """Means over a batch.

        Returns:
          Of `describe_gates`, `gates` of the last level and `level_<l>_gates` of those before it;
          and `shared_stream/level_<l>` [m_s + T m_t], the weights of the shared gate: shared
          experts, then each task's.
        """
        levels = self.extraction.levels(concatenated(self.embed(features)))
        found: dict[str, tf.Tensor] = {}
        for number, level in enumerate(levels, start=1):
            stage = "gates" if number == len(levels) else f"level_{number}_gates"
            found |= self.describe_gates(stage, level.task_gates)
            if level.shared_gates is not None:
                found[f"shared_stream/level_{number}"] = tf.reduce_mean(
                    level.shared_gates, axis=[0, 1]
                )
        return found
