"""Which differences between groups of runs are more than their spread."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from mgoe_tf.evaluation import user_errors

RULES = {
    "seeds": "Of two groups of several seeds: the 95 % interval of the difference of their means, "
    "by Welch's t test of the runs. With two seeds each it is wide; three or more tell much more.",
    "one": "Of a run and a group of several seeds: where 95 % of further runs of the group would "
    "lie, by its mean and deviation, if the run is of the same spread.",
    "users": "Of two single runs on the same rows: 95 % of a paired bootstrap over users (to first "
    "order, without drawing). It says whether these two models differ for other users, too, and "
    "nothing about other seeds: only several seeds do.",
    "none": "Nothing can be said.",
}


class Difference(NamedTuple):
    """Of a metric between two groups.

    Attributes:
      value: the second's mean less the first's.
      reach: half of its 95 % interval; None where nothing can be said.
      rule: one of `RULES`.
    """

    value: float
    reach: float | None
    rule: str

    @property
    def is_beyond(self) -> bool:
        """Whether the interval leaves 0 out."""
        return self.reach is not None and abs(self.value) > self.reach


def between(
    first: Sequence[float],
    second: Sequence[float],
    influences: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
) -> Difference:
    """The difference between the runs of two groups.

    Args:
      first, second: a value a run.
      influences: of two single runs, those of each user on the value; None: they are not known.
    """
    value = float(np.mean(second) - np.mean(first))
    several = [runs for runs in (first, second) if len(runs) > 1]
    if len(several) == 2:
        return Difference(value, _welch(first, second), "seeds")
    if several:
        (runs,) = several
        quantile = stats.t.ppf(0.975, len(runs) - 1)
        reach = quantile * np.std(runs, ddof=1) * math.sqrt(1 + 1 / len(runs))
        return Difference(value, float(reach), "one")
    if influences is None:
        return Difference(value, None, "none")
    reach = user_errors.QUANTILE * user_errors.deviation(influences[1] - influences[0])
    return Difference(value, None if math.isnan(reach) else reach, "users")


def _welch(first: Sequence[float], second: Sequence[float]) -> float:
    """Half the 95 % interval of a difference of means, by Welch and Satterthwaite."""
    variances = [np.var(runs, ddof=1) / len(runs) for runs in (first, second)]
    total = sum(variances)
    if not total:
        return 0.0
    of_degrees = sum(v**2 / (len(r) - 1) for v, r in zip(variances, (first, second), strict=True))
    return float(stats.t.ppf(0.975, total**2 / of_degrees) * math.sqrt(total))
