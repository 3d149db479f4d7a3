"""The stable order of many numbers, several times faster than a stable sort of their places."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def stable_order(keys: NDArray[Any], *, keep_ties: bool = True) -> NDArray[Any]:
    """The order in which keys of at least 0 ascend, equal ones as they stand; int64 [N].

    Args:
      keys: integers [N], signed or not.
      keep_ties: whether the order of equal ones matters; without, that of keys too large to be
        sorted with their places is found in half the time.
    """
    if not len(keys):
        return np.zeros(0, np.int64)
    place_bits = (len(keys) - 1).bit_length()
    if int(keys.max()).bit_length() + place_bits > 64:
        return np.argsort(keys, kind="stable" if keep_ties else "quicksort")
    # Sorting numbers that hold key and place takes a third of the time of sorting places by keys.
    packed = keys.astype(np.uint64)
    packed <<= np.uint64(place_bits)
    packed |= np.arange(len(keys), dtype=np.uint64)
    packed.sort()
    packed &= np.uint64((1 << place_bits) - 1)
    return packed.view(np.int64)
