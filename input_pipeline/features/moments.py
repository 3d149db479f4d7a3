"""Mean and deviation of numbers that come part by part."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from input_pipeline.feature import Transform


class Moments:
    """Of W columns of numbers, part by part, six numbers each.

    Count, mean, sum of squares about it, least, largest, and whether any is missing.
    """

    def __init__(self) -> None:
        self._parts: list[NDArray[Any]] = []

    @classmethod
    def of_parts(cls, parts: NDArray[Any]) -> Moments:
        """Those whose `parts` these are."""
        moments = cls()
        moments._parts += list(parts)
        return moments

    def parts(self) -> NDArray[Any]:
        """What was found in each part, float64 [parts, 6, W]."""
        return np.stack(self._parts)

    def add(self, values: NDArray[Any], times: NDArray[Any] | None = None) -> None:
        """Takes in float64 [N, W]; NaN is missing.

        Args:
          values: the numbers.
          times: int64 [N, 1], how often each counts, from 1; None: once.
        """
        there = ~np.isnan(values)
        known = np.where(there, values, 0.0)
        count = (there if times is None else there * times).sum(axis=0)
        mean = (known if times is None else known * times).sum(axis=0) / np.maximum(count, 1)
        squares = np.where(there, values - mean, 0.0) ** 2
        squares = (squares if times is None else squares * times).sum(axis=0)
        low = np.where(there, values, np.inf).min(axis=0, initial=np.inf)
        high = np.where(there, values, -np.inf).max(axis=0, initial=-np.inf)
        is_missing = (~there).any(axis=0)
        self._parts.append(np.stack([count, mean, squares, low, high, is_missing]))

    def extend(self, other: Moments) -> None:
        """Takes in what another has."""
        self._parts += other._parts

    def merged(self) -> NDArray[Any]:
        """All parts as one, float64 [6, W]."""
        count, means, squares, low, high, is_missing = np.moveaxis(self.parts(), 1, 0)
        total = count.sum(axis=0)
        mean = (count * means).sum(axis=0) / np.maximum(total, 1)
        squares = (squares + count * (means - mean) ** 2).sum(axis=0)
        ends = low.min(axis=0), high.max(axis=0)
        return np.stack([total, mean, squares, *ends, is_missing.any(axis=0)])

    def complete(self, transform: Transform, num_parts: int | None = None) -> Transform:
        """The transform by what was taken in; `none` leaves numbers as they are.

        Args:
          transform: its kind.
          num_parts: how many parts count, the first ones; None: all.
        """
        # [parts, 6, W]
        parts = self.parts()[:num_parts]
        count, means, squares, low, high, is_missing = np.moveaxis(parts, 1, 0)
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
            has_missing=bool(is_missing.any()),
        )
