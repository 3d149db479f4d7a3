"""The options of training; every field is a flag of the same name."""

from __future__ import annotations

import dataclasses

from input_pipeline.commands.options import option
from mgoe_tf.models.options import require


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
        require(
            self, "at least 1", ("epochs", "batch_size", "shuffle_rows"), lambda value: value >= 1
        )
        require(
            self,
            "at least 0",
            ("patience", "seed", "l1", "l2", "intra_op_threads", "skip_bad_records"),
            lambda value: value >= 0,
        )
        require(self, "above 0", ("learning_rate",), lambda value: value > 0)
        require(self, "in [0, 1)", ("oov_rate",), lambda value: 0 <= value < 1)
        if self.task_weights is not None:
            require(self, "at least 0", ("task_weights",), lambda value: value >= 0)
