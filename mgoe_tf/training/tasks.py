"""The loss of all tasks together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
import tensorflow_recommenders as tfrs


class MultiTask(tf.keras.layers.Layer, tfrs.tasks.Task):
    """sum_t lambda_t BCE(y_t, yhat_t) from logits (Eq. 1, 23).

    BCE is the mean over the rows of the global batch that carry the task's label; a label of -1 is
    none. A task without a labelled row adds 0.

    Args:
      task_names: in task order.
      task_weights: lambda_t; default 1 each.
      label_smoothing: e_t in [0, 1): y_t becomes y_t (1 - e_t) + e_t / 2; default 0 each.
      penalty_names: of what a model has minimised beside the losses.

    Call arguments:
      labels: float32 [B] by task: 0, 1, or -1 for none.
      predictions: logits, float32 [B] by task.
      counts: what `count_labels` returns, where the caller has it already.
      training: unused; part of the interface of tfrs tasks.
      compute_metrics: whether to update `loss_<task>`, the mean BCE of each task so far.

    Returns:
      A scalar: this replica's share of the loss; the replicas' shares sum to the loss.
    """

    def __init__(
        self,
        *,
        task_names: Sequence[str],
        task_weights: Sequence[float] | None = None,
        label_smoothing: Sequence[float] | None = None,
        penalty_names: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.task_names = tuple(task_names)
        self.task_weights = self._one_per_task("task_weights", task_weights, 1.0)
        self.label_smoothing = self._one_per_task("label_smoothing", label_smoothing, 0.0)
        if not all(0 <= value < 1 for value in self.label_smoothing):
            raise ValueError(
                f"label_smoothing: must be in [0, 1), got {list(self.label_smoothing)}"
            )
        self.penalty_names = tuple(penalty_names)
        self.loss_means = [tf.keras.metrics.Mean(name=f"loss_{task}") for task in task_names]
        self.penalty_means = [
            tf.keras.metrics.Mean(name=f"penalty_{name}") for name in self.penalty_names
        ]

    def _one_per_task(
        self, name: str, values: Sequence[float] | None, default: float
    ) -> tuple[float, ...]:
        found = (default,) * len(self.task_names) if values is None else tuple(values)
        if len(found) != len(self.task_names):
            raise ValueError(
                f"{name}: must be one per task ({', '.join(self.task_names)}), got {list(found)}"
            )
        return found

    def count_labels(self, labels: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """How many rows of the global batch carry each task's label: float32 [T]."""
        # Summed over replicas here, as a collective cannot be inside a function compiled by XLA.
        counts = self._count(labels)
        context = tf.distribute.get_replica_context()
        return counts if context is None else context.all_reduce("sum", counts)

    def _count(self, labels: Mapping[str, tf.Tensor]) -> tf.Tensor:
        return tf.reduce_sum(tf.cast(self._stack(labels) >= 0.0, tf.float32), axis=1)

    def _stack(self, by_task: Mapping[str, tf.Tensor]) -> tf.Tensor:
        missing = [task for task in self.task_names if task not in by_task]
        if missing:
            raise ValueError(f"labels and predictions: must have {missing}, got {sorted(by_task)}")
        return tf.stack([by_task[task] for task in self.task_names])

    def sums_by_task(
        self, labels: Mapping[str, tf.Tensor], predictions: Mapping[str, tf.Tensor]
    ) -> tf.Tensor:
        """The BCE of each task, summed over this replica's labelled rows: float32 [T]."""
        stacked = self._stack(labels)
        targets = tf.maximum(stacked, 0.0)
        if any(self.label_smoothing):
            # smoothing: [T, 1]
            smoothing = tf.constant(self.label_smoothing)[:, tf.newaxis]
            targets = targets * (1.0 - smoothing) + 0.5 * smoothing
        crossentropy = tf.nn.sigmoid_cross_entropy_with_logits(
            targets, tf.cast(self._stack(predictions), tf.float32)
        )
        labelled = tf.where(stacked >= 0.0, crossentropy, tf.zeros_like(crossentropy))
        return tf.reduce_sum(labelled, axis=1)

    def losses(self, sums: tf.Tensor, counts: tf.Tensor) -> tf.Tensor:
        """sums_t / counts_t, float32 [T]: this replica's share of the loss of each task."""
        return tf.math.divide_no_nan(sums, counts)

    def call(
        self,
        labels: Mapping[str, tf.Tensor],
        predictions: Mapping[str, tf.Tensor],
        counts: tf.Tensor | None = None,
        training: bool = False,
        compute_metrics: bool = True,
    ) -> tf.Tensor:
        sums = self.sums_by_task(labels, predictions)
        if compute_metrics:
            self.update_metrics(labels, sums)
        losses = self.losses(sums, self.count_labels(labels) if counts is None else counts)
        return tf.tensordot(losses, tf.constant(self.task_weights), axes=1)

    def update_metrics(
        self,
        labels: Mapping[str, tf.Tensor],
        sums: tf.Tensor,
        penalties: Mapping[str, tf.Tensor] | None = None,
    ) -> None:
        """Adds a batch's `sums_by_task`, and in training its penalties, to the means so far."""
        counts = self._count(labels)
        means = tf.math.divide_no_nan(sums, counts)
        for metric, mean, count in zip(
            self.loss_means, tf.unstack(means), tf.unstack(counts), strict=True
        ):
            metric.update_state(mean, sample_weight=count)
        if penalties is not None:
            # Replicas may have batches of different sizes.
            rows = tf.cast(tf.shape(next(iter(labels.values())))[0], tf.float32)
            for metric, name in zip(self.penalty_means, self.penalty_names, strict=True):
                metric.update_state(penalties[name], sample_weight=rows)

    def results(self) -> dict[str, tf.Tensor]:
        """Means so far: `loss`, the weighted sum of the BCEs, `loss_<task>`, `penalty_<name>`."""
        means = {metric.name: metric.result() for metric in self.loss_means}
        total = tf.tensordot(tf.stack([*means.values()]), tf.constant(self.task_weights), axes=1)
        penalties = {metric.name: metric.result() for metric in self.penalty_means}
        return {"loss": total, **means, **penalties}

    def forget(self) -> None:
        """Begins the means anew."""
        for metric in (*self.loss_means, *self.penalty_means):
            metric.reset_state()

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "task_names": self.task_names,
            "task_weights": self.task_weights,
            "label_smoothing": self.label_smoothing,
            "penalty_names": self.penalty_names,
        }
