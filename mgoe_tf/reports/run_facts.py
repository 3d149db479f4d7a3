"""What is told of a trained model: gathered once, for the page of the run and for TensorBoard."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

from numpy.typing import NDArray

from input_pipeline.files import filesystem
from input_pipeline.report.macro_graph import MacroGraph
from input_pipeline.spec import DatasetSpec
from mgoe_tf.evaluation.best_possible import best_possible_auc
from mgoe_tf.evaluation.evaluator import Evaluator
from mgoe_tf.evaluation.scored import Scored
from mgoe_tf.training import event_files
from mgoe_tf.training.checkpoints import LoadedModel
from mgoe_tf.training.run_card import RUN_FILE

Points = list[tuple[int, float]]
EVENT_PARTS = ("train", "validation")


@dataclasses.dataclass(frozen=True)
class RunFacts:
    """A trained model, and how it does on a window.

    Attributes:
      model_dir: where it was found.
      loaded: the model, its options and its data set's spec.
      scored: the window's rows and their predictions.
      metrics: the contents of metrics.json.
      diagnostics: of the window's first batch, by name (`RankingModel.diagnostics`).
      curves: of `train` and `validation`: every (step, value) by tag.
      card: the contents of run.json.
      graph: the macro graph at the end of the log.
      best_auc: the best that is possible, by task; None where the truth is not known.
    """

    model_dir: str
    loaded: LoadedModel
    scored: Scored
    metrics: dict[str, Any]
    diagnostics: dict[str, NDArray[Any]]
    curves: dict[str, dict[str, Points]]
    card: dict[str, Any]
    graph: MacroGraph
    best_auc: dict[str, float | None] | None

    @classmethod
    def gather(
        cls, model_dir: str, loaded: LoadedModel, evaluator: Evaluator, scored: Scored
    ) -> RunFacts:
        """Reads a model directory and looks at the model's inner quantities.

        Args:
          model_dir: of the model.
          loaded: from it.
          evaluator: of the model on the window.
          scored: what it gave.

        Raises:
          ValueError: the model directory has no run.json.
        """
        card = filesystem.join(model_dir, RUN_FILE)
        if not filesystem.exists(card):
            raise ValueError(f"{card}: the run's own description is missing")
        found = evaluator.model.diagnostics(evaluator.first_features())
        return cls(
            model_dir=model_dir,
            loaded=loaded,
            scored=scored,
            metrics=scored.metrics(),
            diagnostics={name: value.numpy() for name, value in found.items()},
            curves={
                part: event_files.read_scalars(filesystem.join(model_dir, "events", part))
                for part in EVENT_PARTS
            },
            card=json.loads(filesystem.read_text(card)),
            graph=MacroGraph.read(evaluator.spec, evaluator.data_dir),
            best_auc=best_possible_auc(evaluator.data_dir, scored.split),
        )

    @property
    def spec(self) -> DatasetSpec:
        """Of the data set that the model was trained on."""
        return self.loaded.spec

    @property
    def steps_per_epoch(self) -> float:
        """How many steps an epoch had; NaN before the first was finished."""
        last = self.card["sessions"][-1]
        epochs = last.get("epochs_finished", 0)
        return last["ended_at_step"] / epochs if epochs else float("nan")

    @property
    def best_epoch(self) -> int:
        """The epoch whose weights were kept, counted from 1; the first of the best ones."""
        # the early validation is no epoch's
        points = [
            (step, value)
            for step, value in self.curves["validation"].get("average/auc", [])
            if round(step / self.steps_per_epoch, 6).is_integer()
        ]
        if not points:
            return 1
        best = max(points, key=lambda point: (point[1], -point[0]))
        return round(best[0] / self.steps_per_epoch)

    def by_part(self) -> dict[str, int]:
        """How many weights each part of the model has, the largest first."""
        counts = {
            layer.name: sum(math.prod(weight.shape) for weight in layer.weights)
            for layer in self.loaded.model.layers
        }
        return dict(sorted(counts.items(), key=lambda part: -part[1]))
