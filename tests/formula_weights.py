"""Weights that a formula gives, which two implementations of a model can both be given."""

from collections.abc import Iterable, Sequence

import numpy as np
import tensorflow as tf


def wave(shape: Sequence[int], phase: float, scale: float = 1.0) -> np.ndarray:
    """scale sin(0.37 k^2 + phase) for k = 1, 2, ... in row-major order: float64."""
    count = np.arange(1, np.prod(shape) + 1)
    return scale * np.sin(0.37 * count**2 + phase).reshape(shape)


def assign_waves(weights: Iterable[tf.Variable], scale: float = 1.0) -> None:
    """Gives the weights the values of phases 1, 2, ..."""
    for phase, weight in enumerate(weights, start=1):
        weight.assign(wave(weight.shape, phase, scale))
