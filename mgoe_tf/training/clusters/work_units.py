"""What a worker of a parameter-server cluster is told to do at a time: the steps of one shard.

Which rows a unit holds, and in which order, depends on the seed, the epoch and the shard alone. A
unit that was begun by a worker that is gone is done again as a whole by another one.

Axes: T tasks, R records of a shard.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from input_pipeline.dataset import Examples
from input_pipeline.feature import USER_ROW
from input_pipeline.records.bad_records import open_records
from input_pipeline.records.example_parsing import padded
from mgoe_tf.training.batches import TrainingBatches
from mgoe_tf.training.options import TrainOptions
from mgoe_tf.training.step import TrainingStep


class Unit(NamedTuple):
    """What tells the rows of a unit apart; a function of it is traced once.

    Attributes:
      path: of the shard.
      length: records that are looked at, from the first one on.
      left_out: int64 [..], the numbers of those of them that are not read.
      seed: of what is random in the unit.
    """

    path: Any
    length: Any
    left_out: Any
    seed: Any


SIGNATURE = Unit(
    tf.TensorSpec([], tf.string),
    tf.TensorSpec([], tf.int64),
    tf.TensorSpec([None], tf.int64),
    tf.TensorSpec([], tf.int64),
)


class Done(NamedTuple):
    """What a unit came to.

    Attributes:
      rows: that were trained on, int64.
      steps: that were taken, int64.
      losses: float32 [T], summed over labelled rows.
      labelled: float32 [T], how many rows carry a label.
    """

    rows: Any
    steps: Any
    losses: Any
    labelled: Any


# So many batches' rows are dealt out together, so that a user's rows meet in few of them.
_BATCHES_DEALT = 8


class WorkUnits:
    """The training shards as units.

    Every row of a unit is trained on: of requests, each some rows of a user, the rows of a few
    hundred are dealt out evenly to as many batches as hold them, of `batch_size` rows at most; of
    single rows the last batch of a unit has what is left.

    Args:
      examples: the rows.
      options: sizes and seeds.

    Attributes:
      mean_rows: of a unit.
      steps: of each unit; of requests about so many.
    """

    def __init__(self, examples: Examples, options: TrainOptions) -> None:
        self._examples = examples
        self._seed = options.seed
        self._read = [n for n, kept in enumerate(examples.kept) if len(kept)]
        self._batch_size = options.batch_size
        records = [len(examples.kept[n]) for n in self._read]
        mean_rows = examples.num_rows / sum(records)
        self.mean_rows = round(examples.num_rows / len(self._read))
        rows = [int(examples.shards[n].rows[examples.kept[n]].sum()) for n in self._read]
        self.steps = [-(-count // options.batch_size) for count in rows]
        self._dealt = max(1, round(_BATCHES_DEALT * options.batch_size / mean_rows))
        # shuffled as one where memory allows
        self._shuffled = max(1, min(max(records), round(options.shuffle_rows / mean_rows)))

    def __len__(self) -> int:
        return len(self._read)

    @property
    def steps_per_epoch(self) -> int:
        return sum(self.steps)

    def order(self, epoch: int) -> NDArray[Any]:
        """The numbers of all units, in the order of an epoch."""
        return self._random(epoch, 2).permutation(len(self))

    def unit(self, epoch: int, number: int) -> Unit:
        """A unit of an epoch."""
        shard = self._read[number]
        kept = self._examples.kept[shard]
        length = int(kept[-1]) + 1
        left_out = np.setdiff1d(np.arange(length), kept)
        seed = self._random(epoch, 3, number).integers(2**31)
        return Unit(
            self._examples.files[shard], np.int64(length), left_out.astype(np.int64), np.int64(seed)
        )

    def _random(self, *numbers: int) -> np.random.Generator:
        return np.random.default_rng([self._seed, *numbers])

    def batches(self, unit: Unit, source: TrainingBatches) -> tf.data.Dataset:
        """(features, labels) of a unit's steps; `source` tells what is made of its rows."""
        examples = self._examples
        records = tf.data.Dataset.from_tensors(tuple(unit)).flat_map(self._shuffled_records)

        @tf.autograph.experimental.do_not_convert
        def parse(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
            parsed = examples.layout.parse(serialized, examples.features, examples.labels)
            return padded(source.encode(parsed), examples.features)

        @tf.autograph.experimental.do_not_convert
        def finish(number: tf.Tensor, columns: dict[str, tf.Tensor]) -> tuple[Any, Any]:
            seeds = [unit.seed + offset for offset in range(len(source.replaced))]
            return source.finish(number, columns, seeds)

        options = tf.data.Options()
        # each unit would pay for them anew, a tenth of a second and more
        options.autotune.enabled = False
        options.experimental_optimization.apply_default_optimizations = False
        parallel = {"num_parallel_calls": tf.data.AUTOTUNE, "deterministic": True}
        if examples.layout.rows_per_record == 1:
            batches = records.batch(self._batch_size).map(parse, **parallel)
        else:
            of_user = {feature.name for feature in examples.features if feature.owner == "user"}
            groups = records.batch(self._dealt).map(parse, **parallel)
            batches = _deal_out(groups, self._batch_size, of_user)
        return batches.enumerate().map(finish, **parallel).prefetch(2).with_options(options)

    def _shuffled_records(self, *unit: tf.Tensor) -> tf.data.Dataset:
        path, length, left_out, seed = unit
        # of this function's graph alone: the order must not depend on the global seed
        tf.compat.v1.set_random_seed(1)
        records = open_records(path).take(length)
        if self._examples.bad_records:
            numbered = records.enumerate()
            read = numbered.filter(lambda number, record: tf.reduce_all(left_out != number))
            records = read.map(lambda number, record: record)
        return records.shuffle(self._shuffled, seed, reshuffle_each_iteration=False)


def _deal_out(
    groups: tf.data.Dataset, batch_size: int, of_user: Collection[str]
) -> tf.data.Dataset:
    """Batches of the rows of each group, with the users that they need.

    Args:
      groups: columns by name of some requests: those of a user have a row a user.
      batch_size: the most rows of a batch.
      of_user: names of the features of a user; columns go by the part before a slash.
    """

    @tf.autograph.experimental.do_not_convert
    def repeat(columns: dict[str, tf.Tensor]) -> tf.data.Dataset:
        rows = tf.size(columns[USER_ROW], tf.int64)
        count = (rows + batch_size - 1) // batch_size
        # repeating copies no tensors
        repeated = tf.data.Dataset.from_tensors((columns, count)).repeat()
        return tf.data.Dataset.zip((tf.data.Dataset.range(count), repeated))

    @tf.autograph.experimental.do_not_convert
    def deal(number: tf.Tensor, group: tuple[Any, tf.Tensor]) -> dict[str, tf.Tensor]:
        columns, count = group
        index = tf.range(number, tf.size(columns[USER_ROW], tf.int64), count)
        users, user_row = tf.unique(tf.gather(columns[USER_ROW], index))
        dealt = {
            name: tf.gather(values, users if name.partition("/")[0] in of_user else index)
            for name, values in columns.items()
            if name != USER_ROW
        }
        return {**dealt, USER_ROW: user_row}

    return groups.flat_map(repeat).map(
        deal, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )


def unit_function(
    step: TrainingStep,
    units: WorkUnits,
    source: TrainingBatches,
    strategy: tf.distribute.Strategy,
) -> Callable[..., Done]:
    """From the parts of a `Unit` to what its steps came to; for a worker, or for this process."""
    num_tasks = len(step.model.spec.tasks)

    def take(batch: Any) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        rows = tf.size(next(iter(batch[1].values())), tf.int64)
        return (rows, *step.take(batch))

    take = tf.autograph.experimental.do_not_convert(take)
    batches = tf.autograph.experimental.do_not_convert(units.batches)

    @tf.function(input_signature=SIGNATURE)
    def train(path: Any, length: Any, left_out: Any, seed: Any) -> Done:
        done = Done(
            tf.constant(0, tf.int64),
            tf.constant(0, tf.int64),
            tf.zeros([num_tasks]),
            tf.zeros([num_tasks]),
        )
        for batch in batches(Unit(path, length, left_out, seed), source):
            rows, losses, labelled = strategy.run(take, args=(batch,))
            done = Done(
                done.rows + rows,
                done.steps + 1,
                done.losses + losses * labelled,
                done.labelled + labelled,
            )
        return done

    return train
