"""Mean and deviation of numbers that come part by part."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from input_pipeline.feature import Transform


class Moments:
    """Count, mean, sum of squares about it, least and largest of W columns of numbers."""

    def __init__(self) -> None:
        self._parts: list[NDArray[Any]] = []
        self._has_missing = False

    def add(self, values: NDArray[Any], times: NDArray[Any] | None = None) -> None:
        """Takes in float64 [N, W]; NaN is missing.

        Args:
          values: the numbers.
          times: int64 [N, 1], how often each counts, from 1; None: once.
        """
        there = ~np.isnan(values)
        self._has_missing = self._has_missing or not there.all()
        known = np.where(there, values, 0.0)
        count = (there if times is None else there * times).sum(axis=0)
        mean = (known if times is None else known * times).sum(axis=0) / np.maximum(count, 1)
        squares = np.where(there, values - mean, 0.0) ** 2
        squares = (squares if times is None else squares * times).sum(axis=0)
        low = np.where(there, values, np.inf).min(axis=0, initial=np.inf)
        high = np.where(there, values, -np.inf).max(axis=0, initial=-np.inf)
        self._parts.append(np.stack([count, mean, squares, low, high]))

    def extend(self, other: Moments) -> None:
        """Takes in what another has."""
        self._parts += other._parts
        self._has_missing = self._has_missing or other._has_missing

    def complete(self, transform: Transform) -> Transform:
        """The transform by what was taken in; `none` leaves numbers as they are."""
        # [windows, 5, W]
        count, means, squares, low, high = np.moveaxis(np.stack(self._parts), 1, 0)
        total = np.maximum(count.sum(axis=0), 1)
        mean = (count * means).sum(axis=0) / total
        variance = (squares + count * (means - mean) ** 2).sum(axis=0) / total
        # Rounding leaves a little of a deviation that is 0.
        same = high.max(axis=0) <= low.min(axis=0)
        mean = np.where(same & (count.sum(axis=0) > 0), low.min(axis=0), mean)
        deviation = np.where(same | (variance == 0), 1.0, np.sqrt(variance))
        if transform.kind == "none":
            mean, deviation = np.zeros_like(mean), np.ones_like(deviation)
        return dataclasses.replace(
            transform,
            mean=tuple(mean.tolist()),
            deviation=tuple(deviation.tolist()),
            has_missing=self._has_missing,
        )
