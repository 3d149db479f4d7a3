"""The weights of the tasks in the output `score`."""

from __future__ import annotations

from collections.abc import Collection, Sequence

SCORE = "score"


def score_weights(weights: Sequence[float] | None, num_tasks: int) -> tuple[float, ...]:
    """The weights of the tasks in the score, summing to 1; equal ones where none are given."""
    weights = tuple(weights) if weights is not None else (1.0,) * num_tasks
    if len(weights) != num_tasks or min(weights) < 0 or not 0 < sum(weights) < float("inf"):
        raise ValueError(
            f"--score_weights: must be {num_tasks} numbers of at least 0, one a task in task "
            f"order, not all 0, got {list(weights)}"
        )
    return tuple(weight / sum(weights) for weight in weights)


def weights_of_trained(
    weights: Sequence[float] | None, task_names: Sequence[str], trained: Collection[str]
) -> tuple[float, ...] | None:
    """The weights of the tasks in the score, 0 for those that had nothing to be learnt from.

    Args:
      weights: as they were asked for; None: equal ones.
      task_names: in task order.
      trained: the tasks with a positive label in the training rows.

    Returns:
      What `score_weights` takes.

    Raises:
      ValueError: a task that was not trained is given a weight.
    """
    given = (1.0,) * len(task_names) if weights is None else tuple(weights)
    empty = [task for task in task_names if task not in trained]
    if not empty or len(given) != len(task_names):
        return weights if weights is None else given
    weighed = [
        task for task, weight in zip(task_names, given, strict=True) if task in empty and weight
    ]
    if weights is not None and weighed:
        raise ValueError(
            f"--score_weights: must be 0 for {', '.join(weighed)}, without a positive label in the "
            f"training rows, got {list(given)}"
        )
    return tuple(
        0.0 if task in empty else weight for task, weight in zip(task_names, given, strict=True)
    )
