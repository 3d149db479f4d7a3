"""What is told of a trained model: gathered once, for the page of the run and for TensorBoard."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from numpy.typing import NDArray

from input_pipeline.report.macro_graph import MacroGraph
from input_pipeline.spec import DatasetSpec
from mgoe_tf.evaluation.best_possible import best_possible_auc
from mgoe_tf.evaluation.evaluator import Evaluator
from mgoe_tf.evaluation.scored import Scored
from mgoe_tf.reports.run_history import RunHistory
from mgoe_tf.training.checkpoints import LoadedModel


@dataclasses.dataclass(frozen=True)
class RunFacts:
    """A trained model, and how it does on a window.

    Attributes:
      model_dir: where it was found.
      loaded: the model, its options and its data set's spec.
      scored: the window's rows and their predictions.
      metrics: the contents of metrics.json.
      diagnostics: of the window's first batch, by name (`RankingModel.diagnostics`).
      history: how the run went.
      graph: the macro graph at the end of the log.
      best_auc: the best that is possible, by task; None where the truth is not known.
    """

    model_dir: str
    loaded: LoadedModel
    scored: Scored
    metrics: dict[str, Any]
    diagnostics: dict[str, NDArray[Any]]
    history: RunHistory
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
        found = evaluator.model.diagnostics(evaluator.first_features())
        return cls(
            model_dir=model_dir,
            loaded=loaded,
            scored=scored,
            metrics=scored.metrics(),
            diagnostics={name: value.numpy() for name, value in found.items()},
            history=RunHistory.read(model_dir),
            graph=MacroGraph.read(evaluator.spec, evaluator.data_dir),
            best_auc=best_possible_auc(evaluator.data_dir, scored.split),
        )

    @property
    def spec(self) -> DatasetSpec:
        """Of the data set that the model was trained on."""
        return self.loaded.spec

    def by_part(self) -> dict[str, int]:
        """How many weights each part of the model has, the largest first."""
        counts = {
            layer.name: sum(math.prod(weight.shape) for weight in layer.weights)
            for layer in self.loaded.model.layers
        }
        return dict(sorted(counts.items(), key=lambda part: -part[1]))
