"""Data set + options -> trained model directory. No flags: tests and notebooks call `train`.

A little long, since all parts of a run meet here.
"""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any

import tensorflow as tf

from input_pipeline.files import filesystem
from input_pipeline.files.paths import require_apart
from input_pipeline.spec import DatasetSpec, read_spec
from mgoe_tf.evaluation.evaluator import Evaluator
from mgoe_tf.models.base import RankingModel
from mgoe_tf.models.options import ModelOptions
from mgoe_tf.reports import best_run, run_report
from mgoe_tf.reports.run_facts import RunFacts
from mgoe_tf.training import (
    assets,
    board_layout,
    checkpoints,
    days,
    event_files,
    hooks,
    loop,
    summaries,
    warm_start,
)
from mgoe_tf.training.batches import TrainingBatches, open_training_rows
from mgoe_tf.training.optimizers import LazyAdam
from mgoe_tf.training.options import CLUSTERED, TrainOptions
from mgoe_tf.training.phases import Phases
from mgoe_tf.training.position import Position
from mgoe_tf.training.profile import Profile
from mgoe_tf.training.progress import ProgressLine
from mgoe_tf.training.run_card import RunCard, flags_of
from mgoe_tf.training.run_checkpoints import RunCheckpoints
from mgoe_tf.training.run_lock import run_lock
from mgoe_tf.training.schedules import make_schedule
from mgoe_tf.training.step import TrainingStep
from mgoe_tf.training.stopping import StopRequest
from mgoe_tf.training.tasks import MultiTask
from mgoe_tf.training.trained_tasks import require_trained_tasks, trained_tasks
from mgoe_tf.training.weighting import make_weighting

# Options that a resumed run may change: when it stops, what it reads, on how many threads.
_MAY_CHANGE = frozenset(
    {
        "data_dir",
        "model_dir",
        "epochs",
        "patience",
        "checkpoint_steps",
        "keep_checkpoints",
        "resume",
        "intra_op_threads",
        "min_shard_bytes",
        "skip_bad_records",
        "evaluate_test",
        "report",
        "profile_steps",
    }
)


def train(
    model_options: ModelOptions, options: TrainOptions, *, trial: str | None = None
) -> dict[str, Any]:
    """Trains a model, keeps its best epoch, and evaluates that.

    Args:
      model_options: of the options class of the model that `options.model` names.
      options: of training; `data_dir` and `model_dir` must be given.
      trial: what the run is called in a search, for TensorBoard; None: it belongs to none.

    Returns:
      The metrics of the best epoch on the test window, or, with `evaluate_test=False`, on the
      validation window.

    Raises:
      ValueError: for options that cannot be met, data that cannot be read, a loss that is not
        finite.
      FileError: something cannot be written; what was saved before can be resumed.
      Interrupted: the process was told to end; the run is saved and can be resumed.
    """
    require_apart({name: getattr(options, name) for name in ("model_dir", "data_dir")})
    if options.distribution in CLUSTERED:
        # in clusters alone, which nobody else imports
        from mgoe_tf.training.clusters import roles

        return roles.train(model_options, options)
    with contextlib.ExitStack() as held:
        with StopRequest().listening() as stop:
            spec = checkpoints.read_trained_spec(options)
            require_trained_tasks(spec, options)
            warm_start.require_startable(spec, model_options, options)
            tf.keras.utils.set_random_seed(options.seed)
            strategy = make_strategy(options)
            with strategy.scope():
                model = checkpoints.new_model(spec, model_options, options)
            examples = open_training_rows(spec, options, model.feature_names)
            steps_per_epoch = examples.num_rows // min(options.batch_size, examples.num_rows)
            with strategy.scope():
                step = make_step(model, options, num_steps=options.epochs * steps_per_epoch)
            # after everything that refuses options: a run that cannot begin takes no directory
            held.enter_context(run_lock(options.model_dir))
            begin_run(model, options)
            lookup = checkpoints.make_lookup(options.model_dir, spec, model)
            source = TrainingBatches(examples, lookup, spec, options)
            _train(step, source, strategy, stop, model_options, trial)
        return evaluate_best(spec, options)


