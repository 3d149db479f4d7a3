"""Random numbers that are functions of a key: whoever knows the key draws the same, in any order.

Nothing is drawn one after another, so that parts of a log can be drawn for on different machines.
SplitMix64 (Steele, Lea and Flood, OOPSLA 2014) mixes the numbers of a key.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

GOLDEN_GAMMA = 0x9E3779B97F4A7C15
# Of SplitMix64: shift right, then multiply; a last shift follows.
MIXING = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
LAST_SHIFT = 31
_DOUBLE_BITS = np.uint64(11)


def keyed_bits(*key: int | NDArray[Any]) -> NDArray[np.uint64]:
    """uint64 of the broadcast shape of the numbers of a key.

    Args:
      key: integers, and arrays of integers of at least 0.

    Example:

    >>> bits = keyed_bits(7, np.arange(3))
    >>> bool((keyed_bits(7, np.array([2])) == bits[2:]).all()), len(set(bits.tolist()))
    (True, 3)
    """
    with np.errstate(over="ignore"):
        mixed = np.zeros(1, np.uint64)
        for number in key:
            mixed = mix(mixed + np.uint64(GOLDEN_GAMMA) + np.asarray(number).astype(np.uint64))
    return mixed


def mix(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The last step of SplitMix64: numbers of which every bit depends on all of those given."""
    for shift, factor in MIXING:
        bits = (bits ^ (bits >> np.uint64(shift))) * np.uint64(factor)
    return bits ^ (bits >> np.uint64(LAST_SHIFT))


def keyed_uniform(*key: int | NDArray[Any]) -> NDArray[np.float64]:
    """float64 in [0, 1), of the broadcast shape of the numbers of a key."""
    return (keyed_bits(*key) >> _DOUBLE_BITS) * 2.0**-53
