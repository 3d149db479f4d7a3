"""Adam for dense weights and for id tables of any size."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import tensorflow as tf

from mgoe_tf.training import moving_average


class LazyAdam(tf.keras.optimizers.Adam):
    """Adam whose sparse updates touch the rows of the batch only, with L1 and L2 penalties.

    A weight with a dense gradient gets Adam as it is. A table that was named by `add_tables`, whose
    gradient is `tf.IndexedSlices`, gets Adam on the distinct rows of the gradient; moments of other
    rows do not decay, so that a step costs what the batch holds however long the table is.

    The penalties l1 |w| + l2 w^2 enter as their gradient, l1 sign(w) + 2 l2 w: on every dense
    weight but those given to `exempt`, and on each distinct row that the batch touched (Eq. 23,
    24). Here, and not in the loss, they are applied once to the summed gradient of all replicas and
    cost no pass over the tables.

    With `ema_decay` it keeps an exponential moving average of the weights, of a table too by
    touching the rows of the batch only (`moving_average.py`); `averaged` puts it in their place.

    Args:
      learning_rate: a float or a schedule.
      l1, l2: strengths of the penalties.
      beta_1, beta_2, epsilon: of Adam.
      clip_norm: longest gradient of all weights together, before penalties; None: any.
      ema_decay: of the moving average, in [0, 1); 0: there is none.
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
        clip_norm: float | None = None,
        ema_decay: float = 0.0,
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
            **{**kwargs, "jit_compile": False, "use_ema": False},
        )
        for argument, value in (("l1", l1), ("l2", l2)):
            if value < 0:
                raise ValueError(f"{argument}: must be at least 0, got {value}")
        if clip_norm is not None and clip_norm <= 0:
            raise ValueError(f"clip_norm: must be above 0, got {clip_norm}")
        if not 0 <= ema_decay < 1:
            raise ValueError(f"ema_decay: must be in [0, 1), got {ema_decay}")
        self.l1 = l1
        self.l2 = l2
        self.clip_norm = clip_norm
        self.ema_decay = ema_decay
        self._exempt: frozenset[str] = frozenset()
        self._tables: frozenset[str] = frozenset()
        # Checkpoints have them by Keras's own list of variables, where a table in shards is one: by
        # these lists too, they would fit as many shards only.
        self._moments: list[list[tf.Variable]] = self._no_dependency([])
        self._averages: list[tf.Variable] = self._no_dependency([])

    def add_tables(self, variables: Iterable[tf.Variable]) -> None:
        """Names tables [V, D], whose gradients are rows.

        Raises:
          ValueError: a new one, but the moments are made already.
        """
        for variable in variables:
            if self._moments and self._var_key(variable) not in self._tables:
                raise ValueError(f"{variable.name}: a table must be named before `build`")
            self._tables |= {self._var_key(variable)}

    def build(self, var_list: Sequence[tf.Variable]) -> None:
        """Makes the moments: of a table both in one, [V, 2 D], as a row is read from memory."""
        super(tf.keras.optimizers.Adam, self).build(var_list)
        if not self._moments:
            self._moments.extend([self._new_moments(variable) for variable in var_list])
            if self.ema_decay:
                self._averages.extend([self._new_average(variable) for variable in var_list])

    def _new_moments(self, variable: tf.Variable) -> list[tf.Variable]:
        if self._var_key(variable) in self._tables:
            shape = [variable.shape[0], 2 * variable.shape[1]]
            return [self.add_variable_from_reference(variable, "moments", shape=shape)]
        return [self.add_variable_from_reference(variable, name) for name in ("m", "v")]

    def _new_average(self, variable: tf.Variable) -> tf.Variable:
        value = self._first_average(variable)
        return self.add_variable_from_reference(
            variable, "average", shape=value.shape, initial_value=value
        )

    def _first_average(self, variable: tf.Variable) -> tf.Tensor:
        value = tf.convert_to_tensor(variable)
        is_table = self._var_key(variable) in self._tables
        return moving_average.rows_of_table(value) if is_table else value

    def restart(self, var_list: Sequence[tf.Variable]) -> None:
        """Begins anew from weights as they are: no step taken, no moments, averages of now.

        To be called outside of the replicas' steps.

        Args:
          var_list: the weights that averages are kept of.
        """
        for moments in self._moments:
            for moment in moments:
                moment.assign(tf.zeros_like(moment))
        if self.ema_decay:
            for variable in var_list:
                self._average_of(variable).assign(self._first_average(variable))
        self.iterations.assign(0)

    @contextlib.contextmanager
    def averaged(self, variables: Sequence[tf.Variable]) -> Iterator[None]:
        """Puts the moving averages in the place of weights while the block runs.

        It costs a pass over all tables. Without `ema_decay` it does nothing.
        """
        if not self.ema_decay:
            yield
            return
        kept = [tf.identity(variable) for variable in variables]
        for variable, weights in zip(variables, kept, strict=True):
            average = tf.convert_to_tensor(self._average_of(variable))
            if self._var_key(variable) in self._tables:
                average = moving_average.of_table(
                    average, weights, step=self.iterations, decay=self.ema_decay
                )
            variable.assign(average)
        try:
            yield
        finally:
            for variable, weights in zip(variables, kept, strict=True):
                variable.assign(weights)

    def _average_of(self, variable: tf.Variable) -> tf.Variable:
        return self._averages[self._index_dict[self._var_key(variable)]]

    def slots(self, table: tf.Variable) -> list[tf.Variable]:
        """What is kept of each row of a table."""
        averages = [self._average_of(table)] if self.ema_decay else []
        return [*self._moments[self._index_dict[self._var_key(table)]], *averages]

    def exempt(self, variables: Iterable[tf.Variable]) -> None:
        """Leaves these dense weights without penalties."""
        self._exempt |= {self._var_key(variable) for variable in variables}

    def apply_gradients(
        self,
        grads_and_vars: Iterable[tuple[Any, tf.Variable]],
        name: str | None = None,
        skip_gradients_aggregation: bool = False,
        **kwargs: Any,
    ) -> tf.Tensor:
        """As of Keras; the gradient of all replicas together is clipped."""
        if self.clip_norm is None:
            return super().apply_gradients(
                grads_and_vars, name, skip_gradients_aggregation, **kwargs
            )
        is_summed = skip_gradients_aggregation or not kwargs.pop(
            "experimental_aggregate_gradients", True
        )
        if not is_summed:
            grads_and_vars = self.aggregate_gradients(grads_and_vars)
        gradients, variables = zip(*grads_and_vars, strict=True)
        # replicas give the same row once each, and the norm is that of their sum
        distinct = [_with_distinct_rows(gradient) for gradient in gradients]
        clipped, _ = tf.clip_by_global_norm(distinct, self.clip_norm)
        pairs = zip(clipped, variables, strict=True)
        return super().apply_gradients(pairs, name, skip_gradients_aggregation=True)

    def _penalty_gradient(self, weights: tf.Tensor) -> tf.Tensor:
        l1 = self.l1 * tf.sign(weights) if self.l1 else 0.0
        l2 = 2.0 * self.l2 * weights if self.l2 else 0.0
        return l1 + l2

    def update_step(self, gradient: tf.Tensor | tf.IndexedSlices, variable: tf.Variable) -> None:
        """One step of one variable. The indices of a sparse gradient are distinct by then.

        Raises:
          ValueError: the gradient is of rows and the variable no table, or the other way round.
        """
        is_table = self._var_key(variable) in self._tables
        if is_table != isinstance(gradient, tf.IndexedSlices):
            kind = "table" if is_table else "weight that is no table"
            raise ValueError(
                f"{variable.name}: got a gradient of type {type(gradient).__name__} for a {kind}"
            )
        moments = self._moments[self._index_dict[self._var_key(variable)]]
        update = self._update_rows if is_table else self._update_all
        update(gradient, variable, *moments)

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
        if self.ema_decay:
            average = self._average_of(variable)
            average.assign_sub((1.0 - self.ema_decay) * (average - variable))

    def _update_rows(
        self, gradient: tf.IndexedSlices, variable: tf.Variable, moments: tf.Variable
    ) -> None:
        rows = gradient.indices
        weights = tf.nn.embedding_lookup(variable, rows)
        values = gradient.values + self._penalty_gradient(weights)
        step = tf.cast(self.iterations + 1, variable.dtype)
        rate = (
            tf.cast(self.learning_rate, variable.dtype)
            * tf.sqrt(1.0 - self.beta_2**step)
            / (1.0 - self.beta_1**step)
        )
        m, v = tf.split(tf.nn.embedding_lookup(moments, rows), 2, axis=1)
        new_m = self.beta_1 * m + (1.0 - self.beta_1) * values
        new_v = self.beta_2 * v + (1.0 - self.beta_2) * tf.square(values)
        moments.scatter_update(tf.IndexedSlices(tf.concat([new_m, new_v], axis=1), rows))
        new_weights = weights - rate * new_m / (tf.sqrt(new_v) + self.epsilon)
        variable.scatter_update(tf.IndexedSlices(new_weights, rows))
        if self.ema_decay:
            average = self._average_of(variable)
            new_average = moving_average.updated_rows(
                tf.nn.embedding_lookup(average, rows),
                weights,
                new_weights,
                step=self.iterations + 1,
                decay=self.ema_decay,
            )
            average.scatter_update(tf.IndexedSlices(new_average, rows))

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        for fixed in ("adaptive_epsilon", "amsgrad", "use_ema"):
            config.pop(fixed, None)
        ours = ("l1", "l2", "clip_norm", "ema_decay")
        return {**config, **{name: getattr(self, name) for name in ours}}


def inner_optimizer(optimizer: tf.keras.optimizers.Optimizer) -> LazyAdam:
    """The one that takes the steps, without what scales the loss under mixed_float16."""
    if isinstance(optimizer, tf.keras.mixed_precision.LossScaleOptimizer):
        return optimizer.inner_optimizer
    return optimizer


def _with_distinct_rows(gradient: tf.Tensor | tf.IndexedSlices | None) -> Any:
    """The same gradient, its rows that come more than once summed."""
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    rows, places = tf.unique(gradient.indices)
    values = tf.math.unsorted_segment_sum(gradient.values, places, tf.size(rows))
    return tf.IndexedSlices(values, rows, gradient.dense_shape)
