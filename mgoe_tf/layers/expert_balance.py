"""How evenly gates use the experts."""

from __future__ import annotations

import tensorflow as tf


def load_imbalance(gates: tf.Tensor) -> tf.Tensor:
    """Var_e(I) / (Mean_e(I)^2 + 1e-10), I_e = sum_t mean_b g_tbe: 0 where all are used alike.

    The squared coefficient of variation, as mixtures of experts are balanced since Shazeer et al.,
    ICLR 2017. It is taken of the mean over rows, so that the 1e-10 weighs alike in any batch.

    Args:
      gates: [T, B, X], rows summing to 1.

    Returns:
      A scalar, at most X - 1.

    Example:

    >>> print(load_imbalance(tf.constant([[[1.0, 0.0]], [[0.5, 0.5]]])).numpy())
    0.25
    """
    # importance: [X]
    importance = tf.reduce_sum(tf.reduce_mean(gates, axis=1), axis=0)
    mean, variance = tf.nn.moments(importance, axes=[0])
    return variance / (tf.square(mean) + 1e-10)