def make_step(
    model: RankingModel,
    options: TrainOptions,
    *,
    num_steps: int,
    task_class: type[MultiTask] = MultiTask,
) -> TrainingStep:
    """The training step that some options describe, in the scope of the model's strategy.

    Args:
      model: with all its weights.
      options: of training.
      num_steps: of the whole run, which a schedule may end with.
      task_class: of the loss.
    """
    names = model.spec.task_names
    schedule = make_schedule(
        options.schedule,
        peak=options.learning_rate,
        warmup_steps=options.warmup_steps,
        decay_steps=options.decay_steps or num_steps,
        final=options.final_learning_rate,
    )
    optimizer: tf.keras.optimizers.Optimizer = LazyAdam(
        schedule,
        l1=options.l1,
        l2=options.l2,
        clip_norm=options.clip_norm or None,
        ema_decay=options.ema_decay,
    )
    if options.precision == "mixed_float16":
        optimizer = tf.keras.mixed_precision.LossScaleOptimizer(optimizer)
    task = task_class(
        task_names=names,
        task_weights=options.task_weights,
        label_smoothing=options.label_smoothing,
        penalty_names=model.penalty_names,
    )
    weighting = make_weighting(
        options.task_weighting,
        num_tasks=len(names),
        tables=model.embeddings.variables,
        shared_weights=model.last_shared_weights,
        task_weights=options.task_weights,
        gradnorm_alpha=options.gradnorm_alpha,
        gradnorm_rate=options.gradnorm_rate,
        seed=options.seed,
    )
    return TrainingStep(model, optimizer, task=task, weighting=weighting, jit_compile=options.xla)


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


def begin_run(model: RankingModel, options: TrainOptions) -> None:
    """Writes a new model directory, or checks that an old one may be resumed."""
    if not checkpoints.holds_checkpoint(options.model_dir):
        # also where a run ended before its first checkpoint: there is nothing to keep or to resume
        filesystem.remove_tree(filesystem.join(options.model_dir, "events"))
        checkpoints.write_run(
            options.model_dir, model.spec, model.options, options, model.made_assets()
        )
        days.begin(options.model_dir, options.warm_start)
        return
    spec, model_options = model.spec, model.options
    if not options.resume:
        raise ValueError(
            f"--model_dir={options.model_dir} already holds a run: name another directory, or go "
            "on with --resume"
        )
    trained_on = read_spec(options.model_dir)
    checkpoints.require_same_data(trained_on, spec, options.data_dir)
    checkpoints.require_same_rows(trained_on, spec, options.data_dir)
    old_model_options, old_options = checkpoints.read_options(options.model_dir)
    begun_with = dataclasses.asdict(old_model_options) | dataclasses.asdict(old_options)
    given = dataclasses.asdict(model_options) | dataclasses.asdict(options)
    fixed = given.keys() - _MAY_CHANGE
    if options.schedule == "cosine" and not options.decay_steps:
        fixed |= {"epochs"}  # where the schedule ends
    # the model first: of another one all other names differ too
    for name in sorted(fixed, key=lambda name: (name != "model", name)):
        if given[name] != begun_with.get(name):
            raise ValueError(
                f"--{name}={given[name]}: the run in {options.model_dir} was begun with "
                f"{begun_with[name]}, and --resume goes on with the same"
            )
    checksums = checkpoints.read_checksums(options.model_dir)
    made = assets.made_names(checksums)
    taken = {name: checksum for name, checksum in checksums.items() if name not in made}
    assets.require_unchanged(options.data_dir, taken)


