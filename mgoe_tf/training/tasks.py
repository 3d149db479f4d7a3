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
        **kwargs: Any,
    ) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        weights = (1.0,) * len(task_names) if task_weights is None else tuple(task_weights)
        if len(weights) != len(task_names):
            raise ValueError(
                f"task_weights: must be one per task ({', '.join(task_names)}), got {list(weights)}"
            )
        self.task_names = tuple(task_names)
        self.task_weights = weights
        self.loss_means = [tf.keras.metrics.Mean(name=f"loss_{task}") for task in task_names]

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
        crossentropy = tf.nn.sigmoid_cross_entropy_with_logits(
            tf.maximum(stacked, 0.0), tf.cast(self._stack(predictions), tf.float32)
        )
        labelled = tf.where(stacked >= 0.0, crossentropy, tf.zeros_like(crossentropy))
        return tf.reduce_sum(labelled, axis=1)

    def total(self, sums: tf.Tensor, counts: tf.Tensor) -> tf.Tensor:
        """sum_t lambda_t sums_t / counts_t."""
        means = tf.math.divide_no_nan(sums, counts)
        return tf.tensordot(means, tf.constant(self.task_weights), axes=1)

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
        return self.total(sums, self.count_labels(labels) if counts is None else counts)

    def update_metrics(self, labels: Mapping[str, tf.Tensor], sums: tf.Tensor) -> None:
        """Adds a batch's `sums_by_task` to the means so far."""
        counts = self._count(labels)
        means = tf.math.divide_no_nan(sums, counts)
        for metric, mean, count in zip(
            self.loss_means, tf.unstack(means), tf.unstack(counts), strict=True
        ):
            metric.update_state(mean, sample_weight=count)

    def results(self) -> dict[str, tf.Tensor]:
        """`loss`, the weighted sum of the tasks' mean BCE so far, and `loss_<task>`."""
        means = {metric.name: metric.result() for metric in self.loss_means}
        total = tf.tensordot(tf.stack([*means.values()]), tf.constant(self.task_weights), axes=1)
        return {"loss": total, **means}

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "task_names": self.task_names,
            "task_weights": self.task_weights,
        }
