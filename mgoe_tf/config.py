"""The options of models and of training; every field is a flag of the same name."""

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


@dataclasses.dataclass(frozen=True)
class TrainOptions:
    """How a model is trained and when it stops."""

    data_dir: str = option(
        "", "Data set directory. Prepared first where it does not exist and --source is named."
    )
    model_dir: str = option("", "Where checkpoints, TensorBoard logs, options and metrics go.")
    model: str = option("mgoe", "Which model, by its name in mgoe_tf/models/registry.py.")
    seed: int = option(
        0, "Seed of initial values, shuffling, dropout and out-of-vocabulary replacement."
    )
    epochs: int = option(10, "The most passes over the training rows.")
    patience: int = option(
        2,
        "Stop after this many epochs without a better mean validation AUC; the best checkpoint is "
        "kept. 0: never.",
    )
    batch_size: int = option(1024, "Rows per training step.")
    learning_rate: float = option(5e-3, "Learning rate of Adam, for dense weights and id tables.")
    l1: float = option(
        0.0, "Strength of the L1 penalty on dense weights, macro tables and touched id rows."
    )
    l2: float = option(
        1e-5, "Strength of the L2 penalty on dense weights, macro tables and touched id rows."
    )
    task_weights: tuple[float, ...] | None = option(
        None, "lambda_t, one per task in task order. Default: 1 each."
    )
    train_rows: str = option(
        "all",
        "all: history and training windows. windows: training windows only, where every row has a "
        "graph.",
        ("all", "windows"),
    )
    oov_rate: float = option(
        0.05,
        "Share of ids and side features replaced at random in training by the out-of-vocabulary "
        "row, so that a model learns to do without them.",
    )
    shuffle_rows: int = option(100_000, "Rows in the shuffle buffer.")
    resume: bool = option(False, "Go on from the latest checkpoint in --model_dir.")
    precision: str = option(
        "float32",
        "Keras dtype policy. Softmaxes and the loss stay float32.",
        ("float32", "mixed_float16", "mixed_bfloat16"),
    )
    xla: bool = option(False, "Compile the training step with XLA.")
    distribution: str = option(
        "one_device",
        "one_device, or mirrored: every GPU, or every logical device.",
        ("one_device", "mirrored"),
    )
    intra_op_threads: int = option(
        0,
        "Threads that share one operation on the CPU; operations run side by side anyway. 0: one "
        "on at most two cores, else TensorFlow's choice.",
    )
    skip_bad_records: int = option(
        0, "Go on past at most this many unreadable records, and count them."
    )
    evaluate_test: bool = option(
        True, "Evaluate the best checkpoint on the test window at the end."
    )

    def __post_init__(self) -> None:
        _require(
            self, "at least 1", ("epochs", "batch_size", "shuffle_rows"), lambda value: value >= 1
        )
        _require(
            self,
            "at least 0",
            ("patience", "seed", "l1", "l2", "intra_op_threads", "skip_bad_records"),
            lambda value: value >= 0,
        )
        _require(self, "above 0", ("learning_rate",), lambda value: value > 0)
        _require(self, "in [0, 1)", ("oov_rate",), lambda value: 0 <= value < 1)
        if self.task_weights is not None:
            _require(self, "at least 0", ("task_weights",), lambda value: value >= 0)
