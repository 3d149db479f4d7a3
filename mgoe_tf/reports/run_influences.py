"""How much each user moves the metrics of single runs, for comparing them on the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from input_pipeline.files import filesystem
from input_pipeline.spec import SPEC_FILE, read_spec
from mgoe_tf.evaluation import user_errors
from mgoe_tf.evaluation.evaluator import Evaluator
from mgoe_tf.evaluation.scored import Scored
from mgoe_tf.reports.run_groups import SLICE_METRICS
from mgoe_tf.training import checkpoints
from mgoe_tf.training.run_card import data_checksum
from mgoe_tf.training.trained_tasks import trained_tasks

Influences = dict[str, NDArray[np.float64]]


class RunInfluences:
    """Scores the rows of single runs again, each when it is asked for.

    Args:
      split: whose rows.
      metric: its name in metrics.json.
      part: a slice of the rows; "": all.
      data_dir: where the rows are; "": where each run was trained.
    """

    def __init__(self, split: str, metric: str, part: str = "", data_dir: str = "") -> None:
        self._split = split
        self._metric = metric
        self._part = part
        self._data_dir = data_dir
        self._found: dict[str, Influences] = {}
        self.refusals: dict[str, str] = {}

    def of_pair(
        self, first: str, second: str
    ) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Both runs' influences by task, and of the `mean`: [U] each.

        Empty where they cannot be had; `refusals` then says why, by the pair's directories.
        """
        reason = self._reason(first, second)
        if reason:
            self.refusals[f"{first}, {second}"] = reason
            return {}
        ours, theirs = (self._of_run(path) for path in (first, second))
        return {task: (ours[task], theirs[task]) for task in ours if task in theirs}

    def _reason(self, first: str, second: str) -> str:
        """Why the predictions of two runs on the same rows cannot be had; "": they can."""
        if self._metric not in SLICE_METRICS:
            return f"the error over users is known of {', '.join(SLICE_METRICS)} alone"
        specs = [read_spec(path) for path in (first, second)]
        if data_checksum(specs[0]) != data_checksum(specs[1]):
            return "they were trained on different data sets"
        for path, spec in zip((first, second), specs, strict=True):
            data_dir = self._data_of(path)
            if not filesystem.exists(filesystem.join(data_dir, SPEC_FILE)):
                return f"there is no data set at {data_dir}"
            if data_checksum(read_spec(data_dir)) != data_checksum(spec):
                return f"{data_dir} holds another data set than the one trained on"
        return ""

    def _data_of(self, model_dir: str) -> str:
        return self._data_dir or checkpoints.read_options(model_dir)[1].data_dir

    def _of_run(self, model_dir: str) -> Influences:
        if model_dir not in self._found:
            loaded = checkpoints.load_model(model_dir)
            evaluator = Evaluator(
                self._data_of(model_dir),
                loaded.spec,
                self._split,
                model=loaded.model,
                lookup=loaded.lookup,
                skip_bad_records=loaded.train_options.skip_bad_records,
                averaged=trained_tasks(loaded.spec, loaded.train_options),
            )
            self._found[model_dir] = influences(evaluator.score(), self._metric, self._part)
        return self._found[model_dir]


def influences(scored: Scored, metric: str, part: str = "") -> Influences:
    """The influence of each user on a metric by task, and on the `mean`: float64 [U] each.

    Args:
      scored: the rows.
      metric: one of `user_errors.INFLUENCES`.
      part: a slice of the rows; "": all.
    """
    rows = scored.rows
    # place: [N], of U users
    _, place = np.unique(rows.users, return_inverse=True)
    found: Influences = {}
    for task, labels in rows.labels.items():
        chosen = labels >= 0
        if part:
            chosen &= rows.slices[part]
        if not _both_classes(labels[chosen]) and metric == "auc":
            continue
        moved = user_errors.INFLUENCES[metric](labels[chosen], scored.logits[task][chosen])
        of_users = np.bincount(place[chosen], moved, int(place.max()) + 1)
        found[task] = of_users.astype(np.float64)
    averaged = [of_task for task, of_task in found.items() if task in scored.averaged_tasks]
    if averaged:
        found["mean"] = _mean(averaged)
    return found


def _both_classes(labels: NDArray[Any]) -> bool:
    return bool(labels.any() and not labels.all())


def _mean(values: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    return np.mean(np.stack(values), axis=0)
