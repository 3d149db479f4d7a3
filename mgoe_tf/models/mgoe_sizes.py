"""Sizes of MGOE that go by one name."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Sizes:
    """The options of MGOE that its cost depends on most.

    Attributes:
      num_shared_experts, num_task_experts: n_s and n_t.
      head_units: h.
      fusion_units: widths of the layers of a fusion expert.
    """

    num_shared_experts: int
    num_task_experts: int
    head_units: int
    fusion_units: tuple[int, ...]


# Chosen by validation AUC beside the time of a step. `small` mixes nothing: each task has an expert
# of its own. `large` has the numbers of the paper.
SIZES: dict[str, Sizes] = {
    "small": Sizes(0, 1, 8, (64, 32)),
    "base": Sizes(1, 1, 8, (64, 32)),
    "large": Sizes(2, 1, 16, (64, 32)),
}


def told(sizes: Sizes) -> str:
    """Sizes in words.

    >>> told(SIZES["small"])
    '0, 1, 8, 64-32'
    """
    layers = "-".join(map(str, sizes.fusion_units))
    return f"{sizes.num_shared_experts}, {sizes.num_task_experts}, {sizes.head_units}, {layers}"
