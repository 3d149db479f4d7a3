"""The options of models; every field is a flag of the same name."""

from __future__ import annotations

import dataclasses
from typing import Any

from input_pipeline.commands.options import option


def _require(options: Any, requirement: str, names: tuple[str, ...], holds: Any) -> None:
    for name in names:
        value = getattr(options, name)
        values = value if isinstance(value, tuple) else (value,)
        if not all(holds(item) for item in values):
            shown = list(value) if isinstance(value, tuple) else value
            raise ValueError(f"--{name}: must be {requirement}, got {shown}")


@dataclasses.dataclass(frozen=True)
class ModelOptions:
    """Sizes and readings of the networks. Symbols are those of the paper."""

    embedding_dim: int = option(10, "d, the width of id, side-feature and macro embeddings.")
    temperature: float = option(
        1.0, "tau of the macro weights softmax(log(1 + w) / tau) (Eq. 14): lower is sharper."
    )
    num_shared_experts: int = option(
        1, "n_s, experts shared by all tasks, in the bottom and in the fusion."
    )
    num_task_experts: int = option(1, "n_t, experts of each task, in the bottom and in the fusion.")
    head_units: int = option(16, "h, the width of a macro graph expert's head.")
    fusion_units: tuple[int, ...] = option((64, 32), "Layers of a fusion expert (Eq. 2).")
    tower_units: tuple[int, ...] = option(
        (32,), "Hidden layers of each task's tower, in every model."
    )
    dropout: float = option(0.0, "Dropout rate after each hidden layer of experts and towers.")
    attention_query: str = option(
        "target",
        "Query of the macro attention (Eq. 16). target: the target node of the kind of the set's "
        "macro nodes. owner: "
        "the node whose neighbours they are.",
        ("target", "owner"),
    )
    neighbor_weights: str = option(
        "score",
        "Weights of micro neighbours. score: s_vj / sum s_vj. one: 1 each.",
        ("score", "one"),
    )
    neighbor_features: bool = option(
        True,
        "Micro neighbours bring the embeddings of their side features beside those of their ids.",
    )
    interactions: bool = option(
        True,
        "Fusion also reads the products of user and item, of the item and the user's neighbours, "
        "and of the user and the item's neighbours.",
    )
    cascade: bool = option(True, "Feed each tower the logit of the task before it (Eq. 21).")
    adjustment: bool = option(
        True, "Adjust logits by the user's row of the macro task lookup table (Eq. 22)."
    )
    mmoe_experts: int = option(4, "mmoe: number of experts.")
    mmoe_expert_units: tuple[int, ...] = option((64, 32), "mmoe: layers of an expert.")

    def __post_init__(self) -> None:
        _require(
            self,
            "at least 1",
            (
                "embedding_dim",
                "head_units",
                "fusion_units",
                "tower_units",
                "mmoe_experts",
                "mmoe_expert_units",
            ),
            lambda value: value >= 1,
        )
        _require(
            self, "at least 0", ("num_shared_experts", "num_task_experts"), lambda value: value >= 0
        )
        if self.num_shared_experts + self.num_task_experts < 1:
            raise ValueError("--num_shared_experts + --num_task_experts: must be at least 1, got 0")
        _require(self, "above 0", ("temperature",), lambda value: value > 0)
        _require(self, "in [0, 1)", ("dropout",), lambda value: 0 <= value < 1)
