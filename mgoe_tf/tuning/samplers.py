"""Points of the unit cube, one a trial.

A point has a coordinate for each flag, by name. Two models that share flags get the same values of
them in trials of the same number: a model is not ahead by what it was given to try. The points do
not depend on how many there are to be, so that a search can be made longer.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence

import numpy as np
from scipy.stats import qmc

Point = dict[str, float]


def random_points(names: Sequence[str], num_points: int, seed: int) -> list[Point]:
    """Independent and even in [0, 1): a coordinate depends on seed, number and name alone."""
    return [
        {
            name: float(np.random.default_rng([seed, number, zlib.crc32(name.encode())]).random())
            for name in names
        }
        for number in range(num_points)
    ]


def halton_points(names: Sequence[str], num_points: int, seed: int) -> list[Point]:
    """A scrambled Halton sequence: the first points are spread evenly already.

    A coordinate depends on seed, number and the place of its name, which is why flags that models
    share have to come first.
    """
    if not names:
        return [{} for _ in range(num_points)]
    sequence = qmc.Halton(d=len(names), scramble=True, seed=np.random.default_rng(seed))
    return [
        dict(zip(names, map(float, point), strict=True)) for point in sequence.random(num_points)
    ]


SAMPLERS: dict[str, Callable[[Sequence[str], int, int], list[Point]]] = {
    "random": random_points,
    "halton": halton_points,
}
