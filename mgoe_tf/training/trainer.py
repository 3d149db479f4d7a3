"""Data set + options -> trained model directory. No flags: tests and notebooks call `train`."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

import numpy as np
import tensorflow as tf

from input_pipeline.dataset import Examples, open_examples
from input_pipeline.files import filesystem
from input_pipeline.records.example_parsing import Column
from input_pipeline.records.request_parsing import by_row
from input_pipeline.spec import DatasetSpec
from mgoe_tf.config import TrainOptions
from mgoe_tf.evaluation import tables
from mgoe_tf.evaluation.evaluator import Evaluator
from mgoe_tf.layers.id_lookup import IdLookup
from mgoe_tf.models.base import EMBEDDED_ROLES, RankingModel
from mgoe_tf.models.options import ModelOptions
from mgoe_tf.training import assets, callbacks, checkpoints
from mgoe_tf.training.optimizers import LazyAdam
from mgoe_tf.training.tasks import MultiTask

WINDOWS = {"all": ("history", "train"), "windows": ("train",)}
# Options that a resumed run may change: when it stops, what it reads, on how many threads.
_MAY_CHANGE = frozenset(
    {
        "data_dir",
        "model_dir",
        "epochs",
        "patience",
        "resume",
        "intra_op_threads",
        "skip_bad_records",
        "evaluate_test",
    }
)


class Progress:
    """How far a run has come: saved with the model, so that `--resume` knows."""

    def __init__(self) -> None:
        self.epoch = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.best_score = tf.Variable(-np.inf, dtype=tf.float64, trainable=False)
        self.epochs_since_best = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.checkpoint = tf.train.Checkpoint(
            epoch=self.epoch, best_score=self.best_score, epochs_since_best=self.epochs_since_best
        )

    def finish_epoch(self, score: float | None) -> bool:
        """Counts an epoch; returns whether it is the best so far. An undefined score never is."""
        is_best = int(self.epoch) == 0 or (score is not None and score > float(self.best_score))
        self.epoch.assign_add(1)
        self.epochs_since_best.assign(0 if is_best else self.epochs_since_best + 1)
        if is_best and score is not None:
            self.best_score.assign(score)
        return is_best

    def has_stalled(self, patience: int) -> bool:
        return bool(patience) and int(self.epochs_since_best) >= patience


def train(model_options: ModelOptions, options: TrainOptions) -> dict[str, Any]:
    """Trains a model, keeps its best epoch, and evaluates that.

    Args:
      model_options: of the options class of the model that `options.model` names.
      options: of training; `data_dir` and `model_dir` must be given.

    Returns:
      The metrics of the best epoch on the test window, or, with `evaluate_test=False`, on the
      validation window.

    Raises:
      ValueError: for options that cannot be met, data that cannot be read, a loss that is not
        finite.
    """
    spec = checkpoints.read_spec(options.data_dir)
    tf.keras.utils.set_random_seed(options.seed)
    strategy = make_strategy(options)
    with strategy.scope():
        model = checkpoints.new_model(spec, model_options, options)
        model.compile(
            LazyAdam(options.learning_rate, l1=options.l1, l2=options.l2),
            task=MultiTask(task_names=spec.task_names, task_weights=options.task_weights),
            jit_compile=options.xla,
        )
        model.optimizer.build(model.trainable_variables)
    # after everything that refuses options: a run that cannot begin takes no directory
    _begin_run(spec, model_options, options)
    lookup = checkpoints.make_lookup(options.model_dir, spec, model)
    _fit(model, lookup, spec, model_options, options)
    split = "test" if options.evaluate_test else "validation"
    loaded = checkpoints.load_model(options.model_dir)
    evaluator = Evaluator(
        options.data_dir,
        spec,
        split,
        model=loaded.model,
        lookup=loaded.lookup,
        skip_bad_records=options.skip_bad_records,
    )
    metrics = evaluator.evaluate()
    checkpoints.write_json(filesystem.join(options.model_dir, f"metrics_{split}.json"), metrics)
    return metrics


def make_strategy(options: TrainOptions) -> tf.distribute.Strategy:
    """Where the model lives: one device, or copies on all GPUs (without any: all logical CPUs)."""
    if options.distribution == "one_device":
        return tf.distribute.get_strategy()
    gpus = tf.config.list_logical_devices("GPU")
    if gpus:
        return tf.distribute.MirroredStrategy([gpu.name for gpu in gpus])
    # TensorFlow's collectives on CPUs mix up those of several strategies in one process
    return tf.distribute.MirroredStrategy(
        [cpu.name for cpu in tf.config.list_logical_devices("CPU")],
        cross_device_ops=tf.distribute.ReductionToOneDevice(),
    )


def _begin_run(spec: DatasetSpec, model_options: ModelOptions, options: TrainOptions) -> None:
    """Writes a new model directory, or checks that an old one may be resumed."""
    if not checkpoints.holds_checkpoint(options.model_dir):
        # also where a run ended before its first checkpoint: there is nothing to keep or to resume
        filesystem.remove_tree(filesystem.join(options.model_dir, "events"))
        checkpoints.write_run(options.model_dir, spec, model_options, options)
        return
    if not options.resume:
        raise ValueError(
            f"--model_dir={options.model_dir} already holds a run: name another directory, or go "
            "on with --resume"
        )
    trained_on = checkpoints.read_spec(options.model_dir)
    checkpoints.require_same_data(trained_on, spec, options.data_dir)
    checkpoints.require_same_rows(trained_on, spec, options.data_dir)
    old_model_options, old_options = checkpoints.read_options(options.model_dir)
    begun_with = dataclasses.asdict(old_model_options) | dataclasses.asdict(old_options)
    given = dataclasses.asdict(model_options) | dataclasses.asdict(options)
    # the model first: of another one all other names differ too
    for name in sorted(given.keys() - _MAY_CHANGE, key=lambda name: (name != "model", name)):
        if given[name] != begun_with.get(name):
            raise ValueError(
                f"--{name}={given[name]}: the run in {options.model_dir} was begun with "
                f"{begun_with[name]}, and --resume goes on with the same"
            )
    assets.require_unchanged(options.data_dir, checkpoints.read_checksums(options.model_dir))


@dataclasses.dataclass(frozen=True)
class _Encoder:
    """Raw columns -> encoded features and labels; equal for all epochs of a run."""

    lookup: IdLookup
    labels: tuple[str, ...]

    def __call__(self, columns: dict[str, Column]) -> dict[str, Column]:
        return {**self.lookup(columns), **{name: columns[name] for name in self.labels}}


def training_batches(
    examples: Examples, lookup: IdLookup, spec: DatasetSpec, options: TrainOptions, epoch: int
) -> tf.data.Dataset:
    """One epoch of (features, labels), with ids replaced at random by the shared row 0.

    Everything random depends on the seed, the epoch and the number of the batch alone.
    """
    replaced = [name for name in lookup.names if spec.feature(name).role in EMBEDDED_ROLES]
    seeds = np.random.default_rng([options.seed, epoch, 1]).integers(2**31, size=len(replaced))
    labels = {task: f"label_{task}" for task in spec.task_names}
    of_user = {feature.name for feature in spec.select("user")}

    @tf.autograph.experimental.do_not_convert
    def finish(number: tf.Tensor, columns: dict[str, tf.Tensor]) -> tuple[Any, Any]:
        features = dict(columns)
        batch_labels = {task: features.pop(name) for task, name in labels.items()}
        for name, seed in zip(replaced, seeds, strict=True):
            rows = features[name]
            draws = tf.random.stateless_uniform(tf.shape(rows), tf.stack([seed, number]))
            # what fills up a list stays
            features[name] = tf.where((draws < options.oov_rate) & (rows > 0), 0, rows)
        if options.distribution == "mirrored":
            # Replicas get a share of the rows each, and of every other axis in front.
            features = by_row(features, of_user=of_user)
        return features, batch_labels

    batches = examples.shuffled_batches(
        min(options.batch_size, examples.num_rows),
        shuffle_rows=options.shuffle_rows,
        seed=options.seed,
        epoch=epoch,
        encode=_Encoder(lookup, tuple(labels.values())),
    )
    return batches.enumerate().map(finish, num_parallel_calls=tf.data.AUTOTUNE).prefetch(2)


def _fit(
    model: RankingModel,
    lookup: IdLookup,
    spec: DatasetSpec,
    model_options: ModelOptions,
    options: TrainOptions,
) -> None:
    examples = open_examples(
        options.data_dir,
        spec,
        WINDOWS[options.train_rows],
        lookup.names,
        skip_bad_records=options.skip_bad_records,
    )
    validation = Evaluator(
        options.data_dir,
        spec,
        "validation",
        model=model,
        lookup=lookup,
        skip_bad_records=options.skip_bad_records,
    )
    progress = Progress()
    state = tf.train.Checkpoint(model=model, progress=progress.checkpoint)
    latest = checkpoints.manager(state, options.model_dir, "latest")
    best = checkpoints.manager(tf.train.Checkpoint(model=model), options.model_dir, "best")
    if latest.latest_checkpoint:
        checkpoints.restore(state, latest.latest_checkpoint)
        print(f"going on after epoch {int(progress.epoch)}", flush=True)

    events = filesystem.join(options.model_dir, "events")
    train_writer, validation_writer = (
        tf.summary.create_file_writer(filesystem.join(events, name))
        for name in ("train", "validation")
    )
    callbacks.write_options(train_writer, training=options, model=model_options)
    diagnose = tf.function(model.diagnostics, autograph=False)

    def validate(step: int) -> dict[str, Any]:
        metrics = validation.evaluate()
        callbacks.write_metrics(validation_writer, metrics, step)
        callbacks.write_diagnostics(validation_writer, diagnose(validation.first_features()), step)
        validation_writer.flush()
        train_writer.flush()
        return metrics

    clock = callbacks.InputClock()
    model.train_function = callbacks.timed_train_function(model, clock)
    log = callbacks.TrainingLog(
        train_writer,
        batch_size=options.batch_size,
        clock=clock,
        bad_records=len(examples.bad_records) + len(validation.examples.bad_records),
        early=validate,
        step=int(model.optimizer.iterations.numpy()),
    )
    print(
        f"training {options.model} ({model.count_params():,} weights) on {examples.num_rows:,} "
        f"rows; watch it: tensorboard --logdir={options.model_dir}",
        flush=True,
    )
    while int(progress.epoch) < options.epochs and not progress.has_stalled(options.patience):
        epoch = int(progress.epoch)
        batches = training_batches(examples, lookup, spec, options, epoch)
        with examples.explained():
            model.fit(
                batches,
                initial_epoch=epoch,
                epochs=epoch + 1,
                callbacks=[log],
                verbose=1 if sys.stdout.isatty() else 0,
            )
        metrics = validate(log.step)
        if progress.finish_epoch(metrics["average"]["auc"]):
            best.save(epoch + 1)
            path = filesystem.join(options.model_dir, "metrics_validation.json")
            checkpoints.write_json(path, metrics)
        latest.save(epoch + 1)
        print(_summary(epoch, options.epochs, metrics, progress), flush=True)


def _summary(epoch: int, epochs: int, metrics: dict[str, Any], progress: Progress) -> str:
    tasks = ", ".join(
        f"{task} {tables.number(values['auc'])}" for task, values in metrics["tasks"].items()
    )
    mark = "" if int(progress.epochs_since_best) else " (best so far)"
    return (
        f"epoch {epoch + 1}/{epochs}: validation AUC {tables.number(metrics['average']['auc'])}"
        f"{mark}: {tasks}; logloss {tables.number(metrics['average']['logloss'])}"
    )
