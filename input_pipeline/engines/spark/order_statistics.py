"""Exact quantiles of numbers in files, by counting: nothing is sorted or collected.

The numbers' bits, made to compare as they do, are found 16 at a time.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from input_pipeline.engines.spark.array_file import ArrayFile
from input_pipeline.engines.spark.workspace import Workspace, slabs

_BITS = 16
_SIGN = np.uint64(1 << 63)


def quantiles(
    path: str, chosen: str, count: int, shares: Sequence[float], work: Workspace
) -> list[float]:
    """`numpy.quantile` of the numbers, float64 [V], whose entry in another file is above 0.

    Args:
      path: of the numbers.
      chosen: of the other file, [V].
      count: how many are chosen, above 0.
      shares: of the quantiles.
      work: where.
    """
    places = [(count - 1) * share for share in shares]
    ranks = sorted({min(int(place) + step, count - 1) for place in places for step in (0, 1)})
    found = dict(zip(ranks, _ranked(path, chosen, ranks, work), strict=True))
    told = []
    for place in places:
        low = int(place)
        pair = [found[low], found[min(low + 1, count - 1)]]
        told.append(float(np.quantile(pair, place - low)))
    return told


def _ranked(path: str, chosen: str, ranks: list[int], work: Workspace) -> list[float]:
    """The numbers of some ranks, from 0."""
    size = len(ArrayFile(path))
    prefixes, left = np.zeros(len(ranks), np.uint64), np.array(ranks, np.int64)
    for shift in range(64 - _BITS, -1, -_BITS):
        count = functools.partial(_histograms, path, chosen, shift, prefixes)
        total = sum(work.run(count, slabs(size, work.part_rows)))
        assert not isinstance(total, int)
        for place in range(len(ranks)):
            sums = np.cumsum(total[place])
            digit = int(np.searchsorted(sums, left[place], side="right"))
            left[place] -= sums[digit - 1] if digit else 0
            prefixes[place] = prefixes[place] << np.uint64(_BITS) | np.uint64(digit)
    bits = np.where(prefixes & _SIGN, prefixes ^ _SIGN, ~prefixes)
    return bits.view(np.float64).tolist()


def _histograms(
    path: str, chosen: str, shift: int, prefixes: NDArray[Any], slab: tuple[int, int]
) -> NDArray[Any]:
    """Counts by the next digit of the numbers that begin with each prefix, int64 [R, 65536]."""
    values = ArrayFile(path).read(*slab)[ArrayFile(chosen).read(*slab) > 0]
    bits = (values + 0.0).view(np.uint64)  # -0.0 is 0.0
    bits = np.where(bits & _SIGN, ~bits, bits | _SIGN)
    digits = (bits >> np.uint64(shift) & np.uint64((1 << _BITS) - 1)).astype(np.int64)
    begins = bits >> np.uint64(shift + _BITS) if shift + _BITS < 64 else np.zeros_like(bits)
    return np.stack(
        [np.bincount(digits[begins == prefix], minlength=1 << _BITS) for prefix in prefixes]
    )
