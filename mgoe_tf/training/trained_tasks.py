"""Which tasks have something to be learnt from."""

from __future__ import annotations

from input_pipeline.spec import DatasetSpec
from mgoe_tf.training.batches import WINDOWS
from mgoe_tf.training.options import TrainOptions


def trained_tasks(spec: DatasetSpec, options: TrainOptions) -> tuple[str, ...]:
    """The tasks with a positive label in the training rows of a run, in task order."""
    by_window = spec.counts.get("positives", {})
    counts = [by_window[name] for name in WINDOWS[options.train_rows] if name in by_window]
    if not counts:
        return spec.task_names  # nobody counted
    return tuple(task for task in spec.task_names if any(count.get(task, 0) for count in counts))


def require_trained_tasks(spec: DatasetSpec, options: TrainOptions) -> None:
    """Refuses tasks without a positive label in the training rows, labelled or not.

    Raises:
      ValueError: there are some, and the options do not allow them; or no other task is there.
    """
    trained = trained_tasks(spec, options)
    empty = [task for task in spec.task_names if task not in trained]
    if not empty or (trained and options.allow_empty_tasks):
        return
    rows = sum(spec.counts["rows"].get(name, 0) for name in WINDOWS[options.train_rows])
    advice = "prepare a longer log, other --cuts, or the data without it"
    if trained:
        advice += "; --allow_empty_tasks trains all the same and leaves it out of `score`"
    raise ValueError(
        f"--data_dir={options.data_dir}: {', '.join(empty)} must have a positive label to be "
        f"learnt from, got none in {rows:,} training rows: {advice}"
    )
