"""Adam for dense weights and for id tables of any size."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import tensorflow as tf


class LazyAdam(tf.keras.optimizers.Adam):
    """Adam whose sparse updates touch the rows of the batch only, with L1 and L2 penalties.

    A weight with a dense gradient gets Adam as it is. A table whose gradient is `tf.IndexedSlices`
    gets Adam on the distinct rows of the gradient; moments of other rows do not decay, so that a
    step costs what the batch holds however long the table is.

    The penalties l1 |w| + l2 w^2 enter as their gradient, l1 sign(w) + 2 l2 w: on every dense
    weight but those given to `exempt`, and on each distinct row that the batch touched (Eq. 23,
    24). Here, and not in the loss,
    they are applied once to the summed gradient of all replicas and cost no pass over the tables.

    Args:
      learning_rate: a float or a schedule.
      l1, l2: strengths of the penalties.
      beta_1, beta_2, epsilon: of Adam.
    """

    def __init__(
        self,
        learning_rate: Any = 5e-3,
        *,
        l1: float = 0.0,
        l2: float = 0.0,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        name: str = "LazyAdam",
        **kwargs: Any,
    ) -> None:
        # Compiled updates would copy whole tables where scatters change single rows.
        super().__init__(
            learning_rate,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            name=name,
            **{**kwargs, "jit_compile": False},
        )
        for argument, value in (("l1", l1), ("l2", l2)):
            if value < 0:
                raise ValueError(f"{argument}: must be at least 0, got {value}")
        self.l1 = l1
        self.l2 = l2
        self._exempt: frozenset[str] = frozenset()

    def exempt(self, variables: Iterable[tf.Variable]) -> None:
        """Leaves these dense weights without penalties."""
        self._exempt |= {self._var_key(variable) for variable in variables}

    def _penalty_gradient(self, weights: tf.Tensor) -> tf.Tensor:
        l1 = self.l1 * tf.sign(weights) if self.l1 else 0.0
        l2 = 2.0 * self.l2 * weights if self.l2 else 0.0
        return l1 + l2

    def update_step(self, gradient: tf.Tensor | tf.IndexedSlices, variable: tf.Variable) -> None:
        """One step of one variable. The indices of a sparse gradient are distinct by then."""
        index = self._index_dict[self._var_key(variable)]
        moments = self._momentums[index], self._velocities[index]
        if isinstance(gradient, tf.IndexedSlices):
            self._update_rows(gradient, variable, *moments)
        else:
            self._update_all(gradient, variable, *moments)

    def _update_all(
        self, gradient: tf.Tensor, variable: tf.Variable, m: tf.Variable, v: tf.Variable
    ) -> None:
        if self._var_key(variable) not in self._exempt:
            gradient += self._penalty_gradient(tf.convert_to_tensor(variable))
        step = tf.cast(self.iterations + 1, variable.dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=m.handle,
            v=v.handle,
            beta1_power=self.beta_1**step,
            beta2_power=self.beta_2**step,
            lr=tf.cast(self.learning_rate, variable.dtype),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )

    def _update_rows(
        self, gradient: tf.IndexedSlices, variable: tf.Variable, m: tf.Variable, v: tf.Variable
    ) -> None:
        rows = gradient.indices
        weights = tf.gather(variable, rows)
        values = gradient.values + self._penalty_gradient(weights)
        step = tf.cast(self.iterations + 1, variable.dtype)
        rate = (
            tf.cast(self.learning_rate, variable.dtype)
            * tf.sqrt(1.0 - self.beta_2**step)
            / (1.0 - self.beta_1**step)
        )
        new_m = self.beta_1 * tf.gather(m, rows) + (1.0 - self.beta_1) * values
        new_v = self.beta_2 * tf.gather(v, rows) + (1.0 - self.beta_2) * tf.square(values)
        m.scatter_update(tf.IndexedSlices(new_m, rows))
        v.scatter_update(tf.IndexedSlices(new_v, rows))
        new_weights = weights - rate * new_m / (tf.sqrt(new_v) + self.epsilon)
        variable.scatter_update(tf.IndexedSlices(new_weights, rows))

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        for fixed in ("adaptive_epsilon", "amsgrad"):
            config.pop(fixed, None)
        return {**config, "l1": self.l1, "l2": self.l2}
