"""A worker among others that step together, each with a slice of every batch.

Each has all weights; gradients are summed over all workers (ring all-reduce), so that a step is one
with the whole batch. The chief writes the model directory; where one is gone, all are to be started
again.
"""

from __future__ import annotations

import contextlib
import functools
import os
import tempfile
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from input_pipeline.files import filesystem
from input_pipeline.spec import DatasetSpec
from mgoe_tf.evaluation.evaluator import Evaluator
from mgoe_tf.models.options import ModelOptions
from mgoe_tf.training import board_layout, checkpoints, hooks, loop, summaries
from mgoe_tf.training.batches import TrainingBatches, open_training_rows
from mgoe_tf.training.clusters.agreement import AgreedStop, Agreement
from mgoe_tf.training.clusters.lost import noticing_loss
from mgoe_tf.training.clusters.place import Place
from mgoe_tf.training.options import TrainOptions
from mgoe_tf.training.phases import Phases
from mgoe_tf.training.position import Position
from mgoe_tf.training.progress import ProgressLine
from mgoe_tf.training.run_card import RunCard, flags_of
from mgoe_tf.training.run_checkpoints import RunCheckpoints
from mgoe_tf.training.run_lock import run_lock
from mgoe_tf.training.step import TrainingStep
from mgoe_tf.training.stopping import StopRequest
from mgoe_tf.training.trained_tasks import require_trained_tasks, trained_tasks
from mgoe_tf.training.trainer import (
    begin_run,
    evaluate_best,
    event_writers,
    make_step,
    profiles,
)


def train(model_options: ModelOptions, options: TrainOptions, place: Place) -> dict[str, Any]:
    """As `trainer.train`; {} of workers that are not the chief.

    Raises:
      ClusterLost: a worker is gone; what was saved before can be resumed.
    """
    with contextlib.ExitStack() as held:
        held.enter_context(noticing_loss("a worker"))
        strategy = _make_strategy(place)
        # after TensorFlow, which takes SIGTERM for itself when it connects
        heard = held.enter_context(StopRequest().listening())
        spec = checkpoints.read_trained_spec(options)
        require_trained_tasks(spec, options)
        tf.keras.utils.set_random_seed(options.seed)
        with strategy.scope():
            model = checkpoints.new_model(spec, model_options, options)
        examples = open_training_rows(spec, options, model.feature_names)
        batch_size = min(options.batch_size, examples.num_rows)
        count = strategy.num_replicas_in_sync
        if batch_size < count:
            raise ValueError(
                f"--batch_size: must be at least a row a worker, {count}, got {batch_size}"
            )
        num_steps = options.epochs * (examples.num_rows // batch_size)
        with strategy.scope():
            step = make_step(model, options, num_steps=num_steps)
        agreement = Agreement(strategy)
        if place.is_chief:
            held.enter_context(run_lock(options.model_dir))
            begin_run(model, options)
        agreement.meet()  # the model directory is there
        lookup = checkpoints.make_lookup(options.model_dir, spec, model)
        number = place.index + (place.role == "worker") * place.count("chief")
        source = TrainingBatches(examples, lookup, spec, options, (number, count))
        worker = _Worker(step, source, strategy, agreement, model_options, place.is_chief)
        worker.train(AgreedStop(heard, agreement))
        metrics = evaluate_best(spec, options) if place.is_chief else {}
        agreement.meet()  # none leaves while another one may take that for a loss
        return metrics


def _make_strategy(place: Place) -> tf.distribute.MultiWorkerMirroredStrategy:
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({role: list(of) for role, of in place.addresses.items()}),
        task_type=place.role,
        task_id=place.index,
        rpc_layer="grpc",
    )
    strategy = tf.distribute.MultiWorkerMirroredStrategy(resolver)
    workers = place.count("worker") + place.count("chief")
    if strategy.num_replicas_in_sync != workers:
        raise ValueError(
            "--distribution=multi_worker: every process must see one GPU at most "
            f"(CUDA_VISIBLE_DEVICES), got {strategy.num_replicas_in_sync} of {workers} processes"
        )
    return strategy


