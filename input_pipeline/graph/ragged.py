"""Lists of different lengths that lie one after the other in an array."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def offsets_of(lengths: NDArray[Any]) -> NDArray[Any]:
    """int64 [N + 1]: where lists of these lengths begin and end, one after the other."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def taken(offsets: NDArray[Any], index: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Some lists, one after the other.

    Args:
      offsets: int64 [N + 1]; list n has the entries offsets[n]:offsets[n + 1].
      index: [M], of the lists that are taken.

    Returns:
      Their offsets, int64 [M + 1], and the places of their entries, int64 [E].
    """
    starts = offsets[index]
    lengths = offsets[index + 1] - starts
    found = offsets_of(lengths)
    return found, np.arange(found[-1]) + np.repeat(starts - found[:-1], lengths)
