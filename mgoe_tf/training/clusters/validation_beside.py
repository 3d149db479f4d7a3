"""Evaluates the epochs of a parameter-server run from their checkpoints.

In a process of its own where the cluster has an evaluator, else in the chief between epochs. The
model is whole here, outside of any strategy, and its rows are in the order of their indices.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from input_pipeline.files import filesystem
from input_pipeline.spec import DatasetSpec
from mgoe_tf.evaluation.evaluator import Evaluator
from mgoe_tf.models.options import ModelOptions
from mgoe_tf.training import board_layout, checkpoints
from mgoe_tf.training.clusters.run_state import (
    POLL_SECONDS,
    ClusterCheckpoints,
    put_in_index_order,
    row_orders,
)
from mgoe_tf.training.hooks import Validation
from mgoe_tf.training.loop import Run
from mgoe_tf.training.options import TrainOptions
from mgoe_tf.training.stopping import Interrupted, StopRequest
from mgoe_tf.training.trained_tasks import trained_tasks
from mgoe_tf.training.trainer import evaluate_best, event_writer, make_step


class EpochValidation:
    """Evaluates finished epochs that were not yet, one after the other, and keeps the best.

    Args:
      spec: of the data set.
      model_options, options: of the run, whose model directory is there.
      report: called with a line about each epoch.
    """

    def __init__(
        self,
        spec: DatasetSpec,
        model_options: ModelOptions,
        options: TrainOptions,
        *,
        report: Callable[[str], None],
    ) -> None:
        model = checkpoints.new_model(spec, model_options, options)
        # none is taken
        self._step = make_step(model, options, num_steps=options.warmup_steps + 1)
        self._orders = row_orders(model)
        self._saved = ClusterCheckpoints(options.model_dir, self._step, self._orders)
        self._options = options
        self._position = self._saved.validated()
        writer = event_writer(
            options.model_dir,
            "validation",
            self._position.validated_step if self._position.epoch else None,
        )
        if not self._position.epoch:
            names = spec.task_names
            board_layout.write_hyperparameters(writer, names, options, model_options, trial=None)
        evaluator = Evaluator(
            options.data_dir,
            spec,
            "validation",
            model=model,
            lookup=checkpoints.make_lookup(options.model_dir, spec, model),
            skip_bad_records=options.skip_bad_records,
            averaged=trained_tasks(spec, options),
        )
        self._hook = Validation(
            evaluator,
            self._step,
            self._saved,
            writer,
            metrics_file=filesystem.join(options.model_dir, "metrics_validation.json"),
            report=report,
        )

    def catch_up(self) -> int:
        """Evaluates what there is to evaluate; returns the latest evaluated epoch."""
        position = self._position
        for epoch, number in sorted(self._saved.epochs().items()):
            if epoch <= position.epoch:
                continue
            position.step = self._saved.restore_epoch(number).step
            put_in_index_order(self._step, self._orders)
            position.epoch = epoch - 1
            self._hook.after_epoch(Run(position, 1, self._options.epochs))
            self._saved.write_validated(position)
        return position.epoch

    @property
    def is_finished(self) -> bool:
        """Whether the run has come to its end, and its last epoch was evaluated."""
        epochs = self._saved.finished(self._options)
        return epochs is not None and self._position.epoch >= epochs


def train(model_options: ModelOptions, options: TrainOptions) -> dict[str, Any]:
    """Evaluates a run until its end, in a process beside it; returns metrics as `trainer.train`.

    Raises:
      Interrupted: the process was told to end; another one goes on.
    """
    with StopRequest().listening() as stop:
        while not checkpoints.holds_checkpoint(options.model_dir):
            _wait(stop)
        spec = checkpoints.read_trained_spec(options)
        tf.keras.utils.set_random_seed(options.seed)
        validation = EpochValidation(spec, model_options, options, report=_print)
        latest = -1
        while not validation.is_finished:
            before, latest = latest, validation.catch_up()
            if latest == before:
                _wait(stop)
        return evaluate_best(spec, options)


def _wait(stop: StopRequest) -> None:
    if stop.number is not None:
        raise Interrupted(stop.number)
    time.sleep(POLL_SECONDS)


def _print(line: str) -> None:
    print(line, flush=True)
