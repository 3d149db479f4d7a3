"""What the truth says, where it is known: the data sets of synthetic worlds."""

from __future__ import annotations

from typing import Any

from input_pipeline.files import filesystem
from input_pipeline.files.json_file import read_json


def best_possible_auc(data_dir: str, split: str) -> dict[str, Any] | None:
    """AUC of the true probabilities by task; None for data of no synthetic world."""
    path = filesystem.join(data_dir, "world", "best_auc.json")
    if not filesystem.exists(path):
        return None
    return read_json(path, "Delete it: the model does not need it")[split]
