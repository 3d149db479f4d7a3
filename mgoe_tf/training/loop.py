"""The training loop: steps on the batches of epoch after epoch, and hooks between them."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import tensorflow as tf

from mgoe_tf.training.position import Position
from mgoe_tf.training.stopping import Interrupted, StopRequest

Losses = Mapping[str, tf.Tensor]


class BatchSource(Protocol):
    """The batches of epoch after epoch, from anywhere on."""

    @property
    def steps_per_epoch(self) -> int:
        """Batches of each epoch."""

    def epoch(self, number: int, first_batch: int) -> AbstractContextManager[tf.data.Dataset]:
        """The batches of an epoch from one on; to be read within the context."""


@dataclasses.dataclass
class Run:
    """What hooks are told.

    Attributes:
      position: where the run stands; hooks may write to it.
      steps_per_epoch: of the source.
      epochs: the most that are trained.
      waited_seconds: how long the steps of this process have waited for their batches.
    """

    position: Position
    steps_per_epoch: int
    epochs: int
    waited_seconds: float = 0.0

    @property
    def is_epoch_end(self) -> bool:
        """Whether all steps of the epoch are taken."""
        return self.position.batch == self.steps_per_epoch


class Hook:
    """What is done between steps; each hook is called in its turn."""

    def begin(self, run: Run) -> None:
        """Before the first step of this process, or of what is left to do."""

    def before_epoch(self, run: Run) -> None:
        """Before the first step of an epoch; again where a killed run goes on from there."""

    def after_step(self, run: Run, losses: Losses) -> None:
        """After each step, with what the step returned: it may still be computed."""

    def after_epoch(self, run: Run) -> None:
        """After the steps of an epoch; one of the hooks counts it in `run.position`."""

    def before_exit(self, run: Run) -> None:
        """Where the process was told to end; `run.position` may be in the middle of an epoch."""

    def end(self, run: Run) -> None:
        """After the last step of this process, whatever ended it."""


def train_steps(
    step: Callable[[Any], Losses],
    source: BatchSource,
    run: Run,
    hooks: Sequence[Hook],
    *,
    strategy: tf.distribute.Strategy,
    patience: int = 0,
    stop: StopRequest | None = None,
) -> None:
    """Takes a run from where it stands to its end.

    Args:
      step: from a replica's part of a batch to its losses (`TrainingStep`).
      source: of the batches.
      run: where to begin and when to end; its position follows the steps.
      hooks: called in this order.
      strategy: of the scope that the step was made in.
      patience: of `Position.has_stalled`.
      stop: looked at after each step.

    Raises:
      Interrupted: there was a `stop` request, and all hooks were told.
    """
    stop = StopRequest() if stop is None else stop
    take_step = timed_step(step, strategy)
    position = run.position
    for hook in hooks:
        hook.begin(run)
    try:
        while position.epoch < run.epochs and not position.has_stalled(patience):
            if not run.is_epoch_end:
                if not position.batch:
                    for hook in hooks:
                        hook.before_epoch(run)
                with source.epoch(position.epoch, position.batch) as batches:
                    iterator = iter(_distributed(batches, strategy))
                    while not run.is_epoch_end:
                        losses, waited_seconds = take_step(iterator)
                        run.waited_seconds += float(waited_seconds)
                        position.batch += 1
                        position.step += 1
                        for hook in hooks:
                            hook.after_step(run, losses)
                        exit_where_told(stop, run, hooks)
                    # the reader looks behind its last batch: files may hold more than they should
                    for _ in iterator:
                        raise AssertionError("the epoch has more batches than its source tells")
            for hook in hooks:
                hook.after_epoch(run)
            exit_where_told(stop, run, hooks)
    except BaseException:
        for hook in hooks:
            with contextlib.suppress(Exception):  # what went wrong first is told
                hook.end(run)
        raise
    for hook in hooks:
        hook.end(run)


def _distributed(batches: tf.data.Dataset, strategy: tf.distribute.Strategy) -> Any:
    """Batches as the replicas of a strategy take them, whole ones or each process's slices."""
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return strategy.distribute_datasets_from_function(lambda context: batches)
    return strategy.experimental_distribute_dataset(batches)


def exit_where_told(stop: StopRequest, run: Run, hooks: Sequence[Hook]) -> None:
    """Raises Interrupted where there was a request, once all hooks were told."""
    if stop.number is None:
        return
    for hook in hooks:
        hook.before_exit(run)
    interruption = Interrupted(stop.number)
    print(
        f"{interruption.signal.name}: saved after step {run.position.step}; --resume goes on from "
        "there",
        file=sys.stderr,
        flush=True,
    )
    raise interruption


def timed_step(
    step: Callable[[Any], Losses], strategy: tf.distribute.Strategy
) -> Callable[[Any], tuple[Losses, tf.Tensor]]:
    """From an iterator to what `step` makes of its next batch, and the seconds waited for that.

    The batch is fetched and the clock runs inside the graph: handing some thirty tensors over to
    Python and back costs near a millisecond a step, as much as a wait for input. On a GPU steps run
    behind the loop, and a wait for input may hide behind one: the share is then an upper bound.
    """

    @tf.function(reduce_retracing=True, autograph=False)
    def timed(iterator: Any) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        start = _now()
        with tf.control_dependencies([start]):
            batch = next(iterator)
        end = _now(after=tf.nest.flatten(batch, expand_composites=True))

        def held(tensor: tf.Tensor) -> tf.Tensor:
            # or else the step's first operations would come before the clock is read
            with tf.device(tensor.device), tf.control_dependencies([end]):
                return tf.identity(tensor)

        batch = tf.nest.map_structure(held, batch, expand_composites=True)
        losses = strategy.run(step, args=(batch,))
        # those of the first replica are of all replicas already
        return {
            name: strategy.experimental_local_results(value)[0] for name, value in losses.items()
        }, end - start

    return timed


def _now(after: Sequence[tf.Tensor] = ()) -> tf.Tensor:
    """Seconds on the host's clock, once some tensors are there."""
    with tf.device("CPU:0"), tf.control_dependencies(after):
        return tf.timestamp()