def _train(
    step: TrainingStep,
    source: TrainingBatches,
    strategy: tf.distribute.Strategy,
    stop: StopRequest,
    model_options: ModelOptions,
    trial: str | None,
) -> None:
    options, spec = source.options, source.spec
    validation = Evaluator(
        options.data_dir,
        spec,
        "validation",
        model=step.model,
        lookup=source.lookup,
        skip_bad_records=options.skip_bad_records,
        averaged=trained_tasks(spec, options),
    )
    saved = RunCheckpoints(options.model_dir, step, keep=options.keep_checkpoints)
    position = saved.restore()
    train_writer, validation_writer = event_writers(options.model_dir, position)
    line = ProgressLine(batch_size=source.batch_size)
    if position.step:
        line.print(f"going on after step {position.step}, in epoch {position.epoch + 1}")
    else:
        if options.warm_start:
            with strategy.scope():
                line.print(warm_start.apply(step, options, make_step))
        if options.resume:
            line.print(
                f"--resume: {options.model_dir} holds no saved run yet: this one begins anew"
            )
        summaries.write_options(train_writer, training=options, model=model_options)
        board_layout.write_layout(train_writer, step.model)
        board_layout.write_hyperparameters(
            validation_writer, spec.task_names, options, model_options, trial=trial
        )
    trained = trained_tasks(spec, options)
    if empty := [task for task in spec.task_names if task not in trained]:
        line.print(
            f"warning: no positive label of {', '.join(empty)} in the training rows: left out of "
            "averages and, when served, of the score"
        )
    line.print(
        f"training {options.model} ({step.model.count_params():,} weights) on "
        f"{source.examples.num_rows:,} rows; watch it: tensorboard --logdir={options.model_dir}"
    )
    log = hooks.TrainingLog(
        train_writer,
        step,
        batch_size=source.batch_size,
        bad_records=len(source.examples.bad_records) + len(validation.examples.bad_records),
        report=line.print,
    )
    metrics_file = filesystem.join(options.model_dir, "metrics_validation.json")
    loop.train_steps(
        step,
        source,
        loop.Run(position, source.steps_per_epoch, options.epochs),
        [
            log,
            Phases(step, report=line.print),
            hooks.Validation(
                validation,
                step,
                saved,
                validation_writer,
                metrics_file=metrics_file,
                report=line.print,
            ),
            hooks.Checkpoints(saved, log, train_writer, every_steps=options.checkpoint_steps),
            line,
            *profiles(options),
            RunCard(
                options.model_dir,
                spec,
                flags_of(model_options, options),
                weights=step.model.count_params(),
            ),
        ],
        strategy=strategy,
        patience=options.patience,
        stop=stop,
    )
    train_writer.close()
    validation_writer.close()


def profiles(options: TrainOptions) -> list[Profile]:
    """The hook that records the steps that the options tell, if they tell any."""
    folder = filesystem.join(options.model_dir, "events", "profile")
    return [Profile(folder, *options.profile_steps)] if options.profile_steps else []


def event_writers(
    model_dir: str, position: Position
) -> tuple[tf.summary.SummaryWriter, tf.summary.SummaryWriter]:
    """Writers of training and validation, whose curves end where the run stands."""
    last = {"train": position.logged_step, "validation": position.validated_step}
    train_writer, validation_writer = (
        event_writer(model_dir, name, step if position.step else None)
        for name, step in last.items()
    )
    return train_writer, validation_writer


def event_writer(model_dir: str, name: str, last_step: int | None) -> tf.summary.SummaryWriter:
    """A writer of `train` or `validation`, whose curves end with a step; None: they begin."""
    folder = filesystem.join(model_dir, "events", name)
    if last_step is not None:
        event_files.cut_off(folder, last_step)
    return tf.summary.create_file_writer(folder)


def evaluate_best(spec: DatasetSpec, options: TrainOptions) -> dict[str, Any]:
    """Metrics of the best epoch on the window that the options tell, and what is written of it."""
    split = "test" if options.evaluate_test else "validation"
    loaded = checkpoints.load_model(options.model_dir)
    evaluator = Evaluator(
        options.data_dir,
        spec,
        split,
        model=loaded.model,
        lookup=loaded.lookup,
        skip_bad_records=options.skip_bad_records,
        averaged=trained_tasks(spec, options),
    )
    scored = evaluator.score()
    metrics = scored.metrics()
    checkpoints.write_json(filesystem.join(options.model_dir, f"metrics_{split}.json"), metrics)
    if options.report:
        facts = RunFacts.gather(options.model_dir, loaded, evaluator, scored)
        run_report.write(facts)
        best_run.write(facts, evaluator)
    if options.warm_start:
        days.end(options.model_dir)
    return metrics
