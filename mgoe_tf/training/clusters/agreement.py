"""What workers that step together have to know of each other between steps."""

from __future__ import annotations

import signal
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from mgoe_tf.training.stopping import StopRequest

# Steps after which workers ask each other whether one was told to end: an all-reduce of one number.
_VOTE_EVERY = 10


class Agreement:
    """Sums of numbers over all workers; every worker has to ask at the same places.

    Args:
      strategy: of the workers.
    """

    def __init__(self, strategy: tf.distribute.Strategy) -> None:
        def summed(values: tf.Tensor) -> tf.Tensor:
            context = tf.distribute.get_replica_context()
            # an argument has no device yet, by which the collective is chosen
            return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.identity(values))

        @tf.function(reduce_retracing=True, autograph=False)
        def total(values: tf.Tensor) -> tf.Tensor:
            return strategy.run(summed, args=(values,))

        self._strategy = strategy
        self._total = total

    def total(self, *values: float) -> NDArray[Any]:
        """The sums of what all workers say; it returns once all have."""
        result = self._total(tf.constant(values, tf.float64))
        return np.asarray(self._strategy.experimental_local_results(result)[0])

    def of_chief(self, value: float, *, is_chief: bool) -> float:
        """What the chief says."""
        (told,) = self.total(value if is_chief else 0.0)
        return float(told)

    def meet(self) -> None:
        """Returns once all workers are here."""
        self.total(0.0)


class AgreedStop(StopRequest):
    """A request to stop that all workers hear of after the same step.

    Args:
      heard: by this process.
      agreement: of the workers; none stops by itself.
    """

    def __init__(self, heard: StopRequest, agreement: Agreement) -> None:
        self._heard = heard
        self._agreement = agreement
        self._asked = 0
        self._agreed: int | None = None

    @property
    def number(self) -> int | None:  # type: ignore[override]
        """The signal, of this process or another."""
        self._asked += 1
        if self._agreed is None and self._asked % _VOTE_EVERY == 0:
            (votes,) = self._agreement.total(float(self._heard.number is not None))
            if votes:
                self._agreed = self._heard.number or signal.SIGTERM
        return self._agreed
