"""From the losses of the tasks to one gradient.

Axes: T tasks, P entries of the weights whose gradients are taken by task.

Losses are float32 [T], each this replica's share: the shares of all replicas sum to the task's
loss. Where a batch carries no label of a task, its loss is 0.

Long, because the weightings share one interface and are read beside each other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

# From the number of a task and some weights to the gradients of its loss, None for 0.
GradientsOfTask = Callable[[int, Sequence[tf.Variable]], list[tf.Tensor | None]]
_SMALLEST_WEIGHT = 1e-3


def sum_over_replicas(values: tf.Tensor) -> tf.Tensor:
    """The sum of what all replicas have of a tensor."""
    context = tf.distribute.get_replica_context()
    return values if context is None else context.all_reduce("sum", values)


def _num_replicas() -> int:
    return tf.distribute.get_strategy().num_replicas_in_sync


class FixedWeighting(tf.Module):
    """sum_t lambda_t L_t.

    Args:
      num_tasks: T.
      task_weights: lambda_t; default 1 each.
    """

    # whether `revise` is to be called, with gradients by task
    by_task = False

    def __init__(self, *, num_tasks: int, task_weights: Sequence[float] | None = None) -> None:
        super().__init__(name="weighting")
        weights = (1.0,) * num_tasks if task_weights is None else tuple(task_weights)
        if len(weights) != num_tasks:
            raise ValueError(f"task_weights: must be one per task ({num_tasks}), got {weights}")
        self.num_tasks = num_tasks
        self.task_weights = weights

    def coefficients(self) -> tf.Tensor:
        """By what each task's loss is multiplied, float32 [T]."""
        return tf.constant(self.task_weights, tf.float32)

    def objective(self, losses: tf.Tensor, labelled: tf.Tensor) -> tf.Tensor:
        """What is minimised.

        Args:
          losses: L_t.
          labelled: bool [T], whether the global batch carries labels of the task.

        Returns:
          This replica's share, a scalar.
        """
        del labelled
        return tf.tensordot(losses, self.coefficients(), axes=1)

    def revised(self, weights: Sequence[tf.Variable]) -> Sequence[tf.Variable]:
        """The weights whose gradients come from `revise` instead of the objective."""
        del weights
        return ()

    def revise(
        self,
        gradients_of_task: GradientsOfTask,
        weights: Sequence[tf.Variable],
        losses: tf.Tensor,
        labelled: tf.Tensor,
        step: tf.Tensor,
    ) -> list[tf.Tensor]:
        """Called once a step where `by_task`.

        Args:
          gradients_of_task: of L_t of this replica.
          weights: those of `revised`.
          losses, labelled: as for `objective`.
          step: counts the steps, int64.

        Returns:
          This replica's share of the gradient of each of `weights`.
        """
        raise NotImplementedError


class UncertaintyWeighting(FixedWeighting):
    """sum_t exp(-s_t) L_t + s_t / 2, s_t trainable, initially 0 (Kendall et al., CVPR 2018).

    The form for classification. A batch without labels of a task tells nothing about its s_t.
    """

    def __init__(self, *, num_tasks: int) -> None:
        super().__init__(num_tasks=num_tasks)
        self.log_variances = tf.Variable(tf.zeros([num_tasks]), name="log_variances")

    def coefficients(self) -> tf.Tensor:
        return tf.exp(-self.log_variances)

    def objective(self, losses: tf.Tensor, labelled: tf.Tensor) -> tf.Tensor:
        known = tf.cast(labelled, tf.float32) / _num_replicas()
        return tf.reduce_sum(self.coefficients() * losses + 0.5 * known * self.log_variances)


