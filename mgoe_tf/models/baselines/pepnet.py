"""PEPNet, whose embeddings and towers are personalised by gates."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from input_pipeline.commands.options import option
from input_pipeline.spec import INPUT_OWNERS, DatasetSpec
from mgoe_tf.layers.gate_units import GateUnits
from mgoe_tf.layers.personalized_towers import PersonalizedTowers
from mgoe_tf.models.base import Features, RankingModel, vocabulary_of
from mgoe_tf.models.options import ModelOptions, require


@dataclasses.dataclass(frozen=True)
class PEPNetOptions(ModelOptions):
    """Sizes of PEPNet."""

    tower_units: tuple[int, ...] = option(
        (64, 32, 32),
        "Hidden layers of each task's tower, which reads the embeddings, at least one. As many as "
        "an expert and a tower of MMoE have together.",
    )
    gate_units: int = option(
        0, "Hidden units of each gate; 0: as many as the units that it scales, as in public code."
    )
    gate_scale: float = option(2.0, "gamma, what a gate multiplies by at most; the paper's is 2.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.tower_units:
            raise ValueError(
                "--tower_units: must be one width or more, of units that gates scale, got []"
            )
        require(self, "at least 0", ("gate_units",), lambda value: value >= 0)
        require(self, "above 0", ("gate_scale",), lambda value: value > 0)


class PEPNet(RankingModel):
    """Gates of the row scale the shared embeddings (EPNet) and the towers' units (PPNet).

    With E = [x_u ; x_i ; x_c], sg a stop of the gradient, * elementwise:
    EPNet: o = delta * E, delta = gamma sigmoid(ReLU([x_c ; sg(E)] W + b) W' + b').
    PPNet: H_t^l = delta_t^l * ReLU(H_t^{l-1} W_t^l + b_t^l), H_t^0 = o, then one unit, s_t, with
    delta_t^l = gamma sigmoid(ReLU([x_u ; x_i ; sg(o)] V_t^l + c_t^l) V'_t^l + c'_t^l).

    Source: Chang et al., "PEPNet: Parameter and embedding personalized network", KDD 2023. Its
    domain features are those of the context here; data without context have an EPNet that reads
    the embeddings alone. Its prior is of user, item and author: an author is a side feature of the
    item here, so x_u and x_i hold all three. The paper's formulas leave open whether o is scaled
    by PPNet too; as in public code (TorchEasyRec) only hidden units are, and a gate's hidden layer
    is as wide as what it scales. Args, input and output as `RankingModel`.
    """

    options_class = PEPNetOptions
    options: PEPNetOptions
    explains = True

    def __init__(
        self, *, spec: DatasetSpec, options: PEPNetOptions | None = None, **kwargs: Any
    ) -> None:
        super().__init__(spec=spec, options=options, **kwargs)
        options = self.options
        width = sum(width for _, width in self._widths())
        self.embedding_gate = GateUnits(
            num_gates=1,
            units=options.gate_units or width,
            outputs=width,
            gamma=options.gate_scale,
            name="embedding_gate",
        )
        self.towers = PersonalizedTowers(
            num_tasks=len(spec.tasks),
            units=options.tower_units,
            dropout=options.dropout,
            gate_units=options.gate_units,
            gamma=options.gate_scale,
            name="towers",
        )

    def _widths(self) -> list[tuple[str, int]]:
        """How much of E each feature is, in order; an owner's numbers are `<owner>_numbers`."""
        found = []
        for owner in INPUT_OWNERS:
            for feature in self.embedded(owner):
                found.append((feature.name, self.tables[vocabulary_of(feature)].dim))
            if self.numeric_inputs[owner].width:
                found.append((f"{owner}_numbers", self.numeric_inputs[owner].width))
        return found

    @property
    def last_shared_weights(self) -> tuple[tf.Variable, ...]:
        return (self.embedding_gate.kernels[-1],)

    def _parts(self, inputs: Mapping[str, Any]) -> dict[str, tf.Tensor]:
        """E [B, D], EPNet's `delta` of it, and PPNet's `prior` [B, P]: float32."""
        embeddings = tf.concat([inputs[owner] for owner in INPUT_OWNERS if owner in inputs], -1)
        known = [inputs["context"]] if "context" in inputs else []
        known.append(tf.stop_gradient(embeddings))
        delta = self.embedding_gate(tf.concat(known, axis=-1))[0]
        return {
            "embeddings": embeddings,
            "delta": tf.cast(delta, tf.float32),
            "prior": tf.concat([inputs["user"], inputs["item"]], axis=-1),
        }

    def network(self, inputs: Mapping[str, Any], training: bool = False) -> dict[str, tf.Tensor]:
        parts = self._parts(inputs)
        scaled = parts["delta"] * parts["embeddings"]
        return self.by_task(self.towers(scaled, parts["prior"], training=training))

    def _scales(self, inputs: Mapping[str, Any]) -> dict[str, tf.Tensor]:
        """The scales of each part of E and of each task's hidden units: [B, units] by name."""
        parts = self._parts(inputs)
        names, widths = zip(*self._widths(), strict=True)
        split = tf.split(parts["delta"], widths, axis=-1)
        found = dict(zip(names, split, strict=True))
        layers = self.towers.scales(parts["delta"] * parts["embeddings"], parts["prior"])
        of_tasks = tf.unstack(tf.concat(layers, axis=-1), num=len(self.spec.tasks))
        towers = (f"tower_{task}" for task in self.spec.task_names)
        return found | dict(zip(towers, of_tasks, strict=True))

    def explain(self, inputs: Mapping[str, Any]) -> dict[str, tf.Tensor]:
        """What the gates turn up and down, row by row; 1 leaves as it is where gamma is 2.

        Args:
          inputs: from `embed`.

        Returns:
          The mean scales, float32 [B]: `scale_<feature>` of each embedding of E,
          `scale_<owner>_numbers` of an owner's numbers, and `scale_tower_<task>` of a tower's
          hidden units.
        """
        scales = self._scales(inputs)
        return {f"scale_{name}": tf.reduce_mean(scale, axis=-1) for name, scale in scales.items()}

    def diagnostics(self, features: Features) -> dict[str, tf.Tensor]:
        """Scalars of a batch, by the names of `explain`.

        Returns:
          `scale/<name>`, the mean, and `spread/<name>`, how much the scale of a unit differs from
          row to row: its standard deviation, on average over units.
        """
        found = {}
        for name, scale in self._scales(self.embed(features)).items():
            found[f"scale/{name}"] = tf.reduce_mean(scale)
            found[f"spread/{name}"] = tf.reduce_mean(tf.math.reduce_std(scale, axis=0))
        return found
