"""ESMM, the entire-space multi-task model."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from input_pipeline.commands.options import option
from input_pipeline.spec import DatasetSpec
from mgoe_tf.layers.task_hierarchy import TaskHierarchy, in_order
from mgoe_tf.models.base import Features, RankingModel, concatenated
from mgoe_tf.models.options import ModelOptions

_RULES = ("first", "chain")


@dataclasses.dataclass(frozen=True)
class ESMMOptions(ModelOptions):
    """Sizes of ESMM, and which tasks need which."""

    tower_units: tuple[int, ...] = option(
        (64, 32, 32),
        "Hidden layers of each task's tower, which reads the embeddings. As many as an expert and "
        "a tower of MMoE have together; published: 360,200,80.",
    )
    task_parents: tuple[str, ...] = option(
        ("first",),
        "Which task happens only where which other one does. first: all tasks of higher levels "
        "need the first task. chain: a task needs the last task of the level below its own. Else "
        "CHILD:PARENT,...; tasks that are no CHILD need none, and empty means that none does.",
    )
    enforce_parent_label: bool = option(
        False,
        "Where a row's parent did not happen, train as if its children had not either. By default "
        "labels are the data's: favourites without a click on record teach what they say.",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.task_parents) == 1 and self.task_parents[0] in _RULES:
            return
        pairs = [item.split(":") for item in self.task_parents]
        children = [pair[0] for pair in pairs]
        if any(len(pair) != 2 for pair in pairs) or len(set(children)) < len(children):
            raise ValueError(
                "--task_parents: must be first, chain, or CHILD:PARENT,... with each CHILD once, "
                f"got {','.join(self.task_parents)}"
            )


def parents_of(spec: DatasetSpec, task_parents: Sequence[str]) -> tuple[int | None, ...]:
    """Of each task of a data set the number of its parent, or None.

    Args:
      spec: of the data set.
      task_parents: as `ESMMOptions` has them.

    Raises:
      ValueError: naming the flag, where a task is unknown, or tasks need each other.
    """
    levels = [task.level for task in spec.tasks]
    if tuple(task_parents) == ("first",):
        first = levels.index(min(levels))
        return tuple(None if level == min(levels) else first for level in levels)
    if tuple(task_parents) == ("chain",):
        lower = [[n for n, level in enumerate(levels) if level < own] for own in levels]
        # max gives the first of several: of the last level, the last task
        return tuple(max(n[::-1], key=lambda n: levels[n], default=None) for n in lower)
    named = dict(item.split(":") for item in task_parents)
    if unknown := sorted({*named, *named.values()} - set(spec.task_names)):
        raise ValueError(
            f"--task_parents: must name tasks of {', '.join(spec.task_names)}, got "
            f"{', '.join(unknown)}"
        )
    parents = tuple(
        spec.task_names.index(named[task]) if task in named else None for task in spec.task_names
    )
    try:
        in_order(parents)
    except ValueError:
        raise ValueError(
            f"--task_parents: must not go round in a circle, got {','.join(task_parents)}"
        ) from None
    return parents


class ESMM(RankingModel):
    """y_t = sigmoid(Tower_t(x)) y_parent(t), over all rows, with x = [x_u ; x_i ; x_c].

    sigmoid(Tower_t(x)) is the probability of the task where its parent happens (conversion given
    a click); it has no loss of its own: both losses, of the click and of click and conversion, are
    over the entire space. The model's logits are those of the products, computed from logarithms
    (see `TaskHierarchy`), so that the loss is the other models'. Task-to-task structure is a
    forest, `task_parents`; the paper's is that of two tasks.

    Source: Ma et al., SIGIR 2018. Published defaults: d 18, towers 360-200-80; DeepCTR has
    256-128-64. Labels are the data's: where a log has favourites without clicks, their rows teach
    the product 1 and the click 0, unless `enforce_parent_label`, which makes the child's label 0 in
    training (click AND conversion, as the paper has it). AUC and the rest are of the product over
    all rows, by the data's labels; `explain` and `diagnostics` tell the conditional probabilities.
    Args, input and output as `RankingModel`.
    """

    options_class = ESMMOptions
    options: ESMMOptions
    reads_concatenated = True
    explains = True

    def __init__(
        self, *, spec: DatasetSpec, options: ESMMOptions | None = None, **kwargs: Any
    ) -> None:
        super().__init__(spec=spec, options=options, **kwargs)
        options = self.options
        self.towers = self.prediction_towers()
        self.hierarchy = TaskHierarchy(
            parents=parents_of(spec, options.task_parents), name="hierarchy"
        )

    @property
    def last_shared_weights(self) -> tuple[tf.Variable, ...]:
        """The last layer of the towers, of which all losses reach the root's; () of two roots."""
        return (self.towers.kernels[-1],) if self.hierarchy.parents.count(None) == 1 else ()

    def _conditional(self, inputs: Mapping[str, Any], training: bool) -> tf.Tensor:
        """Logits of each task where its parent happens: [T, B]."""
        return self.towers(concatenated(inputs), training=training)

    def network(self, inputs: Mapping[str, Any], training: bool = False) -> dict[str, tf.Tensor]:
        return self.by_task(self.hierarchy(self._conditional(inputs, training)))

    def training_labels(self, labels: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """The labels; with `enforce_parent_label` 0 where a task's label is 1 and its parent's 0.

        A child of a child follows the label that its parent has then. A missing label stays, and
        says nothing of a child's.
        """
        found = dict(labels)
        if not self.options.enforce_parent_label:
            return found
        names, parents = self.spec.task_names, self.hierarchy.parents
        for task in in_order(parents):
            parent = parents[task]
            if parent is not None:
                label, above = found[names[task]], found[names[parent]]
                found[names[task]] = tf.where((label > 0.0) & (above == 0.0), 0.0, label)
        return found

    def explain(self, inputs: Mapping[str, Any]) -> dict[str, tf.Tensor]:
        """How likely each task is where its parent happens.

        Args:
          inputs: from `embed`.

        Returns:
          `conditional_<task>`, float32 [B]; of a task without a parent its probability.
        """
        probabilities = self.by_task(tf.sigmoid(self._conditional(inputs, training=False)))
        return {f"conditional_{task}": value for task, value in probabilities.items()}

    def diagnostics(self, features: Features) -> dict[str, tf.Tensor]:
        """Means over a batch: the scalars `conditional/<task>`, see `explain`."""
        explained = self.explain(self.embed(features))
        return {
            name.replace("conditional_", "conditional/", 1): tf.reduce_mean(value)
            for name, value in explained.items()
        }
