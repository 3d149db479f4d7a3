"""What TensorBoard shows of options, metrics and the model's inner quantities."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf


def write_options(writer: tf.summary.SummaryWriter, **options: Any) -> None:
    """Every option as a table in TensorBoard's text tab."""
    for title, values in options.items():
        lines = [f"| {name} | {value} |" for name, value in dataclasses.asdict(values).items()]
        text = "\n".join(["| option | value |", "| --- | --- |", *lines])
        with writer.as_default(step=0):
            tf.summary.text(title, text)


def write_metrics(writer: tf.summary.SummaryWriter, metrics: Mapping[str, Any], step: int) -> None:
    """The metrics in metrics.json as scalars; undefined ones are left out, and so are counts."""
    values: dict[str, float | None] = {
        f"average/{name}": value for name, value in metrics["average"].items()
    }
    for task, of_task in metrics["tasks"].items():
        values |= {f"{name}/{task}": value for name, value in of_task.items()}
    for part, of_part in metrics["slices"].items():
        for task, of_task in of_part["tasks"].items():
            values |= {f"{name}_{part}/{task}": value for name, value in of_task.items()}
    with writer.as_default(step=step):
        for name, value in values.items():
            if isinstance(value, float):
                tf.summary.scalar(name, value)


def write_diagnostics(
    writer: tf.summary.SummaryWriter,
    diagnostics: Mapping[str, tf.Tensor],
    step: int,
    experts: Sequence[str],
) -> None:
    """Gates expert by expert; of other shares, such as macro weights, how concentrated they are.

    Args:
      writer: of TensorBoard.
      diagnostics: of `RankingModel.diagnostics`.
      step: of the run.
      experts: what those of a gate are called.
    """
    with writer.as_default(step=step):
        for name, value in diagnostics.items():
            if value.shape.rank == 0:
                tf.summary.scalar(name, value)
            elif name.split("/")[0].endswith("gates"):
                for expert, entry in zip(experts, tf.unstack(value), strict=True):
                    tf.summary.scalar(f"{name}/{expert}", entry)
            else:
                tf.summary.scalar(f"concentration/{name}", concentration(value))


def concentration(shares: tf.Tensor) -> tf.Tensor:
    """1 - H / log K of shares [K] that sum to 1: 0 where all are equal, 1 where one is all."""
    entropy = -tf.reduce_sum(tf.math.xlogy(shares, shares))
    return 1.0 - entropy / tf.math.log(tf.cast(tf.maximum(tf.size(shares), 2), shares.dtype))
