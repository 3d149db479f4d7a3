"""The chief of a parameter-server cluster, or a process that does all of its work alone.

Id tables lie in shards on the servers, their rows apart (`row_order.py`); dense layers are whole.
Workers train on a shard of the rows at a time (`work_units.py`), without waiting for each other.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from input_pipeline.spec import DatasetSpec
from mgoe_tf.models.options import ModelOptions
from mgoe_tf.training import board_layout, checkpoints, summaries
from mgoe_tf.training.batches import TrainingBatches, open_training_rows
from mgoe_tf.training.clusters.coordinator import (
    RemoteWorkers,
    ThisProcess,
    UnitFunction,
    UnitRun,
    Workers,
)
from mgoe_tf.training.clusters.lost import noticing_loss, wait_for_servers
from mgoe_tf.training.clusters.place import Place
from mgoe_tf.training.clusters.run_state import ClusterCheckpoints, row_orders
from mgoe_tf.training.clusters.unit_log import UnitLog
from mgoe_tf.training.clusters.validation_beside import EpochValidation
from mgoe_tf.training.clusters.work_units import WorkUnits, unit_function
from mgoe_tf.training.loop import Hook, Run, exit_where_told
from mgoe_tf.training.options import TrainOptions
from mgoe_tf.training.position import Position
from mgoe_tf.training.progress import ProgressLine
from mgoe_tf.training.run_card import RunCard, flags_of
from mgoe_tf.training.run_lock import run_lock
from mgoe_tf.training.step import TrainingStep
from mgoe_tf.training.stopping import StopRequest
from mgoe_tf.training.tasks import MultiTask
from mgoe_tf.training.trained_tasks import require_trained_tasks
from mgoe_tf.training.trainer import begin_run, evaluate_best, event_writer, make_step


class UncountedTask(MultiTask):
    """Keeps no means: those of all workers in one place would cost calls at every step.

    Units carry their losses (`Done`). The metrics are there, so that checkpoints are alike.
    """

    def update_metrics(
        self,
        labels: Mapping[str, tf.Tensor],
        sums: tf.Tensor,
        penalties: Mapping[str, tf.Tensor] | None = None,
    ) -> None:
        del labels, sums, penalties


class TablePartitioner(tf.distribute.experimental.partitioners.MinSizePartitioner):
    """Shards of id tables alone, which `IdEmbeddings` makes in the scope of its name."""

    def __call__(self, shape: Any, dtype: Any, axis: int = 0) -> Any:
        if "id_embeddings" in tf.get_current_name_scope().split("/"):
            return super().__call__(shape, dtype, axis)
        return [1] * len(shape)


def make_cluster(
    place: Place | None, *, min_shard_bytes: int
) -> tuple[tf.distribute.Strategy, Workers]:
    """The strategy to make a model in, and who trains it."""
    if place is None:
        return tf.distribute.get_strategy(), ThisProcess()
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({role: list(of) for role, of in place.addresses.items()}),
        task_type=place.role,
        task_id=place.index,
        rpc_layer="grpc",
    )
    partitioner = TablePartitioner(min_shard_bytes, max_shards=place.count("ps"))
    strategy = tf.distribute.ParameterServerStrategy(resolver, variable_partitioner=partitioner)
    return strategy, RemoteWorkers(strategy, place.count("worker"))


def train(
    model_options: ModelOptions, options: TrainOptions, place: Place | None
) -> dict[str, Any]:
    """As `trainer.train`; {} where an evaluator beside returns the metrics.

    Raises:
      ClusterLost: a parameter server is gone; what was saved before can be resumed.
    """
    with contextlib.ExitStack() as held:
        with StopRequest().listening() as stop, noticing_loss("a parameter server"):
            spec = checkpoints.read_trained_spec(options)
            require_trained_tasks(spec, options)
            tf.keras.utils.set_random_seed(options.seed)
            if place is not None:
                wait_for_servers(place, stop)
            strategy, workers = make_cluster(place, min_shard_bytes=options.min_shard_bytes)
            with strategy.scope():
                model = checkpoints.new_model(spec, model_options, options)
            orders = row_orders(model)
            model.embeddings.row_orders = orders.by_table()
            examples = open_training_rows(spec, options, model.feature_names)
            units = WorkUnits(examples, options)
            num_steps = options.epochs * units.steps_per_epoch
            with strategy.scope():
                step = make_step(model, options, num_steps=num_steps, task_class=UncountedTask)
            # after everything that refuses options: a run that cannot begin takes no directory
            held.enter_context(run_lock(options.model_dir))
            begin_run(model, options)
            with strategy.scope():
                lookup = checkpoints.make_lookup(options.model_dir, spec, model)
            source = TrainingBatches(examples, lookup, spec, options)
            saved = ClusterCheckpoints(
                options.model_dir, step, orders, keep=options.keep_checkpoints, stop=stop
            )
            chief = _Chief(
                spec,
                model_options,
                options,
                units,
                unit_function(step, units, source, strategy),
                workers,
                step,
                saved,
                validates=place is None or not place.has_evaluator,
            )
            with examples.explained():
                chief.train(stop)
        return evaluate_best(spec, options) if chief.validates else {}


class _Chief:
    """Takes a run from where it stands to its end."""

    def __init__(
        self,
        spec: DatasetSpec,
        model_options: ModelOptions,
        options: TrainOptions,
        units: WorkUnits,
        function: UnitFunction,
        workers: Workers,
        step: TrainingStep,
        saved: ClusterCheckpoints,
        *,
        validates: bool,
    ) -> None:
        self.validates = validates
        self._spec, self._model_options, self._options = spec, model_options, options
        self._units, self._function, self._workers = units, function, workers
        self._step, self._saved = step, saved
        self._line = ProgressLine(batch_size=units.mean_rows)
        self._validation: EpochValidation | None = None

    def train(self, stop: StopRequest) -> None:
        saved, line, options = self._saved, self._line, self._options
        position = saved.restore()
        saved.remove_finished()
        run = Run(position, len(self._units), options.epochs)
        hooks = self._hooks(position)
        units = UnitRun(
            self._units, self._function, self._workers, run, hooks, options.checkpoint_steps, stop
        )
        if self.validates and position.epoch:
            self._validate()
        for hook in hooks:
            hook.begin(run)
        while position.epoch < options.epochs and not self._has_stalled(position):
            if not position.batch:
                for hook in hooks:
                    hook.before_epoch(run)
            while not run.is_epoch_end:
                units.train_block()
                exit_where_told(stop, run, [*hooks, _SaveAtExit(saved)])
                if not run.is_epoch_end:
                    saved.save(position)
            for hook in hooks:
                hook.after_epoch(run)
            position.epoch += 1
            position.batch = 0
            saved.save(position)
            if self.validates:
                self._validate()
            exit_where_told(stop, run, ())
        for hook in hooks:
            hook.end(run)
        saved.write_finished(position.epoch, options)
        line.clear()

    def _hooks(self, position: Position) -> list[Hook]:
        options, line, step = self._options, self._line, self._step
        last = position.logged_step if position.step else None
        writer = event_writer(options.model_dir, "train", last)
        if position.step:
            line.print(f"going on after step {position.step}, in epoch {position.epoch + 1}")
        else:
            if options.resume:
                line.print(
                    f"--resume: {options.model_dir} holds no saved run yet: this one begins anew"
                )
            summaries.write_options(writer, training=options, model=self._model_options)
            board_layout.write_layout(writer, step.model)
        weights = step.model.count_params()
        line.print(
            f"training {options.model} ({weights:,} weights) in {len(self._units)} units an epoch; "
            f"watch it: tensorboard --logdir={options.model_dir}"
        )
        flags = flags_of(self._model_options, options)
        card = RunCard(options.model_dir, self._spec, flags, weights=weights)
        return [UnitLog(writer, step, report=line.print), line, card]

    def _validate(self) -> None:
        if self._validation is None:
            self._validation = EpochValidation(
                self._spec, self._model_options, self._options, report=self._line.print
            )
        self._validation.catch_up()

    def _has_stalled(self, position: Position) -> bool:
        """By the epochs before the last, where another process evaluates: it may be at the last."""
        if not self._options.patience:
            return False
        if not self.validates:
            self._saved.wait_for(position.epoch - 1)
        return self._saved.validated().has_stalled(self._options.patience)


class _SaveAtExit(Hook):
    def __init__(self, saved: ClusterCheckpoints) -> None:
        self._saved = saved

    def before_exit(self, run: Run) -> None:
        self._saved.save(run.position)
