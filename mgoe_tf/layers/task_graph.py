"""A graph over tasks that gates are propagated on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

_INITIAL_DEVIATION = 0.1


class TaskGraph(tf.keras.layers.Layer):
    """G^l = LeakyReLU(A_hat G^{l-1}) with A_hat = softmax_rows(A + R R^T), l = 1..L.

    A is what is known of the tasks' likeness, R is learnt. The gradient of R is (S + S^T) R, S the
    one of A + R R^T: it is 0 where R is 0. R therefore begins as small normal values, of deviation
    0.1: 16 columns change A by 0.16 on its diagonal and by some 0.04 elsewhere. A penalty that
    pulled it to 0 would end its learning. Everything is float32 under any policy.

    Args:
      prior: A, T rows of T numbers.
      rank: columns of R; 0: there is no R, and A_hat is softmax_rows(A).
      num_layers: L; 0: gates stay as they are, and there is no R.
      slope: of LeakyReLU below 0.

    Call arguments:
      gates: [T, B, X], of all tasks.

    Returns:
      float32 [T, B, X]; no row and no expert is mixed with another.

    Example:

    >>> graph = TaskGraph(prior=[[1.0, 0.5], [0.5, 1.0]], rank=0, num_layers=1)
    >>> print(graph(tf.constant([[[1.0]], [[0.0]]])).numpy().ravel().round(3))
    [0.622 0.378]
    """

    def __init__(
        self,
        *,
        prior: Sequence[Sequence[float]],
        rank: int,
        num_layers: int,
        slope: float = 0.2,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        shape = np.shape(prior)
        if len(shape) != 2 or shape[0] != shape[1] or not shape[0]:
            raise ValueError(f"prior: must be a square matrix, got one of shape {list(shape)}")
        for name, value in (("rank", rank), ("num_layers", num_layers), ("slope", slope)):
            if value < 0:
                raise ValueError(f"{name}: must be at least 0, got {value}")
        self.prior = [[float(value) for value in row] for row in prior]
        self.rank = rank
        self.num_layers = num_layers
        self.slope = slope

    def build(self, input_shape: Any) -> None:
        self.factor: tf.Variable | None = None
        if self.rank and self.num_layers:
            self.factor = self.add_weight(
                name="factor",
                shape=[len(self.prior), self.rank],
                initializer=tf.keras.initializers.RandomNormal(stddev=_INITIAL_DEVIATION),
            )
        super().build(input_shape)

    def adjacency(self) -> tf.Tensor:
        """A_hat, float32 [T, T], rows summing to 1."""
        similarity = tf.constant(self.prior, tf.float32)
        if self.factor is not None:
            similarity += tf.matmul(self.factor, self.factor, transpose_b=True)
        return tf.nn.softmax(similarity)

    def call(self, gates: tf.Tensor) -> tf.Tensor:
        gates = tf.cast(gates, tf.float32)
        if not self.num_layers:
            return gates
        adjacency = self.adjacency()
        # flat: [T, B * X], one product for all rows and experts
        flat = tf.reshape(gates, [len(self.prior), -1])
        for _ in range(self.num_layers):
            flat = tf.nn.leaky_relu(adjacency @ flat, alpha=self.slope)
        return tf.reshape(flat, [len(self.prior), -1, gates.shape[-1]])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "prior": self.prior,
            "rank": self.rank,
            "num_layers": self.num_layers,
            "slope": self.slope,
        }