class GradNormWeighting(FixedWeighting):
    """sum_t w_t L_t, with w_t that make the tasks learn at like rates (Chen et al., ICML 2018).

        G_t = w_t n_t,  n_t = |grad_W L_t|        r_t = (L_t / L_t(0)) / mean_t
        w   <- w - rate * grad_w sum_t |G_t - mean(G) r_t^alpha| / mean(G)
        w   <- T w / sum_t w_t

    The targets mean(G) r_t^alpha are constants of the gradient, and so is the division by mean(G),
    which makes the rate independent of the scale of the losses. W is the last layer that all tasks
    share. Weights stay above 0.001. A task without labels in the batch keeps its weight, but for
    the scaling, and L_t(0) is its first loss of a batch with labels.

    Args:
      num_tasks: T.
      shared_weights: W.
      alpha: at least 0.
      rate: above 0.
    """

    by_task = True

    def __init__(
        self, *, num_tasks: int, shared_weights: Sequence[tf.Variable], alpha: float, rate: float
    ) -> None:
        super().__init__(num_tasks=num_tasks)
        if not shared_weights:
            raise ValueError(
                "shared_weights: must be those of the last shared layer, got none: the model has "
                "to tell its `last_shared_weights` for --task_weighting=gradnorm"
            )
        self.alpha = alpha
        self.rate = rate
        self._shared = list(shared_weights)
        state = {"trainable": False, "aggregation": tf.VariableAggregation.ONLY_FIRST_REPLICA}
        self.weights = tf.Variable(tf.ones([num_tasks]), name="weights", **state)
        self.first_losses = tf.Variable(tf.zeros([num_tasks]), name="first_losses", **state)

    def coefficients(self) -> tf.Tensor:
        return tf.convert_to_tensor(self.weights)

    def revise(
        self,
        gradients_of_task: GradientsOfTask,
        weights: Sequence[tf.Variable],
        losses: tf.Tensor,
        labelled: tf.Tensor,
        step: tf.Tensor,
    ) -> list[tf.Tensor]:
        del weights, step
        # by_task: [T, P]
        by_task = tf.stack(
            [
                _flat(gradients_of_task(task, self._shared), self._shared)
                for task in range(self.num_tasks)
            ]
        )
        norms = tf.norm(sum_over_replicas(by_task), axis=1)
        totals = sum_over_replicas(losses)
        first = tf.where((self.first_losses == 0.0) & labelled, totals, self.first_losses)
        known = tf.cast(labelled, tf.float32)
        ratios = tf.math.divide_no_nan(totals, first)
        rates = ratios / tf.maximum(_mean(ratios, known), 1e-30)
        current = tf.convert_to_tensor(self.weights)
        mean = tf.maximum(_mean(current * norms, known), 1e-30)
        side = tf.sign(current * norms / mean - tf.pow(rates, self.alpha))
        moved = current - self.rate * known * side * norms / mean
        moved = tf.maximum(moved, _SMALLEST_WEIGHT)
        self.first_losses.assign(first)
        self.weights.assign(moved * self.num_tasks / tf.reduce_sum(moved))
        return []


