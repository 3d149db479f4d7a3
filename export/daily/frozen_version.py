"""A published version, asked about a later day: its weights and its graph have stayed behind."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from input_pipeline.dataset import open_examples
from input_pipeline.exact_auc import auc
from input_pipeline.feature import NODES
from input_pipeline.files.literal_path import literal_path
from input_pipeline.spec import read_spec

_BATCH_SIZE = 2048


class FrozenVersion:
    """Answers by ids alone, as a server does that has not been given another version.

    Args:
      folder: of the SavedModel, with the signature `rank_ids`.
    """

    def __init__(self, folder: str) -> None:
        self._model = tf.saved_model.load(literal_path(folder))
        self._rank = self._model.signatures["rank_ids"]

    def metrics(self, data_dir: str) -> dict[str, Any]:
        """`{"tasks": {task: {"auc"}}}` of the rows of the test window, which have no context."""
        spec = read_spec(data_dir)
        names = {f"{owner}_id" for owner in NODES}
        examples = open_examples(data_dir, spec, ["test"], names)
        labels: dict[str, list[Any]] = {task: [] for task in spec.task_names}
        scores: dict[str, list[Any]] = {task: [] for task in spec.task_names}
        for columns in examples.ordered_batches(_BATCH_SIZE, encode=dict):
            answers = self._rank(
                user_id=columns["user_id"], item_id=columns["item_id"][:, tf.newaxis]
            )
            for task in spec.task_names:
                labels[task].append(columns[f"label_{task}"].numpy())
                scores[task].append(answers[task].numpy().ravel())
        found = {}
        for task in spec.task_names:
            label, score = np.concatenate(labels[task]), np.concatenate(scores[task])
            told = label >= 0
            found[task] = {"auc": auc(label[told], score[told])}
        return {"tasks": found}
