"""AITM, adaptive information transfer along a funnel of tasks."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from input_pipeline.commands.options import option
from input_pipeline.spec import DatasetSpec
from mgoe_tf.layers.information_transfer import InformationTransfer
from mgoe_tf.layers.task_bottoms import TaskBottoms
from mgoe_tf.models.base import Features, RankingModel, concatenated
from mgoe_tf.models.options import ModelOptions, require

_LEVELS = ("levels",)


@dataclasses.dataclass(frozen=True)
class AITMOptions(ModelOptions):
    """Sizes of AITM, and the order of its tasks."""

    tower_units: tuple[int, ...] = option(
        (), "Hidden layers of each task's tower; the paper's is one Dense layer alone."
    )
    bottom_units: tuple[int, ...] = option(
        (64, 32), "Layers of each task's bottom; the authors' code has 128,64,32."
    )
    batch_norm: str = option(
        "transfers",
        "Which layers normalise batches: those of the transfers alone, all, as the authors' code "
        "does, or none. Other models' bottoms and experts have no normalisation.",
        ("transfers", "all", "none"),
    )
    transfer_order: tuple[str, ...] = option(
        (), "All tasks, each before the one that it hands information to. Default: in task order."
    )
    calibrated_pairs: tuple[str, ...] = option(
        _LEVELS,
        "Pairs of tasks of which the calibrator holds the first at most as likely as the second, "
        "CHILD:PARENT,... levels: each task with all tasks of the next lower level; tasks of equal "
        "levels are not ordered.",
    )
    calibrator: float = option(
        0.3,
        "alpha, the strength of the calibrator. The authors' code has 0.6 for two tasks and 0.3 "
        "for four.",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "at least 1", ("bottom_units",), lambda value: value >= 1)
        require(self, "at least 0", ("calibrator",), lambda value: value >= 0)
        pairs = [item.split(":") for item in self.calibrated_pairs]
        if self.calibrated_pairs != _LEVELS and any(len(pair) != 2 for pair in pairs):
            raise ValueError(
                "--calibrated_pairs: must be levels, or CHILD:PARENT,..., got "
                f"{','.join(self.calibrated_pairs)}"
            )


def calibrated_tasks(
    spec: DatasetSpec, calibrated_pairs: Sequence[str]
) -> tuple[tuple[int, int], ...]:
    """The numbers of a data set's tasks whose calibrator there is, (child, parent).

    Args:
      spec: of the data set.
      calibrated_pairs: as `AITMOptions` has them.

    Raises:
      ValueError: naming the flag, where a task is unknown or its own parent.
    """
    names, levels = spec.task_names, [task.level for task in spec.tasks]
    if tuple(calibrated_pairs) == _LEVELS:
        below = [max((lower for lower in levels if lower < own), default=None) for own in levels]
        return tuple(
            (child, parent)
            for child, level in enumerate(below)
            for parent in range(len(levels))
            if levels[parent] == level
        )
    pairs = [tuple(item.split(":")) for item in calibrated_pairs]
    for child, parent in pairs:
        if child == parent or {child, parent} - set(names):
            raise ValueError(
                f"--calibrated_pairs: must be of two different tasks of {', '.join(names)}, got "
                f"{child}:{parent}"
            )
    return tuple((names.index(child), names.index(parent)) for child, parent in pairs)


class AITM(RankingModel):
    """s_t = Tower_t(z_t), z_t of `InformationTransfer` over q_t = MLP_t(x), x = [x_u ; x_i ; x_c].

        penalty: alpha sum over pairs (t, p) of mean_B max(y_t - y_p, 0),  y = sigmoid(s)

    Source: Xi et al., KDD 2021, and the authors' TensorFlow code. All transitions share Q, K and V,
    as in that code. Information goes along all tasks in one order, `transfer_order`; which task
    cannot be likelier than which other one is another matter, `calibrated_pairs`: by default the
    levels of the data set say it, and tasks of one level are not held to any order. For tasks of
    different levels in their order this is the paper's calibrator.

    The L2 penalty spares Q and K: each has no gradient where the other is 0. Dense layers before a
    batch normalisation have no bias, which would do nothing. Published defaults: d 5, bottoms
    128-64-32, normalised, dropout 0.1, 0.3 and 0.3 by layer, batch 2000, learning rate 1e-3, L2
    1e-6. Args, input and output as `RankingModel`.
    """

    options_class = AITMOptions
    options: AITMOptions
    reads_concatenated = True
    explains = True

    def __init__(
        self, *, spec: DatasetSpec, options: AITMOptions | None = None, **kwargs: Any
    ) -> None:
        super().__init__(spec=spec, options=options, **kwargs)
        options = self.options
        # Stacks of bottoms, transfers and towers are in this order.
        self.order = tuple(options.transfer_order or spec.task_names)
        if sorted(self.order) != sorted(spec.task_names):
            raise ValueError(
                f"--transfer_order: must name each of {', '.join(spec.task_names)} once, got "
                f"{', '.join(self.order)}"
            )
        self.pairs = calibrated_tasks(spec, options.calibrated_pairs)
        num_tasks = len(self.order)
        self.bottoms = TaskBottoms(
            num_tasks=num_tasks,
            units=options.bottom_units,
            batch_norm=options.batch_norm == "all",
            dropout=options.dropout,
            name="bottoms",
        )
        self.transfer = InformationTransfer(
            num_tasks=num_tasks,
            batch_norm=options.batch_norm != "none",
            dropout=options.dropout,
            name="transfer",
        )
        self.towers = self.prediction_towers()

    @property
    def unpenalized_weights(self) -> tuple[tf.Variable, ...]:
        return self.transfer.score_kernels

    @property
    def last_shared_weights(self) -> tuple[tf.Variable, ...]:
        """The last layer of the bottoms, of which all losses reach the first task's."""
        return (self.bottoms.kernels[-1],)

    @property
    def penalty_names(self) -> tuple[str, ...]:
        return ("calibrator",) if self.pairs and self.options.calibrator else ()

    def network(self, inputs: Mapping[str, Any], training: bool = False) -> dict[str, tf.Tensor]:
        x = concatenated(inputs)
        handed = self.transfer(self.bottoms(x, training=training), training=training)
        logits = tf.unstack(self.towers(handed, training=training), num=len(self.order))
        by_name = dict(zip(self.order, logits, strict=True))
        return {task: by_name[task] for task in self.spec.task_names}

    def network_and_penalties(
        self, inputs: Mapping[str, Any], training: bool = False
    ) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        logits = self.network(inputs, training=training)
        if not self.penalty_names:
            return logits, {}
        children, parents = zip(*self.pairs, strict=True)
        # excess: [pairs, B]
        probabilities = tf.sigmoid(tf.stack([*logits.values()]))
        excess = tf.gather(probabilities, children) - tf.gather(probabilities, parents)
        mean = tf.reduce_mean(tf.reduce_sum(tf.nn.relu(excess), axis=0))
        return logits, {"calibrator": self.options.calibrator * mean}

    def explain(self, inputs: Mapping[str, Any]) -> dict[str, tf.Tensor]:
        """What tasks take from the task before them.

        Args:
          inputs: from `embed`.

        Returns:
          `transferred_<task>`, float32 [B], the weight of what was handed over, beside the task's
          own; 0 of the first task of the order.
        """
        x = concatenated(inputs)
        _, weights = self.transfer.transfer(self.bottoms(x))
        weights = [tf.zeros([tf.shape(x)[0]]), *weights]
        return {f"transferred_{t}": w for t, w in zip(self.order, weights, strict=True)}

    def diagnostics(self, features: Features) -> dict[str, tf.Tensor]:
        """Means over a batch of `explain`, scalars: `transferred/<task>`."""
        explained = self.explain(self.embed(features))
        return {
            f"transferred/{task}": tf.reduce_mean(explained[f"transferred_{task}"])
            for task in self.spec.task_names
        }