class PCGradWeighting(FixedWeighting):
    """Takes out of each task's gradient what contradicts another's (Yu et al., NeurIPS 2020).

        g_i <- g_i - (g_i . g_j) / |g_j|^2 g_j   where g_i . g_j < 0, for all j != i in random order

    with g_j as it was, and the g_i are summed. It applies to the entries of dense weights that the
    losses of two or more tasks move; the others, and id tables, whose gradients are of other rows
    in each batch, get the plain sum. L_t here is lambda_t L_t.

    Args:
      num_tasks: T.
      tables: id tables.
      task_weights: lambda_t; default 1 each.
      seed: of the order.
    """

    by_task = True

    def __init__(
        self,
        *,
        num_tasks: int,
        tables: Sequence[tf.Variable],
        task_weights: Sequence[float] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(num_tasks=num_tasks, task_weights=task_weights)
        self.seed = seed
        self._tables = {table.ref() for table in tables}

    def revised(self, weights: Sequence[tf.Variable]) -> Sequence[tf.Variable]:
        return [weight for weight in weights if weight.ref() not in self._tables]

    def revise(
        self,
        gradients_of_task: GradientsOfTask,
        weights: Sequence[tf.Variable],
        losses: tf.Tensor,
        labelled: tf.Tensor,
        step: tf.Tensor,
    ) -> list[tf.Tensor]:
        del losses, labelled
        # by_task: [T, P]
        by_task = tf.stack(
            [
                coefficient * _flat(gradients_of_task(task, weights), weights)
                for task, coefficient in enumerate(self.task_weights)
            ]
        )
        seed = tf.stack([tf.constant(self.seed, tf.int64), tf.cast(step, tf.int64)])
        # order: [T, T], a permutation of the tasks for each
        draws = tf.random.stateless_uniform([self.num_tasks, self.num_tasks], seed)
        order = tf.argsort(draws, axis=1)
        merged = without_conflicts(sum_over_replicas(by_task), order) / _num_replicas()
        sizes = [math.prod(weight.shape) for weight in weights]
        parts = tf.split(merged, sizes) if weights else []
        return [tf.reshape(part, weight.shape) for part, weight in zip(parts, weights, strict=True)]


def without_conflicts(gradients: tf.Tensor, order: tf.Tensor) -> tf.Tensor:
    """The sum of the tasks' gradients after the projections of `PCGradWeighting`.

    Args:
      gradients: float32 [T, P].
      order: int32 [T, T], row i the order in which the tasks are compared with task i.

    Returns:
      float32 [P].
    """
    moves = tf.reduce_sum(tf.cast(gradients != 0.0, tf.int32), axis=0)
    is_shared = moves > 1
    shared = tf.where(is_shared, gradients, 0.0)
    squares = tf.reduce_sum(tf.square(shared), axis=1)
    num_tasks = gradients.shape[0]
    projected = shared
    for place in range(num_tasks):
        # others: [T], the task that each one is compared with now
        others = order[:, place]
        against = tf.gather(shared, others)
        products = tf.reduce_sum(projected * against, axis=1)
        contradicts = (products < 0.0) & (others != tf.range(num_tasks, dtype=others.dtype))
        lengths = tf.math.divide_no_nan(products, tf.gather(squares, others))
        projected -= tf.where(contradicts, lengths, 0.0)[:, tf.newaxis] * against
    return tf.where(is_shared, tf.reduce_sum(projected, axis=0), tf.reduce_sum(gradients, axis=0))


def _flat(gradients: Sequence[tf.Tensor | None], weights: Sequence[tf.Variable]) -> tf.Tensor:
    """Gradients one after the other, float32 [P]; those of weights that do not matter are 0."""
    return tf.concat(
        [
            tf.zeros([math.prod(weight.shape)])
            if gradient is None
            else tf.reshape(tf.cast(gradient, tf.float32), [-1])
            for gradient, weight in zip(gradients, weights, strict=True)
        ],
        axis=0,
    )


def _mean(values: tf.Tensor, known: tf.Tensor) -> tf.Tensor:
    return tf.math.divide_no_nan(tf.reduce_sum(values * known), tf.reduce_sum(known))


WEIGHTINGS: dict[str, type[FixedWeighting]] = {
    "fixed": FixedWeighting,
    "uncertainty": UncertaintyWeighting,
    "gradnorm": GradNormWeighting,
    "pcgrad": PCGradWeighting,
}


def make_weighting(
    name: str,
    *,
    num_tasks: int,
    tables: Sequence[tf.Variable],
    shared_weights: Sequence[tf.Variable],
    task_weights: Sequence[float] | None = None,
    gradnorm_alpha: float = 1.5,
    gradnorm_rate: float = 0.025,
    seed: int = 0,
) -> FixedWeighting:
    """The weighting of a name in `WEIGHTINGS`, which takes what it reads."""
    arguments: dict[str, dict[str, Any]] = {
        "fixed": {"task_weights": task_weights},
        "uncertainty": {},
        "gradnorm": {
            "shared_weights": shared_weights,
            "alpha": gradnorm_alpha,
            "rate": gradnorm_rate,
        },
        "pcgrad": {"tables": tables, "task_weights": task_weights, "seed": seed},
    }
    if name not in arguments:
        raise ValueError(f"--task_weighting: must be one of {', '.join(WEIGHTINGS)}, got {name!r}")
    return WEIGHTINGS[name](num_tasks=num_tasks, **arguments[name])
