"""What TensorBoard shows of the best checkpoint: pictures, curves, metrics, graph and projector.

It lies in a folder of its own, `events/best_<split>`, which is written anew whenever training ends:
it follows from the checkpoint alone, so that a run that was resumed has the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure
from numpy.typing import NDArray
from tensorboard.plugins.pr_curve import summary as pr_curve_summary

from input_pipeline.files import filesystem
from input_pipeline.pages.drawing import pixels
from input_pipeline.report.figures import macro_edges
from mgoe_tf.evaluation.calibration import reliability
from mgoe_tf.evaluation.evaluator import SPLITS, Evaluator
from mgoe_tf.reports import figures, projector, workings
from mgoe_tf.reports.run_facts import RunFacts
from mgoe_tf.training import summaries

_THRESHOLDS = 101


def write(facts: RunFacts, evaluator: Evaluator) -> None:
    """Writes `events/best_<split>` of the model directory anew.

    Args:
      facts: of the best checkpoint.
      evaluator: of its model.
    """
    folders = {
        split: filesystem.join(facts.model_dir, "events", f"best_{split}") for split in SPLITS
    }
    for folder in folders.values():
        filesystem.remove_tree(folder)
    folder = folders[facts.scored.split]
    step = round(facts.history.best_epoch * facts.history.steps_per_epoch)
    writer = tf.summary.create_file_writer(folder)
    summaries.write_metrics(writer, facts.metrics, step)
    with writer.as_default(step=step):
        for name, figure in pictures(facts).items():
            tf.summary.image(name, pixels(figure)[np.newaxis])
        for task in facts.spec.task_names:
            labels, logits, _ = facts.scored.of_task(task)
            if labels.any():
                curve = precision_recall(task, labels, logits)
                tf.summary.experimental.write_raw_pb(curve.SerializeToString(), step=step)
        tf.summary.graph(evaluator.graph())
    writer.close()
    projector.write(folder, facts, evaluator)


def pictures(facts: RunFacts) -> dict[str, Figure]:
    """By tag: reliability of each task, gates, attention by neighbour set, the macro graph."""
    tasks = [t for t in facts.spec.task_names if facts.metrics["tasks"][t]["labels"]]
    found = {
        f"reliability/{task}": figures.reliability(
            reliability(*facts.scored.of_task(task)[:2]), title=task
        )
        for task in tasks
    }
    experts = facts.loaded.model.expert_names
    for stage, shares in workings.gate_shares(facts).items():
        found[f"gates/{stage}"] = figures.gates(shares, experts)
    sets = workings.attention_shares(facts)
    if sets:
        most = workings.contrast(sets)
        found |= {
            f"attention/{name}": figures.shares_map(rows, most, title=name)
            for name, rows in sets.items()
        }
        found["macro_graph/edges"] = macro_edges(facts.graph.lift)
    return found


def precision_recall(task: str, labels: NDArray[Any], logits: NDArray[Any]) -> Any:
    """A precision-recall curve, of thresholds at which recall falls in equal steps.

    Thresholds that are spread over 0 to 1, as TensorBoard makes them, would leave nothing of a task
    whose probabilities are all small.

    Args:
      task: its name.
      labels: 0 or 1, [N], one of them 1.
      logits: [N].
    """
    order = np.argsort(-logits, kind="stable")
    positive = labels[order] > 0
    # counts of the rows at or above each row's logit: rows of one logit come together
    ends = np.searchsorted(-logits[order], -logits[order], "right") - 1
    true, false = np.cumsum(positive)[ends], np.cumsum(~positive)[ends]
    wanted = np.linspace(true[-1], 1, _THRESHOLDS)
    at = np.searchsorted(true, wanted, "left")
    tp, fp = true[at].astype(np.float64), false[at].astype(np.float64)
    num_positives, num_negatives = float(positive.sum()), float((~positive).sum())
    return pr_curve_summary.raw_data_pb(
        f"precision_recall/{task}",
        true_positive_counts=tp,
        false_positive_counts=fp,
        true_negative_counts=num_negatives - fp,
        false_negative_counts=num_positives - tp,
        precision=tp / (tp + fp),
        recall=tp / num_positives,
        num_thresholds=_THRESHOLDS,
        display_name=task,
        description=f"Of the best checkpoint; {num_positives:,.0f} of {len(labels):,} rows are "
        "positive. Thresholds are those at which recall falls in equal steps.",
    )
