"""A run that goes on from the model of an earlier day, on a data set that continues its own.

Every weight is taken over, and what the optimizer keeps of it. Id tables have grown: a row follows
its id. The row of a new user or item is the mean of the rows that the members of its macro node had
in the earlier model; where it has no macro node, or that no such member, it is row 0, which unknown
ids share, as it is of a new value of a side feature. The optimizer keeps nothing of new rows yet.

Axes: V' and V rows of an id table before and now, K macro nodes, D columns.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from input_pipeline.feature import NODES
from input_pipeline.files import filesystem, stored
from input_pipeline.graph.macro_matching import centers
from input_pipeline.log.raw_ids import IdIndex, as_array, from_lines
from input_pipeline.log.vocabulary import embedding_rows
from input_pipeline.spec import DatasetSpec, read_spec
from mgoe_tf.models.options import ModelOptions
from mgoe_tf.training import assets, checkpoints
from mgoe_tf.training.optimizers import LazyAdam, inner_optimizer
from mgoe_tf.training.options import TrainOptions
from mgoe_tf.training.run_checkpoints import RunCheckpoints, best_epoch
from mgoe_tf.training.step import TrainingStep

MakeStep = Callable[..., TrainingStep]


def require_startable(
    spec: DatasetSpec, model_options: ModelOptions, options: TrainOptions
) -> None:
    """Refuses to go on from a model that this run's does not fit to; reads no weights.

    Raises:
      ValueError: there is no finished epoch; the model, its options or its data set are others.
    """
    if not options.warm_start or checkpoints.holds_checkpoint(options.model_dir):
        return
    begun, trained = checkpoints.read_options(options.warm_start)
    if best_epoch(options.warm_start) is None:
        raise ValueError(f"--warm_start={options.warm_start} holds no finished epoch yet")
    if trained.model != options.model:
        raise ValueError(
            f"--warm_start={options.warm_start}: is a model {trained.model}, got "
            f"--model={options.model}"
        )
    if trained.distribution == "parameter_server":
        raise ValueError(
            f"--warm_start={options.warm_start}: was trained with --distribution=parameter_server, "
            "which keeps what the optimizer knows of rows in shards; got a run of "
            f"{options.distribution}"
        )
    if trained.hash_rows != options.hash_rows:
        raise ValueError(
            f"--hash_rows={options.hash_rows}: the model in --warm_start={options.warm_start} was "
            f"trained with {trained.hash_rows}"
        )
    told = dataclasses.asdict(model_options)
    for name, value in dataclasses.asdict(begun).items():
        if told[name] != value:
            raise ValueError(
                f"--{name}={told[name]}: the model in --warm_start={options.warm_start} was "
                f"trained with {value}, and its weights fit to that"
            )
    checkpoints.require_same_data(read_spec(options.warm_start), spec, options.data_dir)


def apply(step: TrainingStep, options: TrainOptions, make_step: MakeStep) -> str:
    """Gives a new run's step what the earlier model knows, in the scope of its strategy.

    Args:
      step: of the new run.
      options: of the new run.
      make_step: from a model, its training options and `num_steps` to a step.

    Returns:
      A line about it.
    """
    earlier = _earlier_step(options.warm_start, make_step)
    tables = step.model.embeddings.tables
    growth = {name: _grown(name, step, options) for name in tables}
    of_table = {id(table): growth[name] for name, table in tables.items()}
    weights = zip(earlier.model.weights, step.model.weights, strict=True)
    ours, theirs = inner_optimizer(step.optimizer), inner_optimizer(earlier.optimizer)
    for old, new in weights:
        grown = of_table.get(id(new))
        new.assign(_fitting(old, new) if grown is None else grown.rows(old.numpy()))
    if type(step.weighting) is type(earlier.weighting):
        for old, new in zip(earlier.weighting.variables, step.weighting.variables, strict=True):
            new.assign(_fitting(old, new))
        kept = list(zip(earlier.weights, step.weights, strict=True))
    else:
        trainable = step.model.trainable_variables
        kept = list(zip(earlier.model.trainable_variables, trainable, strict=True))
    ours.iterations.assign(theirs.iterations)
    for old, new in kept:
        _take_slots(theirs, old, ours, new, of_table.get(id(new)))
    new_ids = sum(int((grown.place < 0).sum()) for grown in growth.values())
    return (
        f"going on from {options.warm_start} after {int(theirs.iterations):,} steps; {new_ids:,} "
        "new ids"
    )


class _Growth(NamedTuple):
    """How a table has grown.

    Attributes:
      place: int64 [V], the row that each row had; -1 of new ones.
      macro: int32 [V], the macro node of each row's node; -1 without one.
      num_macro_nodes: K.
    """

    place: NDArray[Any]
    macro: NDArray[Any]
    num_macro_nodes: int

    def rows(self, old: NDArray[Any]) -> NDArray[Any]:
        """The table as it begins, float32 [V, D], of what it was, [V', D]."""
        found = old[np.maximum(self.place, 0)]
        known, new = self.place > 0, np.flatnonzero(self.place < 0)
        members = np.where(known, self.macro, -1)
        means = centers(found.astype(np.float64), members, self.num_macro_nodes)
        has_members = np.bincount(members[members >= 0], minlength=self.num_macro_nodes) > 0
        macro = self.macro[new]
        has_mean = (macro >= 0) & has_members[macro]
        found[new[has_mean]] = means[macro[has_mean]]
        return found

    def slots(self, old: NDArray[Any]) -> NDArray[Any]:
        """What the optimizer keeps of each row, [V, ...], 0 of new ones."""
        found = old[np.maximum(self.place, 0)]
        found[self.place < 0] = 0
        return found


def _grown(name: str, step: TrainingStep, options: TrainOptions) -> _Growth:
    spec, table = step.model.spec, step.model.tables[name]
    if spec.vocabulary(table.vocabulary).hash_rows:  # the same rows, whatever ids there are
        rows = step.model.embeddings.tables[name].shape[0]
        return _Growth(np.arange(rows), np.full(rows, -1, np.int32), 1)
    dtype = spec.vocabulary(table.vocabulary).dtype
    before, now = (
        filesystem.read_bytes(filesystem.join(folder, "vocabulary", f"{table.vocabulary}.txt"))
        for folder in (options.warm_start, options.model_dir)
    )
    old, new = (from_lines(text, dtype, table.vocabulary) for text in (before, now))
    if now.startswith(before):  # as it is unless rare ids have become frequent enough
        place = np.arange(1, len(new) + 1)
        place[len(old) :] = -1
    else:
        place = IdIndex(old).rows(as_array(new)) + 1
        place[place == 0] = -1
    macro = np.full(len(new) + 1, -1, np.int32)
    owner = spec.vocabulary(table.vocabulary).owner
    size = 1
    if owner in NODES and table.vocabulary == spec.select(owner, "id")[0].vocabulary:
        size = {"user": spec.num_user_macro_nodes, "item": spec.num_item_macro_nodes}[owner]
        # the graph at the end of training, which knows all ids that have a row
        cut = str(len(spec.cuts) - 1)
        path = filesystem.join(options.data_dir, "graph", cut, f"{owner}_macro.npy")
        macro[embedding_rows(options.data_dir, spec, table.vocabulary)] = stored.load_array(path)
        macro[0] = -1
    return _Growth(np.concatenate([[0], place]), macro, size)


def _earlier_step(model_dir: str, make_step: MakeStep) -> TrainingStep:
    """The earlier model after its best epoch, with the optimizer's state of its latest."""
    model_options, options = checkpoints.read_options(model_dir)
    spec = read_spec(model_dir)
    assets_dir = filesystem.join(model_dir, assets.ASSETS_DIR)
    checksums = checkpoints.read_checksums(model_dir)
    assets.require_unchanged(assets_dir, checksums)
    made = assets.made_names(checksums)
    model = checkpoints.new_model(spec, model_options, options, assets_dir, made)
    step = make_step(model, options, num_steps=options.warmup_steps + 1)  # none is taken
    saved = RunCheckpoints(model_dir, step, keep=options.keep_checkpoints)
    position = saved.restore()
    if position.batch or position.epoch != best_epoch(model_dir):
        best = tf.train.Checkpoint(model=model)
        path = checkpoints.manager(best, model_dir, "best").latest_checkpoint
        checkpoints.restore(best, path).expect_partial()
    return step


def _fitting(old: tf.Variable, new: tf.Variable) -> NDArray[Any]:
    if old.shape != new.shape:
        raise ValueError(
            f"--warm_start: {new.name} has the shape {list(old.shape)} there, and "
            f"{list(new.shape)} here: the data set has changed otherwise than by more ids, as by "
            "longer lists or other --cuts, so train anew"
        )
    return old.numpy()


def _take_slots(
    theirs: LazyAdam, old: tf.Variable, ours: LazyAdam, new: tf.Variable, grown: _Growth | None
) -> None:
    """Moments, and the moving average where both have one; else it begins with the weight."""
    old_slots, new_slots = theirs.slots(old), ours.slots(new)
    for before, now in zip(old_slots, new_slots, strict=False):
        now.assign(_fitting(before, now) if grown is None else grown.slots(before.numpy()))
    if not ours.ema_decay:
        return
    average, weights = new_slots[-1], new.numpy()
    first = weights
    if grown is not None:
        count = np.full((len(weights), 1), float(ours.iterations.numpy()), weights.dtype)
        first = np.concatenate([weights, count], axis=1)
    if len(old_slots) == len(new_slots):
        if grown is None:
            return
        first = np.where((grown.place < 0)[:, np.newaxis], first, average.numpy())
    average.assign(first)
