"""The best AUC that any model can expect on a synthetic log, whose probabilities are known."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from input_pipeline.exact_auc import auc_of_ranks
from input_pipeline.files import filesystem
from input_pipeline.log.interactions import Interactions
from input_pipeline.log.rows import Rows
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.sources.synthetic import truth
from input_pipeline.sources.synthetic.world import make_world
from input_pipeline.spec import DatasetSpec


class BestAuc:
    """Ranks the validation and test rows of a synthetic data set by their true probabilities.

    Args:
      interactions: the log.
      spec: of the data set.
      preparation: the options that the log was drawn with.
    """

    def __init__(
        self, interactions: Interactions, spec: DatasetSpec, preparation: PreparationOptions
    ):
        self._interactions = interactions
        self._spec = spec
        self._options = preparation
        self._world = make_world(preparation.users, preparation.items, preparation.seed)
        self._best: dict[str, dict[str, float | None]] = {}

    def add(self, window: int, rows: Rows, touched_before: NDArray[Any]) -> None:
        """Takes in the rows of a window; `touched_before` tells of pairs logged before it, [R]."""
        split = self._interactions.windows.split(window)
        if split not in ("validation", "test"):
            return
        probabilities = self._probabilities(window, rows, touched_before.astype(bool))
        self._best[split] = {}
        for bit, task in enumerate(self._spec.task_names):
            positive = ((rows.positive >> np.uint32(bit)) & np.uint32(1)) == 1
            _, ranks = np.unique(probabilities[:, bit], return_inverse=True)
            self._best[split][task] = auc_of_ranks(positive, ranks)

    def save(self, data_dir: str) -> None:
        """Writes `world/world.npz` and `world/best_auc.json`: {split: {task: AUC, or null}}."""
        folder = filesystem.join(data_dir, "world")
        filesystem.make_dirs(folder)
        self._world.save(filesystem.join(folder, "world.npz"))
        text = json.dumps(self._best, indent=2) + "\n"
        filesystem.write_text(filesystem.join(folder, "best_auc.json"), text)

    def _probabilities(self, window: int, rows: Rows, touched_before: NDArray[Any]) -> NDArray[Any]:
        """float64 [R, T]."""
        ids = self._interactions.ids
        users, items = ids["user"].values, ids["item"].values
        # A planted log's are integers.
        assert isinstance(users, np.ndarray)
        assert isinstance(items, np.ndarray)
        users, items = users[rows.user], items[rows.item]
        if self._spec.rows == "exposures":
            assert rows.timestamp is not None
            return truth.exposure_probabilities(self._world, users, items, rows.timestamp)
        if self._spec.rows == "events":
            assert rows.timestamp is not None
            return truth.event_probabilities(self._world, users, items, rows.timestamp)
        timestamps = self._interactions.events.timestamp
        assert timestamps is not None
        inside = timestamps[self._interactions.windows.slice(window)]
        first, last = int(inside.min()), int(inside.max())
        span = int(((timestamps >= first) & (timestamps <= last)).sum())
        pair_window = truth.PairWindow(
            first=first,
            last=last,
            events=len(inside),
            share=len(inside) / span,
            negatives=self._options.negatives,
            negative_power=self._options.negative_power,
        )
        return truth.pair_probabilities(self._world, users, items, touched_before, pair_window)
