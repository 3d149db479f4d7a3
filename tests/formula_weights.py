"""Weights from a formula: another program has made the expected numbers of the same ones."""

from collections.abc import Iterable, Sequence

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


def wave(shape: Sequence[int], phase: float, scale: float = 1.0) -> np.ndarray:
    """scale sin(0.37 k^2 + phase) for k = 1, 2, ... in row-major order: float64."""
    count = np.arange(1, np.prod(shape) + 1)
    return scale * np.sin(0.37 * count**2 + phase).reshape(shape)


def assign_waves(weights: Iterable[tf.Variable], scale: float = 1.0) -> None:
    """Gives the weights the values of phases 1, 2, ..."""
    for phase, weight in enumerate(weights, start=1):
        weight.assign(wave(weight.shape, phase, scale))
