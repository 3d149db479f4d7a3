"""One training step: from a batch to new weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from mgoe_tf.models.base import Features, RankingModel
from mgoe_tf.training.optimizers import LazyAdam, inner_optimizer
from mgoe_tf.training.tasks import MultiTask
from mgoe_tf.training.weighting import FixedWeighting

Labels = Mapping[str, tf.Tensor]
Batch = tuple[Features, Labels]


class TrainingStep:
    """Losses by task, weighed, their gradients, and the optimizer's step.

    To be made in the scope of the strategy, after the weights of the model.

    Args:
      model: with all its weights.
      optimizer: `LazyAdam`, or a `LossScaleOptimizer` around it.
      task: loss and its metrics; default all tasks, weight 1 each.
      weighting: of the tasks' losses; default the fixed one of `task`.
      jit_compile: whether XLA compiles the network, the losses and their gradients. The lookups
        stay outside, where XLA would need shapes that follow the number of distinct ids.

    Call arguments:
      batch: (features as `RankingModel` takes them, labels by task name: float32 [B], -1 for none),
        a replica's part of it where there are several.

    Returns:
      `MultiTask.results`: the mean losses so far.
    """

    def __init__(
        self,
        model: RankingModel,
        optimizer: tf.keras.optimizers.Optimizer | None = None,
        *,
        task: MultiTask | None = None,
        weighting: FixedWeighting | None = None,
        jit_compile: bool = False,
    ) -> None:
        names = model.spec.task_names
        self.model = model
        self.optimizer = LazyAdam() if optimizer is None else optimizer
        self.task = MultiTask(task_names=names) if task is None else task
        self.weighting = (
            FixedWeighting(num_tasks=len(names), task_weights=self.task.task_weights)
            if weighting is None
            else weighting
        )
        losses = self._losses
        self._compiled_losses = tf.function(losses, jit_compile=True) if jit_compile else losses
        self.weights = [*model.trainable_variables, *self.weighting.trainable_variables]
        adam = inner_optimizer(self.optimizer)
        adam.add_tables(model.embeddings.variables)
        adam.exempt((*model.unpenalized_weights, *self.weighting.trainable_variables))
        self.optimizer.build(self.weights)

    def _losses(
        self, inputs: Mapping[str, Any], labels: Labels, counts: tf.Tensor, training: bool
    ) -> tuple[tf.Tensor, tf.Tensor]:
        sums = self.task.sums_by_task(labels, self.model.network(inputs, training=training))
        return self.task.losses(sums, counts), sums

    def losses(self, batch: Batch, training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """The loss of each task, without penalties, which are the optimizer's.

        Returns:
          This replica's share of it, float32 [T], and how many rows of the global batch carry each
          task's label, float32 [T].
        """
        features, labels = batch
        labels = {task: labels[task] for task in self.model.spec.task_names}
        counts = self.task.count_labels(labels)
        embedded = self.model.embed(features, training=training)
        losses, sums = self._compiled_losses(embedded, labels, counts, training)
        self.task.update_metrics(labels, sums)
        return losses, counts

    def __call__(self, batch: Batch) -> dict[str, tf.Tensor]:
        with tf.GradientTape(persistent=self.weighting.by_task) as tape:
            losses, counts = self.losses(batch, training=True)
            labelled = counts > 0.0
            objective = self._scaled(self.weighting.objective(losses, labelled))
            if self.weighting.by_task:
                by_task = [self._scaled(loss) for loss in tf.unstack(losses)]
        revised = self.weighting.revised(self.weights)
        left = {weight.ref() for weight in revised}
        plain = [weight for weight in self.weights if weight.ref() not in left]
        gradients = self._unscaled(tape.gradient(objective, plain))
        if self.weighting.by_task:
            gradients += self.weighting.revise(
                lambda task, weights: self._unscaled(tape.gradient(by_task[task], weights)),
                revised,
                losses,
                labelled,
                self.optimizer.iterations,
            )
        self.optimizer.apply_gradients(zip(gradients, [*plain, *revised], strict=True))
        return self.task.results()

    def evaluate(self, batch: Batch) -> dict[str, tf.Tensor]:
        """Adds the losses of a batch to the means so far, without a step."""
        self.losses(batch)
        return self.task.results()

    # Small gradients would be 0 in float16: there the loss is scaled, and its gradients are scaled
    # back.
    def _scaled(self, loss: tf.Tensor) -> tf.Tensor:
        if isinstance(self.optimizer, tf.keras.mixed_precision.LossScaleOptimizer):
            return self.optimizer.get_scaled_loss(loss)
        return loss

    def _unscaled(self, gradients: Sequence[Any]) -> list[Any]:
        if isinstance(self.optimizer, tf.keras.mixed_precision.LossScaleOptimizer):
            return list(self.optimizer.get_unscaled_gradients(gradients))
        return list(gradients)
