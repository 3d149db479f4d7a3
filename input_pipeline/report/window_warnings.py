"""What a user should know of windows before training: few rows, and tasks that cannot be learnt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from input_pipeline.log.windows import split_of
from input_pipeline.report.window_statistics import WindowStatistics
from input_pipeline.spec import DatasetSpec

_FEW_ROWS = 1_000
_FEW_USERS = 0.1  # of all


def window_warnings(spec: DatasetSpec, windows: Sequence[WindowStatistics]) -> list[str]:
    """A sentence each, of the windows in order."""
    found = [*_few_rows(spec, windows[-2:]), *_unlearnable(spec, windows[:-2])]
    validation = windows[-2]
    classes = {task: validation.positives[task] for task in spec.task_names}
    if all(positives in (0, validation.labels[task]) for task, positives in classes.items()):
        found.append(
            "every task has labels of one kind alone in the validation window, so that AUC cannot "
            "compare epochs there: log loss has to, or other --cuts or --split=random give a "
            "window with both"
        )
    return found


def _few_rows(spec: DatasetSpec, windows: Sequence[WindowStatistics]) -> Iterator[str]:
    """Of the windows that models are judged by."""
    all_users = spec.counts["users"]
    few = [w for w in windows if w.rows < _FEW_ROWS or w.users < _FEW_USERS * all_users]
    if not few:
        return
    told = " and ".join(
        f"{window.name} has {window.rows:,} rows of {window.users:,} of {all_users:,} users"
        for window in few
    )
    yield (
        f"{told}: below {_FEW_ROWS:,} rows or a tenth of the users, small differences between "
        "models mean little; other --cuts or --split=random give larger windows"
    )


def _unlearnable(spec: DatasetSpec, windows: Sequence[WindowStatistics]) -> Iterator[str]:
    """Of history and the training windows."""
    assert all(split_of(n, len(windows) + 2) in ("history", "train") for n in range(len(windows)))
    for task in spec.task_names:
        positives = sum(window.positives[task] for window in windows)
        labels = sum(window.labels[task] for window in windows)
        if not labels:
            yield f"task {task} has no labels in the rows of training: it cannot be learnt"
        elif not positives:
            yield (
                f"task {task} has no positives among {labels:,} labels of the rows of training: "
                "it cannot be learnt"
            )
        elif positives == labels:
            yield (
                f"task {task} has no negatives among {labels:,} labels of the rows of training: "
                "it cannot be learnt"
            )
