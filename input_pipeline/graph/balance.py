"""How evenly nodes are spread over macro nodes."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclasses.dataclass(frozen=True)
class Balance:
    """Of the nodes that are in a macro node.

    Attributes:
      largest_share: the share in the largest macro node; 0 where there are no nodes.
      effective_number: exp of the entropy of the shares: K where all are of one size, 1 where one
        holds all; 0 where there are no nodes.
    """

    largest_share: float
    effective_number: float


def balance(sizes: NDArray[Any]) -> Balance:
    """Of macro nodes with so many members, [K]."""
    if not sizes.sum():
        return Balance(0.0, 0.0)
    shares = sizes[sizes > 0] / sizes.sum()
    return Balance(float(shares.max()), float(np.exp(-(shares * np.log(shares)).sum())))
