"""Numbers about several runs: spread, leads and paired tests. NumPy and SciPy alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats


class Spread(NamedTuple):
    """Of a metric over seeds.

    Attributes:
      mean: over `number` runs.
      deviation: the standard deviation over them, of a sample; None of one run.
      number: how many runs.
    """

    mean: float
    deviation: float | None
    number: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread | None:
        """None of no values."""
        if not values:
            return None
        deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
        return cls(float(np.mean(values)), deviation, len(values))


class Paired(NamedTuple):
    """Of a metric between two models that were run with the same seeds.

    Attributes:
      value: the mean over seeds of the second less the first.
      reach: half of its 95 % interval, by Student's t test of the differences; None of one seed.
      p_value: of both sides; None of one seed, and where all differences are 0.
      number: of seeds.
    """

    value: float
    reach: float | None
    p_value: float | None
    number: int

    @property
    def is_beyond(self) -> bool:
        """Whether the interval leaves 0 out."""
        return self.reach is not None and abs(self.value) > self.reach


def paired(first: Sequence[float], second: Sequence[float]) -> Paired:
    """Student's paired t test: t = mean(d) / (s_d / sqrt(n)), n - 1 degrees of freedom.

    Args:
      first, second: a value a seed, in the same order, at least one.
    """
    differences = np.subtract(second, first)
    number, value = len(differences), float(np.mean(differences))
    if number < 2:
        return Paired(value, None, None, number)
    error = float(np.std(differences, ddof=1)) / math.sqrt(number)
    reach = float(stats.t.ppf(0.975, number - 1)) * error
    if error:
        p_value: float | None = float(2 * stats.t.sf(abs(value) / error, number - 1))
    else:
        p_value = 0.0 if value else None
    return Paired(value, reach, p_value, number)


def lead(ours: float, theirs: float, *, smaller_is_better: bool = False) -> float:
    """By how many per cent of a rival's value ours is better; negative: it is worse."""
    better = theirs - ours if smaller_is_better else ours - theirs
    return 100 * better / abs(theirs)
