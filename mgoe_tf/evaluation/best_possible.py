"""What the truth says, where it is known: the data sets of synthetic worlds."""

from __future__ import annotations

import json
from typing import Any

from input_pipeline.files import filesystem


def best_possible_auc(data_dir: str, split: str) -> dict[str, Any] | None:
    """AUC of the true probabilities by task; None for data of no synthetic world."""
    path = filesystem.join(data_dir, "world", "best_auc.json")
    return json.loads(filesystem.read_text(path))[split] if filesystem.exists(path) else None
