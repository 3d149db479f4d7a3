"""Weights from a formula: another program has made the expected numbers of the same ones."""

from collections.abc import Iterable

import numpy as np
import tensorflow as tf


def values(number: int, *shape: int) -> np.ndarray:
    """sin(0.7 k^2 + number) of entry k in row-major order."""
    entries = np.arange(np.prod(shape, dtype=np.int64))
    return np.sin(0.7 * entries**2 + number).reshape(shape).astype(np.float32)


def fill(weights: Iterable[tf.Variable], first: int = 1) -> int:
    """Gives weight i the values of number `first` + i; returns the number after the last."""
    for weight in weights:
        weight.assign(values(first, *weight.shape))
        first += 1
    return first
