"""How TensorBoard arranges a run: what its custom scalars and its hyperparameters show first."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.custom_scalar import summary as custom_scalar_summary
from tensorboard.plugins.hparams import api as hparams

from mgoe_tf.evaluation.scored import SLICES

# What says where a run is, when it stops and what it writes, not what it learns.
_NO_HYPERPARAMETERS = frozenset(
    {
        *("data_dir", "model_dir", "resume", "checkpoint_steps", "keep_checkpoints"),
        *("evaluate_test", "report", "profile_steps", "skip_bad_records", "intra_op_threads"),
    }
)


def layout(tasks: Sequence[str]) -> layout_pb2.Layout:
    """The charts, most telling first: by what is asked of a run, not by name.

    Args:
      tasks: names in task order.
    """
    quality = {
        "AUC of all tasks": ["auc/"],
        "mean AUC": ["average/auc$"],
        "normalized entropy (below 1: better than the base rate)": ["normalized_entropy/"],
        "calibration (1 is right)": ["calibration/"],
        "logloss": ["logloss/"],
        "AUC within users": ["gauc/"],
    }
    slices = {f"AUC, {name.replace('_', ' ')}": [f"auc_{name}/"] for name in SLICES}
    training = {
        "loss of each task": ["loss/"],
        "loss": ["loss$"],
        "learning rate": ["learning_rate$"],
        "weights of the losses": ["weight/"],
    }
    workings = {
        **{f"gates of {task}": [f"gates/{re.escape(task)}/"] for task in tasks},
        **{f"fusion gates of {task}": [f"fusion_gates/{re.escape(task)}/"] for task in tasks},
        "attention (0: even, 1: all on one group)": ["concentration/attention/"],
        "macro weights alpha (0: even, 1: all on one group)": ["concentration/alpha/"],
        "theta, what is passed on by the task before": ["theta/"],
        "kappa, the weight of the adjustment": ["kappa/"],
    }
    speed = {
        "rows a second": ["speed/examples_per_second$"],
        "share of time waiting for input": ["speed/share_waiting_for_input$"],
    }
    groups = {
        "How well it ranks": quality,
        "Where it ranks well": slices,
        "Training": training,
        "What it goes by": workings,
        "Speed": speed,
    }
    return layout_pb2.Layout(
        category=[
            layout_pb2.Category(
                title=title,
                closed=number > 0,
                chart=[
                    layout_pb2.Chart(
                        title=chart, multiline=layout_pb2.MultilineChartContent(tag=tags)
                    )
                    for chart, tags in charts.items()
                ],
            )
            for number, (title, charts) in enumerate(groups.items())
        ]
    )


def write_layout(writer: tf.summary.SummaryWriter, tasks: Sequence[str]) -> None:
    """Writes the arrangement of custom scalars, once a run."""
    _write(writer, custom_scalar_summary.pb(layout(tasks)))


def write_hyperparameters(
    writer: tf.summary.SummaryWriter,
    tasks: Sequence[str],
    *options: Any,
    trial: str | None = None,
) -> None:
    """Writes every option as a hyperparameter; its metrics are the scalars of the same writer.

    TensorBoard takes the first description of hyperparameters and metrics that it finds: that of a
    search lies in its directory, and its trials have none of their own.

    Args:
      writer: of validation.
      tasks: names in task order.
      options: dataclasses.
      trial: what the run is called in a search; None: it belongs to none.
    """
    values = {
        name: value if isinstance(value, bool | int | float | str) else str(value)
        for part in options
        for name, value in dataclasses.asdict(part).items()
        if name not in _NO_HYPERPARAMETERS and value is not None
    }
    if trial is None:
        metrics = {"average/auc": "mean AUC", "average/logloss": "mean logloss"}
        metrics |= {f"auc/{task}": f"AUC {task}" for task in tasks}
        write_description(writer, [hparams.HParam(name) for name in values], metrics)
    _write(writer, hparams.hparams_pb(values, trial_id=trial))


def write_description(
    writer: tf.summary.SummaryWriter,
    parameters: Sequence[hparams.HParam],
    metrics: Mapping[str, str],
) -> None:
    """Writes which hyperparameters and metrics the runs of a directory have.

    Args:
      writer: of the directory.
      parameters: with what they may be.
      metrics: from the tag of a scalar to what it is called.
    """
    shown = [hparams.Metric(tag, display_name=name) for tag, name in metrics.items()]
    _write(writer, hparams.hparams_config_pb(list(parameters), shown))


def _write(writer: tf.summary.SummaryWriter, summary: Any) -> None:
    with writer.as_default(step=0):
        tf.summary.experimental.write_raw_pb(summary.SerializeToString(), step=0)
