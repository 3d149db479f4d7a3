"""MoME, a mixture of masked experts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from input_pipeline.commands.options import option
from input_pipeline.spec import DatasetSpec
from mgoe_tf.layers.masked_experts import MaskedExperts
from mgoe_tf.layers.task_gates import TaskGates, mix
from mgoe_tf.models.base import Features, RankingModel, concatenated
from mgoe_tf.models.options import GatedOptions, require


@dataclasses.dataclass(frozen=True)
class MoMEOptions(GatedOptions):
    """Sizes and readings of MoME; published: 8 experts 512-256, d 128, dropout 0.2, batch 2048."""

    num_experts: int = option(4, "Number of experts, masked copies of one network.")
    expert_units: tuple[int, ...] = option((64, 32), "Layers of that network.")
    mask_epochs: int = option(
        1,
        "M, epochs in which one mask of neurons for all tasks is learnt; then each expert gets a "
        "mask of its own, and optimizer, best score and patience begin anew. Published: 10 of 50. "
        "0: experts have masks from the beginning. Where training ends before, by --epochs or "
        "--patience, they never get them.",
    )
    mask_deviation: float = option(
        0.5, "sigma, the standard deviation of the noise by which masks are learnt."
    )
    model_mask_weight: float = option(
        1e-6, "lambda_1, weight of the penalty on open neurons, while their mask is learnt."
    )
    expert_mask_weight: float = option(
        1e-6, "lambda_2, weight of the penalty on open weights of experts, once they have masks."
    )
    binarize_at_eval: bool = option(
        False,
        "Out of training, masks are 1 from 0.5 on and else 0, instead of anything between them.",
    )
    normalize_by_expert: bool = option(
        False,
        "In training each expert's outputs are normalised by themselves, as in the authors' code, "
        "though out of training they are by statistics that mix all experts.",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "at least 1", ("num_experts", "expert_units"), lambda value: value >= 1)
        at_least_zero = ("mask_epochs", "model_mask_weight", "expert_mask_weight")
        require(self, "at least 0", at_least_zero, lambda value: value >= 0)
        require(self, "above 0", ("mask_deviation",), lambda value: value > 0)


class MoME(RankingModel):
    """s_t = Tower_t(sum_e softmax_e(x W_t + b_t)_e h_e(x)), h_e masked copies of one network.

    `MaskedExperts` has their equations. For M epochs all tasks share the network under a mask of
    its neurons; then it is folded into the network, and experts learn masks of its weights, and
    gates to mix them by. To the losses are added

        lambda_1 sum_l mean Phi(mu_l / sigma), then lambda_2 sum_e sum_l mean Phi(mu_el / sigma)

    Source: "MoME", SIGIR 2024, and the authors' code, whose switch of phases does not run.
    Deviations:

    - The losses of the tasks are summed, as of all models here, where theirs are averaged: beside
      them lambda weighs T times less.
    - Rows of a kernel that are closed stay, times 0. Biases before a normalisation are left out.
    - Towers are as of all models here; theirs have normalisation and dropout.
    - Normalisation in training: --normalize_by_expert.
    - L1 and L2 spare masks and gates: in a phase that does not train them they would shrink.

    Until the switch gates are even, all experts being the same. Args, input and output as
    `RankingModel`.
    """

    options_class = MoMEOptions
    options: MoMEOptions

    def __init__(
        self, *, spec: DatasetSpec, options: MoMEOptions | None = None, **kwargs: Any
    ) -> None:
        super().__init__(spec=spec, options=options, **kwargs)
        options = self.options
        self.experts = MaskedExperts(
            num_experts=options.num_experts,
            units=options.expert_units,
            deviation=options.mask_deviation,
            dropout=options.dropout,
            model_mask=options.mask_epochs > 0,
            binarize_at_eval=options.binarize_at_eval,
            normalize_by_expert=options.normalize_by_expert,
            name="experts",
        )
        self.gates = TaskGates(
            num_tasks=len(spec.tasks),
            num_experts=options.num_experts,
            use_bias=True,
            temperature=options.gate_temperature,
            name="gates",
        )
        self.towers = self.prediction_towers()

    @property
    def penalty_names(self) -> tuple[str, ...]:
        return ("masks",)

    @property
    def _masks_and_gates(self) -> tuple[tf.Variable, ...]:
        experts = self.experts
        return (*experts.neuron_masks, *experts.expert_masks, *self.gates.trainable_variables)

    @property
    def unpenalized_weights(self) -> tuple[tf.Variable, ...]:
        return self._masks_and_gates

    @property
    def idle_weights(self) -> tuple[tf.Variable, ...]:
        if bool(self.experts.in_second_phase()):
            return tuple(self.experts.neuron_masks)
        return (*self.experts.expert_masks, *self.gates.trainable_variables)

    @property
    def last_shared_weights(self) -> tuple[tf.Variable, ...]:
        return (self.experts.kernels[-1],)

    @property
    def expert_names(self) -> tuple[str, ...]:
        return tuple(f"shared_{number}" for number in range(self.options.num_experts))

    def begin_epoch(self, epoch: int) -> bool:
        if epoch < self.options.mask_epochs or bool(self.experts.in_second_phase()):
            return False
        self.experts.begin_expert_masks()
        return True

    def network(self, inputs: Mapping[str, Any], training: bool = False) -> dict[str, tf.Tensor]:
        x = concatenated(inputs)
        # outputs: [E, B, H]; mixed: [T, B, H]
        outputs = self.experts(x, training=training)
        mixed = mix(outputs[tf.newaxis], self._gates(x))
        return self.by_task(self.towers(mixed, training=training))

    def _gates(self, x: tf.Tensor) -> tf.Tensor:
        """[T, B, E], even in the first phase."""
        gates = self.gates(x)
        return tf.where(self.experts.in_second_phase(), gates, 1.0 / self.options.num_experts)

    def network_and_penalties(
        self, inputs: Mapping[str, Any], training: bool = False
    ) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        neurons, experts = self.experts.expected_open()
        penalty = (
            self.options.model_mask_weight * neurons + self.options.expert_mask_weight * experts
        )
        return self.network(inputs, training=training), {"masks": penalty}

    def diagnostics(self, features: Features) -> dict[str, tf.Tensor]:
        """Of the gates, and of the masks what `MaskedExperts.sparsity` says."""
        inputs = self.embed(features)
        gates = self._gates(concatenated(inputs))
        return self.describe_gates("gates", gates) | self.experts.sparsity()
