"""The loop of a run in units: schedule those of a block, join, save, and on with the next block."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import tensorflow as tf

from mgoe_tf.training.clusters.work_units import Done, WorkUnits
from mgoe_tf.training.loop import Hook, Run
from mgoe_tf.training.stopping import StopRequest

UnitFunction = Callable[..., Done]


class Workers(Protocol):
    """Who does the units."""

    def schedule(self, function: UnitFunction, unit: Any) -> Callable[[], Done]:
        """Has a unit done; what it returns waits for what that came to."""

    def join(self) -> None:
        """Waits until all units are done."""

    @property
    def ahead(self) -> int:
        """How many units may be under way."""


class ThisProcess:
    """Does each unit at once."""

    ahead = 1

    def schedule(self, function: UnitFunction, unit: Any) -> Callable[[], Done]:
        done = function(*unit)
        return lambda: done

    def join(self) -> None:
        """There is nothing to wait for."""


class RemoteWorkers:
    """The workers of a cluster; a unit of one that is gone is done by another.

    Args:
      strategy: of the cluster.
      number: of workers.
    """

    def __init__(self, strategy: tf.distribute.ParameterServerStrategy, number: int) -> None:
        self._coordinator = tf.distribute.coordinator.ClusterCoordinator(strategy)
        # each worker has one under way, and one to go on with
        self.ahead = 2 * number

    def schedule(self, function: UnitFunction, unit: Any) -> Callable[[], Done]:
        result = self._coordinator.schedule(function, args=tuple(unit))

        def fetch() -> Done:
            try:
                return Done(*result.fetch())
            except tf.errors.CancelledError:
                self._coordinator.join()  # what it was cancelled for
                raise

        return fetch

    def join(self) -> None:
        self._coordinator.join()


@dataclasses.dataclass(frozen=True)
class UnitRun:
    """A run in units.

    Attributes:
      units: of the data set.
      function: of a unit.
      workers: who does it.
      run: where it stands; a position's `batch` counts units.
      hooks: told of each unit by `after_step`.
      block_steps: the least steps of a block; 0: blocks are epochs.
      stop: looked at before each unit.
    """

    units: WorkUnits
    function: UnitFunction
    workers: Workers
    run: Run
    hooks: Sequence[Hook]
    block_steps: int
    stop: StopRequest

    def train_block(self) -> None:
        """Does the next units of an epoch: a block of them, or those before a request to stop.

        All that were begun are done when it returns, and the run stands behind them.
        """
        for done in self._block():
            self.run.position.batch += 1
            self.run.position.step += int(done.steps)
            for hook in self.hooks:
                hook.after_step(self.run, done._asdict())
        self.workers.join()

    def _block(self) -> Iterator[Done]:
        """What units come to, in their order."""
        position = self.run.position
        epoch = position.epoch
        under_way: collections.deque[Callable[[], Done]] = collections.deque()
        steps = 0
        for number in self.units.order(epoch)[position.batch :].tolist():
            if self.stop.number is not None or (self.block_steps and steps >= self.block_steps):
                break
            steps += self.units.steps[number]
            unit = self.units.unit(epoch, number)
            under_way.append(self.workers.schedule(self.function, unit))
            if len(under_way) >= self.workers.ahead:
                yield under_way.popleft()()
        while under_way:
            yield under_way.popleft()()
