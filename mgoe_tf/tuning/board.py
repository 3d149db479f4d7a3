"""What TensorBoard's hyperparameters show of a study.

The directory of the study holds which flags were tried, what they may be, and by which numbers
trials are compared. Each trial is a session, whose values its training has written beside the
curves of validation (`training.board_layout`); its score is added to these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
from tensorboard.plugins.hparams import api as hparams

from input_pipeline.files import filesystem
from mgoe_tf.training.board_layout import write_description
from mgoe_tf.tuning.domains import Choices, Domain, Integer
from mgoe_tf.tuning.space import Space

SCORE_TAG = "search/score"


def write_study(study_dir: str, spaces: Mapping[str, Space], tasks: Sequence[str]) -> None:
    """Writes the event of the study, in the place of an earlier one.

    Args:
      study_dir: where to.
      spaces: by model.
      tasks: names in task order.
    """
    for name in filesystem.listdir(study_dir):
        if name.startswith("events.out.tfevents."):
            filesystem.remove(filesystem.join(study_dir, name))
    names = dict.fromkeys(name for space in spaces.values() for name in space)
    tried = {name: [space[name] for space in spaces.values() if name in space] for name in names}
    shown = [hparams.HParam("model", hparams.Discrete(list(spaces)))]
    for name, domains in tried.items():
        if len({str(domain) for domain in domains}) > 1 or not _is_fixed(domains[0]):
            shown.append(hparams.HParam(name, _board_domain(domains)))
    metrics = {SCORE_TAG: "score (best epoch)", "average/auc": "mean AUC (last epoch)"}
    metrics |= {f"auc/{task}": f"AUC {task} (last epoch)" for task in tasks}
    writer = tf.summary.create_file_writer(study_dir)
    write_description(writer, shown, metrics)
    writer.close()


def write_score(model_dir: str, epochs: int, score: float) -> None:
    """Adds the score of a trial to the curves of its validation window.

    Args:
      model_dir: of the trial.
      epochs: of the rung, which is the step: resumed curves are cut off behind later steps.
      score: of its best epoch so far.
    """
    writer = tf.summary.create_file_writer(filesystem.join(model_dir, "events", "validation"))
    with writer.as_default(step=epochs):
        tf.summary.scalar(SCORE_TAG, score)
    writer.close()


def _is_fixed(domain: Domain) -> bool:
    return isinstance(domain, Choices) and len(domain.values) == 1


def _board_domain(domains: Sequence[Domain]) -> Any:
    """A domain that holds those of all models; None where TensorBoard has none of the kind."""
    if all(isinstance(domain, Choices) for domain in domains):
        values = dict.fromkeys(_shown(v) for domain in domains for v in domain.values)  # type: ignore[attr-defined]
        values.pop(None, None)  # what is not set is not among the values of a session
        return hparams.Discrete(list(values)) if len({*map(type, values)}) == 1 else None
    if any(isinstance(domain, Choices) for domain in domains):
        return None
    low, high = min(d.low for d in domains), max(d.high for d in domains)  # type: ignore[attr-defined]
    if isinstance(domains[0], Integer):
        return hparams.IntInterval(low, high)
    return hparams.RealInterval(low, high)


def _shown(value: Any) -> Any:
    """As `training.board_layout.write_hyperparameters` writes it."""
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
