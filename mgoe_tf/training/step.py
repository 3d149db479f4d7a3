"""One training step: from a batch to new weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from mgoe_tf.models.base import Features, RankingModel
from mgoe_tf.training.optimizers import LazyAdam, inner_optimizer
from mgoe_tf.training.tasks import MultiTask
from mgoe_tf.training.weighting import FixedWeighting, sum_over_replicas

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
      `MultiTask.results`: the mean losses and penalties so far.
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
        if task is None:
            task = MultiTask(task_names=names, penalty_names=model.penalty_names)
        self.task = task
        self.weighting = (
            FixedWeighting(num_tasks=len(names), task_weights=self.task.task_weights)
            if weighting is None
            else weighting
        )
        losses = self._losses
        self._compiled_losses = (
            tf.function(losses, jit_compile=True, autograph=False) if jit_compile else losses
        )
        self.weights = [*model.trainable_variables, *self.weighting.trainable_variables]
        adam = inner_optimizer(self.optimizer)
        adam.add_tables(model.embeddings.variables)
        adam.exempt((*model.unpenalized_weights, *self.weighting.trainable_variables))
        self.optimizer.build(self.weights)

    def _losses(
        self, inputs: Mapping[str, Any], labels: Labels, counts: tf.Tensor, training: bool
    ) -> tuple[tf.Tensor, tf.Tensor, dict[str, tf.Tensor]]:
        penalties: dict[str, tf.Tensor] = {}
        if training:
            logits, penalties = self.model.network_and_penalties(inputs, training=True)
        else:
            logits = self.model.network(inputs)
        sums = self.task.sums_by_task(labels, logits)
        return self.task.losses(sums, counts), sums, penalties

    def losses(
        self, batch: Batch, training: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """The loss of each task, and the model's penalties; L1 and L2 are the optimizer's.

        Returns:
          This replica's share of the losses, float32 [T]; how many rows of the global batch carry
          each task's label, float32 [T]; and in training this replica's share of the sum of the
          penalties, a scalar.
        """
        features, labels = batch
        labels = {task: labels[task] for task in self.model.spec.task_names}
        if training:
            labels = self.model.training_labels(labels)
        counts = self.task.count_labels(labels)
        embedded = self.model.embed(features, training=training)
        losses, sums, penalties = self._compiled_losses(embedded, labels, counts, training)
        self.task.update_metrics(labels, sums, penalties if training else None)
        if not penalties:
            return losses, counts, tf.constant(0.0)
        rows = tf.cast(tf.shape(next(iter(labels.values())))[0], tf.float32)
        share = rows / sum_over_replicas(rows)
        return losses, counts, share * tf.add_n([*penalties.values()])

    def __call__(self, batch: Batch) -> dict[str, tf.Tensor]:
        self.take(batch)
        return self.task.results()

    def take(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        """Takes a step.

        Returns:
          This replica's share of the losses of the tasks before it, float32 [T], and how many rows
          of the global batch carry each task's label, float32 [T].
        """
        with tf.GradientTape(persistent=self.weighting.by_task) as tape:
            losses, counts, penalty = self.losses(batch, training=True)
            labelled = counts > 0.0
            objective = self._scaled(self.weighting.objective(losses, labelled) + penalty)
            if self.weighting.by_task:
                by_task = [self._scaled(loss) for loss in tf.unstack(losses)]
                scaled_penalty = self._scaled(penalty)
        revised = self.weighting.revised(self.weights)
        left = {weight.ref() for weight in revised}
        plain = [weight for weight in self.weights if weight.ref() not in left]
        gradients = self._unscaled(tape.gradient(objective, plain))
        if self.weighting.by_task:
            of_tasks = self.weighting.revise(
                lambda task, weights: self._unscaled(tape.gradient(by_task[task], weights)),
                revised,
                losses,
                labelled,
                self.optimizer.iterations,
            )
            if of_tasks and self.model.penalty_names:
                of_penalty = self._unscaled(tape.gradient(scaled_penalty, revised))
                of_tasks = [
                    one if other is None else one + other
                    for one, other in zip(of_tasks, of_penalty, strict=True)
                ]
            gradients += of_tasks
        self.optimizer.apply_gradients(zip(gradients, [*plain, *revised], strict=True))
        return losses, counts

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
