"""STEM, shared and task-specific embeddings."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from input_pipeline.commands.options import option
from input_pipeline.feature import USER_ROW
from input_pipeline.spec import INPUT_OWNERS, DatasetSpec
from mgoe_tf.layers.stem_layer import StemLayer
from mgoe_tf.layers.user_rows import by_row
from mgoe_tf.models.base import Features, RankingModel, Table, concatenated
from mgoe_tf.models.options import GatedOptions, require


@dataclasses.dataclass(frozen=True)
class STEMOptions(GatedOptions):
    """Sizes of STEM. `embedding_dim` is the width of each of the T + 1 embeddings of an id."""

    num_layers: int = option(1, "Number of layers; the paper's runs have 1.")
    num_shared_experts: int = option(
        2, "Experts of the shared embeddings, in each layer; the paper's runs have 8."
    )
    num_task_experts: int = option(
        1, "Experts of each task's embeddings, in each layer; the paper's runs have 1."
    )
    expert_units: tuple[int, ...] = option(
        (64, 32), "Layers of an expert; the paper's runs have 512,512,512."
    )
    gate_units: tuple[int, ...] = option(
        (32,), "Hidden layers of a gate; the paper's runs have 128,64."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        sizes = ("num_layers", "expert_units", "gate_units")
        require(self, "at least 1", sizes, lambda value: value >= 1)
        experts = ("num_shared_experts", "num_task_experts")
        require(self, "at least 0", experts, lambda value: value >= 0)
        if self.num_shared_experts + self.num_task_experts < 1:
            raise ValueError("--num_shared_experts + --num_task_experts: must be at least 1, got 0")


class STEM(RankingModel):
    """s_t = Tower_t(m_t), m_t of `StemLayer` over x_1 .. x_T and x_s, which have tables each.

    Source: Su et al., AAAI 2024. Every id has T + 1 embeddings, one a task and a shared one. With
    one layer no loss but task t's moves the embeddings and experts of task t; with several the
    shared stream m_s, of which nothing is stopped, carries gradients over.

    The tables of a model of T tasks take (T + 1) times the memory of another model's at the same
    `embedding_dim`: compare at the same width, and at `embedding_dim` / (T + 1) too. They are one
    table, (T + 1) d wide, x_1's columns first; its initial bound is of that width, as in the
    authors' code. Numbers have no table: x_1 .. x_T and x_s all end with the same ones, so that a
    gate, which sees x_t + x_s, has them twice.

    Published defaults: d 16, 8 shared experts and one a task of 512-512-512, gates 128-64, towers
    128-64, batch 4096, learning rate 1e-3, L2 1e-6 on embeddings. Args, input and output as
    `RankingModel`.
    """

    options_class = STEMOptions
    options: STEMOptions
    explains = True

    def __init__(
        self, *, spec: DatasetSpec, options: STEMOptions | None = None, **kwargs: Any
    ) -> None:
        super().__init__(spec=spec, options=options, **kwargs)
        options = self.options
        num_tasks = len(spec.tasks)
        self.stem_layers = [
            StemLayer(
                num_tasks=num_tasks,
                num_shared=options.num_shared_experts,
                num_task_experts=options.num_task_experts,
                units=options.expert_units,
                gate_units=options.gate_units,
                gate_temperature=options.gate_temperature,
                dropout=options.dropout,
                shared_stream=number + 1 < options.num_layers,
                name=f"layer_{number}",
            )
            for number in range(options.num_layers)
        ]
        self.towers = self.prediction_towers()

    @property
    def tables(self) -> dict[str, Table]:
        width = (len(self.spec.tasks) + 1) * self.options.embedding_dim
        return {v.name: Table(v.name, width) for v in self.spec.vocabularies}

    @property
    def last_shared_weights(self) -> tuple[tf.Variable, ...]:
        """The last layer of the shared experts."""
        experts = self.stem_layers[-1].shared_experts
        return () if experts is None else (experts.kernels[-1],)

    @property
    def expert_names(self) -> tuple[str, ...]:
        own = (
            f"own_{task}_{number}"
            for task in self.spec.task_names
            for number in range(self.options.num_task_experts)
        )
        shared = (f"shared_{number}" for number in range(self.options.num_shared_experts))
        return (*own, *shared)

    def network_inputs(self, features: Features, sums: Mapping[str, tf.Tensor]) -> dict[str, Any]:
        """x_1 .. x_T and x_s of each owner, by its name: [T + 1, B, D]."""
        inputs = {}
        shape = [-1, len(self.spec.tasks) + 1, self.options.embedding_dim]
        for owner in INPUT_OWNERS:
            # parts: [R, T + 1, d], and of numbers [R, T + 1, N]
            parts = [tf.reshape(sums[feature.name], shape) for feature in self.embedded(owner)]
            if self.numeric_inputs[owner].width:
                numbers = self.numeric_inputs[owner](features)[:, tf.newaxis]
                parts.append(tf.repeat(numbers, shape[1], axis=1))
            if parts:
                inputs[owner] = tf.transpose(tf.concat(parts, axis=-1), [1, 0, 2])
        inputs["user"] = by_row(inputs["user"], features.get(USER_ROW), axis=1)
        return inputs

    def network(self, inputs: Mapping[str, Any], training: bool = False) -> dict[str, tf.Tensor]:
        # streams: [T + 1, B, F], after the last layer [T, B, H]
        streams = concatenated(inputs)
        for layer in self.stem_layers:
            streams = layer(streams, training=training)
        return self.by_task(self.towers(streams, training=training))

    def explain(self, inputs: Mapping[str, Any]) -> dict[str, tf.Tensor]:
        """Which experts the tasks use.

        Args:
          inputs: from `embed`.

        Returns:
          `gates_<task>`, float32 [B, E], the weights of `expert_names` in the last layer.
        """
        streams = concatenated(inputs)
        for layer in self.stem_layers[:-1]:
            streams = layer(streams)
        gates = tf.unstack(self.stem_layers[-1].gate_weights(streams), num=len(self.spec.tasks))
        return {f"gates_{t}": gate for t, gate in zip(self.spec.task_names, gates, strict=True)}

    def diagnostics(self, features: Features) -> dict[str, tf.Tensor]:
        """What is said of `gates`, those of the last layer, and of `layer_<n>_gates` before it."""
        streams = concatenated(self.embed(features))
        found: dict[str, tf.Tensor] = {}
        for number, layer in enumerate(self.stem_layers):
            name = "gates" if layer is self.stem_layers[-1] else f"layer_{number}_gates"
            found |= self.describe_gates(name, layer.gate_weights(streams))
            streams = layer(streams)
        return found
