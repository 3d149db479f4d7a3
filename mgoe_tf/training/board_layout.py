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
from mgoe_tf.models.base import RankingModel

# What says where a run is, when it stops and what it writes, not what it learns.
_NO_HYPERPARAMETERS = frozenset(
    {
        *("data_dir", "model_dir", "resume", "checkpoint_steps", "keep_checkpoints"),
        *("evaluate_test", "report", "profile_steps", "skip_bad_records", "intra_op_threads"),
    }
)

# Of kinds of a model's inner quantities.
_TITLES = {
    "attention": "attention (0: even, 1: all on one group)",
    "alpha": "macro weights alpha (0: even, 1: all on one group)",
    "theta": "theta, what is passed on by the task before",
    "kappa": "kappa, the weight of the adjustment",
}


def layout(
    tasks: Sequence[str], inner: Sequence[str] = (), penalties: Sequence[str] = ()
) -> layout_pb2.Layout:
    """The charts, most telling first: by what is asked of a run, not by name.

    Args:
      tasks: names in task order.
      inner: names of the model's `diagnostics`.
      penalties: names of the model's penalties.
    """
    quality = {
        "AUC of all tasks": ["auc/"],
        "mean AUC": ["average/auc$"],
        "normalized entropy (below 1: better than the base rate)": ["normalized_entropy/"],
        "calibration (1 is right)": ["calibration/"],
        "logloss": ["logloss/"],
        "AUC within users": ["gauc/"],
        "area under the curve of precision and recall": ["auprc/"],
    }
    slices = {f"AUC, {name.replace('_', ' ')}": [f"auc_{name}/"] for name in SLICES}
    training = {
        "loss of each task": ["loss/"],
        "loss": ["loss$"],
        "learning rate": ["learning_rate$"],
        "weights of the losses": ["weight/"],
    }
    if penalties:
        training["penalties beside the losses"] = ["penalty/"]
    speed = {
        "rows a second": ["speed/examples_per_second$"],
        "share of time waiting for input": ["speed/share_waiting_for_input$"],
    }
    groups: dict[str, dict[str, list[str]]] = {
        "How well it ranks": quality,
        "Where it ranks well": slices,
        "Training": training,
        "What it goes by": _workings(tasks, inner),
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
            if charts
        ]
    )


def _workings(tasks: Sequence[str], inner: Sequence[str]) -> dict[str, list[str]]:
    """Charts of a model's inner quantities, by their names: gates first, then kind by kind."""
    kinds = list(dict.fromkeys(name.split("/")[0] for name in inner))
    gates = [kind for kind in kinds if kind.endswith("gates")]
    evenness = [kind for kind in kinds if kind.endswith("gates_entropy")]
    charts = {
        f"{kind.replace('_', ' ')} of {task}": [f"{kind}/{re.escape(task)}/"]
        for kind in gates
        for task in tasks
    }
    if evenness:
        charts["evenness of gates (1: even, 0: one expert alone)"] = [f"{k}/" for k in evenness]
    return charts | {
        _TITLES.get(kind, kind.replace("_", " ")): [f"(concentration/)?{kind}(/|$)"]
        for kind in kinds
        if kind not in (*gates, *evenness)
    }


def write_layout(writer: tf.summary.SummaryWriter, model: RankingModel) -> None:
    """Writes the arrangement of custom scalars of a model's runs, once a run."""
    inner = [*model.diagnostics(model.zero_features())]
    arranged = layout(model.spec.task_names, inner, model.penalty_names)
    _write(writer, custom_scalar_summary.pb(arranged))


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
