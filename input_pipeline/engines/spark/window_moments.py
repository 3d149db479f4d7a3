"""Moments of numeric features by window, of what parts of the log tell."""

from __future__ import annotations

import collections
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from input_pipeline.features.moments import Moments

# By the name of a feature, and the window.
WindowMoments = dict[tuple[str, int], Moments]


def joined(
    parts: Iterable[Mapping[tuple[str, int], Moments]], num_windows: int
) -> dict[str, NDArray[np.float64]]:
    """By feature, what was found in each window: float64 [windows, 6, W], as `Moments.parts`."""
    found: WindowMoments = collections.defaultdict(Moments)
    for part in parts:
        for key, moments in part.items():
            found[key].extend(moments)
    return {
        name: np.stack([found[name, window].merged() for window in range(num_windows)])
        for name in dict.fromkeys(name for name, _ in found)
    }
