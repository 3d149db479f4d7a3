"""Mixtures of experts that are none: experts that are copies, gates that know one expert only.

Axes: E experts of a bank, X experts that a gate weighs.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from mgoe_tf.layers.expert_bank import ExpertBank
from mgoe_tf.models.base import RankingModel

# Of a gate's weight, on average over rows, from which on an expert has it alone.
ALONE = 0.99
_SAME = 1e-6


def warnings(model: RankingModel, diagnostics: Mapping[str, tf.Tensor]) -> list[str]:
    """A line for each bank of experts that are copies, and each gate of one expert alone.

    Args:
      model: with all its weights.
      diagnostics: of `RankingModel.diagnostics`.
    """
    banks = (layer for layer in model.submodules if isinstance(layer, ExpertBank))
    told = [
        f"experts {first} and {second} of {bank.name} are copies of one another: they started "
        "alike, and no gate tells them apart"
        for bank in banks
        for first, second in copies([weight.numpy() for weight in bank.expert_weights])[:1]
    ]
    for name, value in diagnostics.items():
        if not name.split("/")[0].endswith("gates") or value.shape[0] < 2:
            continue
        expert = int(np.argmax(value))
        if float(value[expert]) > ALONE:
            told.append(
                f"{name}: all rows use expert {model.expert_names[expert]} alone; a higher "
                "--gate_temperature makes gates more even"
            )
    return told


def copies(weights: list[NDArray[np.float32]]) -> list[tuple[int, int]]:
    """Pairs of experts, the lower number first, whose weights are the same up to rounding.

    Args:
      weights: [E, ...] each.
    """
    if not weights:
        return []
    # flat: [E, P]
    flat = np.concatenate([weight.reshape(len(weight), -1) for weight in weights], axis=1)
    size = np.abs(flat).max(initial=0.0)
    return [
        (first, first + 1 + int(other))
        for first in range(len(flat) - 1)
        for other in np.flatnonzero(
            (np.abs(flat[first + 1 :] - flat[first]) <= _SAME * size).all(axis=1)
        )
    ]
