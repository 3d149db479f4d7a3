"""Training in phases, for models that have them."""

from __future__ import annotations

from collections.abc import Callable

from mgoe_tf.training.loop import Hook, Run
from mgoe_tf.training.optimizers import inner_optimizer
from mgoe_tf.training.step import TrainingStep


class Phases(Hook):
    """Asks the model before each epoch whether a new phase begins (`RankingModel.begin_epoch`).

    Where one does, the optimizer begins anew, moments, moving averages, and the schedule of its
    learning rate; and the best epoch is looked for among those that follow.

    A checkpoint holds what was changed, and a position in the middle of an epoch says that it was:
    nothing is saved between this hook and the first step of an epoch, so that a killed run either
    finds the change made, or makes it again from the same weights.

    Args:
      step: whose model and optimizer are changed.
      report: called with a line about each new phase.
    """

    def __init__(self, step: TrainingStep, *, report: Callable[[str], None]) -> None:
        self._step = step
        self._report = report

    def before_epoch(self, run: Run) -> None:
        if not self._step.model.begin_epoch(run.position.epoch):
            return
        inner_optimizer(self._step.optimizer).restart(self._step.weights)
        run.position.begin_phase()
        self._report(
            f"a new phase of training begins with epoch {run.position.epoch + 1}: the optimizer "
            "begins anew, and the best epoch is one of those to come"
        )