class _Worker:
    """Takes a run from where it stands to its end, in step with others."""

    def __init__(
        self,
        step: TrainingStep,
        source: TrainingBatches,
        strategy: tf.distribute.Strategy,
        agreement: Agreement,
        model_options: ModelOptions,
        is_chief: bool,
    ) -> None:
        self._step, self._source = step, source
        self._strategy, self._agreement = strategy, agreement
        self._model_options, self._is_chief = model_options, is_chief
        self._options: TrainOptions = source.options
        self._spec: DatasetSpec = source.spec

    def train(self, stop: StopRequest) -> None:
        options = self._options
        with tempfile.TemporaryDirectory(prefix="mgoe_tf-") as scratch:
            saved = (
                RunCheckpoints(options.model_dir, self._step, keep=options.keep_checkpoints)
                if self._is_chief
                else _OfAnother(options.model_dir, self._step, scratch)
            )
            position = saved.restore()
            run = loop.Run(position, self._source.steps_per_epoch, options.epochs)
            loop.train_steps(
                self._step,
                self._source,
                run,
                self._hooks(saved, position, options.model_dir if self._is_chief else scratch),
                strategy=self._strategy,
                patience=options.patience,
                stop=stop,
            )

    def _hooks(self, saved: RunCheckpoints, position: Position, folder: str) -> list[loop.Hook]:
        """Those of the chief write to its folder, the model directory."""
        options, step, source, spec = self._options, self._step, self._source, self._spec
        line = ProgressLine(batch_size=source.batch_size)
        report: Callable[[str], None] = line.print if self._is_chief else _say_nothing
        train_writer = validation_writer = tf.summary.create_noop_writer()
        if self._is_chief:
            train_writer, validation_writer = event_writers(folder, position)
        evaluator = Evaluator(
            options.data_dir,
            spec,
            "validation",
            model=step.model,
            lookup=source.lookup,
            skip_bad_records=options.skip_bad_records,
            averaged=trained_tasks(spec, options),
        )
        log = hooks.TrainingLog(
            train_writer,
            step,
            batch_size=source.batch_size,
            bad_records=len(source.examples.bad_records) + len(evaluator.examples.bad_records),
            report=report,
        )
        validation = hooks.Validation(
            evaluator,
            step,
            saved,
            validation_writer,
            metrics_file=filesystem.join(folder, "metrics_validation.json"),
            report=report,
            # all save what is the best epoch by it, which is a sum over workers in part
            agreed=functools.partial(self._agreement.of_chief, is_chief=self._is_chief),
        )
        found: list[loop.Hook] = [
            log,
            Phases(step, report=report),
            validation,
            hooks.Checkpoints(saved, log, train_writer, every_steps=options.checkpoint_steps),
        ]
        if not self._is_chief:
            return found
        weights = step.model.count_params()
        self._begin(position, train_writer, validation_writer, line, weights)
        flags = flags_of(self._model_options, options)
        card = RunCard(folder, spec, flags, weights=weights)
        return [*found, line, *profiles(options), card]

    def _begin(
        self,
        position: Position,
        train_writer: tf.summary.SummaryWriter,
        validation_writer: tf.summary.SummaryWriter,
        line: ProgressLine,
        weights: int,
    ) -> None:
        options = self._options
        if position.step:
            line.print(f"going on after step {position.step}, in epoch {position.epoch + 1}")
        else:
            summaries.write_options(train_writer, training=options, model=self._model_options)
            board_layout.write_layout(train_writer, self._step.model)
            board_layout.write_hyperparameters(
                validation_writer, self._spec.task_names, options, self._model_options, trial=None
            )
        line.print(
            f"training {options.model} ({weights:,} weights) on "
            f"{self._source.examples.num_rows:,} rows with {self._strategy.num_replicas_in_sync} "
            f"workers; watch it: tensorboard --logdir={options.model_dir}"
        )


class _OfAnother(RunCheckpoints):
    """Restores what the chief saved; takes part in saving, for what is a sum over workers.

    Args:
      model_dir, step: as of `RunCheckpoints`.
      scratch: local folder for what nobody reads.
    """

    def __init__(self, model_dir: str, step: TrainingStep, scratch: str) -> None:
        super().__init__(model_dir, step)
        self._unread = os.path.join(scratch, "unread")
        self._model = tf.train.Checkpoint(model=step.model)

    def save(self, position: Position) -> None:
        del position
        self._state.write(self._unread)

    def save_best(self, epoch: int) -> None:
        del epoch
        self._model.write(self._unread)


def _say_nothing(line: str) -> None:
    del line
