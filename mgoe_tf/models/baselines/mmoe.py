"""MMoE, the multi-gate mixture of experts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from input_pipeline.commands.options import option
from input_pipeline.spec import DatasetSpec
from mgoe_tf.layers.mlp_experts import MlpExperts
from mgoe_tf.layers.split_rows import for_all_tasks
from mgoe_tf.layers.task_gates import TaskGates, mix
from mgoe_tf.models.base import Features, RankingModel, concatenated
from mgoe_tf.models.options import GatedOptions, require


@dataclasses.dataclass(frozen=True)
class MMoEOptions(GatedOptions):
    """Sizes of MMoE."""

    num_experts: int = option(4, "Number of experts, shared by all tasks.")
    expert_units: tuple[int, ...] = option((64, 32), "Layers of an expert.")

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "at least 1", ("num_experts", "expert_units"), lambda value: value >= 1)


class MMoE(RankingModel):
    """s_t = Tower_t(sum_e softmax_e(x W_t)_e MLP_e(x)) with x = [x_u ; x_i ; x_c].

    Source: Ma et al., KDD 2018. Experts are fed the same x by all tasks; gates have no bias and
    no hidden layer, as in the original. Published: 8 experts of one layer of 16, towers of 8; in
    public code 3 experts of 256-128 (DeepCTR), 8 of 512-256-128 (FuxiCTR). Args, input and output
    as `RankingModel`.
    """

    options_class = MMoEOptions
    options: MMoEOptions
    reads_concatenated = True

    def __init__(
        self, *, spec: DatasetSpec, options: MMoEOptions | None = None, **kwargs: Any
    ) -> None:
        super().__init__(spec=spec, options=options, **kwargs)
        options = self.options
        # One bank for all tasks: a single task axis, whose experts are all shared.
        self.experts = MlpExperts(
            num_tasks=1,
            num_shared=options.num_experts,
            num_task_experts=0,
            units=options.expert_units,
            dropout=options.dropout,
            name="experts",
        )
        self.gates = TaskGates(
            num_tasks=len(spec.tasks),
            num_experts=options.num_experts,
            temperature=options.gate_temperature,
            name="gates",
        )
        self.towers = self.prediction_towers()

    @property
    def last_shared_weights(self) -> tuple[tf.Variable, ...]:
        return (self.experts.kernels[-1],)

    @property
    def expert_names(self) -> tuple[str, ...]:
        return tuple(f"shared_{number}" for number in range(self.options.num_experts))

    def network(self, inputs: Mapping[str, Any], training: bool = False) -> dict[str, tf.Tensor]:
        x = concatenated(inputs)
        # outputs: [1, X, B, H]; mixed: [T, B, H]
        outputs = self.experts(for_all_tasks(x), training=training)
        mixed = mix(outputs, self.gates(x))
        return self.by_task(self.towers(mixed, training=training))

    def diagnostics(self, features: Features) -> dict[str, tf.Tensor]:
        inputs = self.embed(features)
        x = concatenated(inputs)
        return self.describe_gates("gates", self.gates(x))
