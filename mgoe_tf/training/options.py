"""The options of training; every field is a flag of the same name."""

from __future__ import annotations

import dataclasses

from input_pipeline.commands.options import option
from input_pipeline.log.id_hashes import MOST_ROWS
from mgoe_tf.models.options import require
from mgoe_tf.training.schedules import SCHEDULES
from mgoe_tf.training.weighting import WEIGHTINGS

# Distributions over the processes of a cluster (`training/clusters`).
CLUSTERED = ("parameter_server", "multi_worker")


@dataclasses.dataclass(frozen=True)
class TrainOptions:
    """How a model is trained and when it stops."""

    data_dir: str = option(
        "",
        "Data set directory. Prepared first where it does not exist and --source is named.",
        is_path=True,
    )
    model_dir: str = option(
        "", "Where checkpoints, TensorBoard logs, options and metrics go.", is_path=True
    )
    model: str = option("mgoe", "Which model, by its name in mgoe_tf/models/registry.py.")
    seed: int = option(
        0, "Seed of initial values, shuffling, dropout and out-of-vocabulary replacement."
    )
    epochs: int = option(10, "The most passes over the training rows.")
    patience: int = option(
        2,
        "Stop after this many epochs without a better mean validation AUC (logloss where the "
        "window has one class); the best checkpoint is kept. 0: never.",
    )
    batch_size: int = option(1024, "Rows per training step.")
    learning_rate: float = option(
        5e-3, "Learning rate of Adam, for dense weights and id tables; with a schedule, its peak."
    )
    schedule: str = option(
        "constant",
        "Course of the learning rate. constant; warmup: rises in equal parts over --warmup_steps, "
        "then stays; cosine: rises so, then falls along half a cosine to --final_learning_rate.",
        SCHEDULES,
    )
    warmup_steps: int = option(0, "Steps over which `warmup` and `cosine` rise.")
    decay_steps: int = option(
        0, "Step at which `cosine` has come to its end. 0: the last one of --epochs."
    )
    final_learning_rate: float = option(0.0, "Where `cosine` ends.")
    clip_norm: float = option(
        0.0, "Longest gradient of all weights together, without penalties. 0: any."
    )
    l1: float = option(
        0.0, "Strength of the L1 penalty on dense weights, macro tables and touched id rows."
    )
    l2: float = option(
        1e-5, "Strength of the L2 penalty on dense weights, macro tables and touched id rows."
    )
    task_weighting: str = option(
        "fixed",
        "How the losses of the tasks are weighed. fixed: by --task_weights. uncertainty: by "
        "learned exp(-s_t), with s_t / 2 added. gradnorm: so that their gradients on the last "
        "shared layer are alike in length. pcgrad: by --task_weights, and what contradicts another "
        "task's gradient is taken out.",
        tuple(WEIGHTINGS),
    )
    task_weights: tuple[float, ...] | None = option(
        None, "lambda_t, one per task in task order, of fixed and pcgrad. Default: 1 each."
    )
    gradnorm_alpha: float = option(
        1.5, "How strongly `gradnorm` favours the tasks that learn slowly. 0: not at all."
    )
    gradnorm_rate: float = option(0.025, "Learning rate of the weights of `gradnorm`.")
    label_smoothing: tuple[float, ...] | None = option(
        None, "Labels y become y (1 - e) + e / 2 in training: e, one per task. Default: 0 each."
    )
    ema_decay: float = option(
        0.0,
        "Evaluate and export the moving average of the weights that keeps this share of itself at "
        "each step, such as 0.999. 0: the weights themselves.",
    )
    train_rows: str = option(
        "all",
        "all: history and training windows. windows: training windows only, where every row has a "
        "graph.",
        ("all", "windows"),
    )
    warm_start: str = option(
        "",
        "Model directory to go on from, with weights and the optimizer's state: of the same model "
        "and options, trained on this data set or on one that it continues "
        "(input_pipeline.refresh). Ids that it did not know begin as the mean of their macro "
        "node's members, or as the row that unknown ids share.",
        is_path=True,
    )
    warm_rows: str = option(
        "newest",
        "What --warm_start trains on. newest: the newest training window alone, which a refreshed "
        "data set keeps apart; told: what --train_rows says.",
        ("newest", "told"),
    )
    oov_rate: float = option(
        0.05,
        "Share of ids and side features replaced at random in training by the out-of-vocabulary "
        "row, so that a model learns to do without them. Hashed ids too: then that row is read of "
        "missing ids alone.",
    )
    id_tables: str = option(
        "vocabulary",
        "vocabulary: every id of training has a row of its own, all others share one. hashed: no "
        "vocabulary; the ids of users and items are hashed to two rows each of --hash_rows, which "
        "are summed, new ids too. Side features and context keep their vocabularies; those of "
        "neighbours are then unknown.",
        ("vocabulary", "hashed"),
    )
    hash_rows: int = option(
        0,
        "Rows of the hashed table of users, and of that of items. Only with --id_tables=hashed, "
        "which needs it.",
    )
    shuffle_rows: int = option(
        100_000, "Rows that are shuffled together; up to three times as many are in memory."
    )
    checkpoint_steps: int = option(
        0, "Steps between checkpoints within an epoch. 0: at the end of each epoch alone."
    )
    keep_checkpoints: int = option(1, "How many of the latest checkpoints are kept.")
    resume: bool = option(
        False,
        "Go on from the latest checkpoint in --model_dir, in the middle of an epoch too. Without "
        "one the run begins anew, and says so.",
    )
    precision: str = option(
        "float32",
        "Keras dtype policy. Softmaxes and the loss stay float32.",
        ("float32", "mixed_float16", "mixed_bfloat16"),
    )
    xla: bool = option(False, "Compile the training step with XLA.")
    distribution: str = option(
        "one_device",
        "one_device; mirrored: every GPU, or every logical device; or over the processes that "
        "TF_CONFIG names, each of which is this command. parameter_server: id tables in shards on "
        "servers, and workers that train on a shard of the rows at a time without waiting for each "
        "other; without TF_CONFIG this process does so alone. multi_worker: copies on all workers, "
        "and a slice of each batch for each of them.",
        ("one_device", "mirrored", *CLUSTERED),
    )
    min_shard_bytes: int = option(
        256 * 2**10,
        "With --distribution=parameter_server, the least bytes of a shard of an id table; there "
        "are as many shards as servers at most.",
    )
    intra_op_threads: int = option(
        0,
        "Threads that share one operation on the CPU; operations run side by side anyway. 0: one "
        "on at most two cores, else TensorFlow's choice.",
    )
    skip_bad_records: int = option(
        0, "Go on past at most this many unreadable records, and count them."
    )
    allow_empty_tasks: bool = option(
        False,
        "Train although some tasks have no positive label in the training rows. They are served, "
        "but enter neither `score` nor averages.",
    )
    evaluate_test: bool = option(
        True, "Evaluate the best checkpoint on the test window at the end."
    )
    report: bool = option(
        True,
        "Write report.html, and pictures, curves and a projector for TensorBoard, of the best "
        "checkpoint at the end: a few seconds.",
    )
    profile_steps: tuple[int, ...] = option(
        (),
        "First and last step, such as 10,20, that TensorFlow's profiler records: where the time of "
        "a step goes. TensorBoard shows it with the package tensorboard-plugin-profile.",
    )

    def __post_init__(self) -> None:
        require(
            self,
            "at least 1",
            ("epochs", "batch_size", "shuffle_rows", "keep_checkpoints", "min_shard_bytes"),
            lambda value: value >= 1,
        )
        require(
            self,
            "at least 0",
            (
                *("patience", "seed", "l1", "l2", "intra_op_threads", "skip_bad_records"),
                *("warmup_steps", "decay_steps", "final_learning_rate", "clip_norm"),
                *("checkpoint_steps", "gradnorm_alpha"),
            ),
            lambda value: value >= 0,
        )
        require(self, "above 0", ("learning_rate", "gradnorm_rate"), lambda value: value > 0)
        require(self, "in [0, 1)", ("oov_rate", "ema_decay"), lambda value: 0 <= value < 1)
        if self.task_weights is not None:
            require(self, "at least 0", ("task_weights",), lambda value: value >= 0)
            if self.task_weighting not in ("fixed", "pcgrad"):
                raise ValueError(
                    "--task_weights: must not be given with "
                    f"--task_weighting={self.task_weighting}, got {list(self.task_weights)}"
                )
        if self.label_smoothing is not None:
            require(self, "in [0, 1)", ("label_smoothing",), lambda value: 0 <= value < 1)
        if self.profile_steps and not (
            len(self.profile_steps) == 2 and 1 <= self.profile_steps[0] <= self.profile_steps[1]
        ):
            raise ValueError(
                "--profile_steps: must be a first and a last step, from 1 on, got "
                f"{list(self.profile_steps)}"
            )
        if (self.id_tables == "hashed") != bool(self.hash_rows):
            wanted = "at least 1" if self.id_tables == "hashed" else "0"
            raise ValueError(
                f"--hash_rows: must be {wanted} with --id_tables={self.id_tables}, got "
                f"{self.hash_rows}"
            )
        if not 0 <= self.hash_rows <= MOST_ROWS:
            raise ValueError(f"--hash_rows: must be at most {MOST_ROWS}, got {self.hash_rows}")
        self._require_schedule()
        self._require_warm_start()

    @property
    def rows_of_training(self) -> str:
        """A key of `batches.WINDOWS`: what is trained on."""
        is_newest = self.warm_start and self.warm_rows == "newest"
        return "newest" if is_newest else self.train_rows

    def _require_warm_start(self) -> None:
        """Raises ValueError for options that a run that goes on from another one cannot have."""
        if self.warm_start and self.schedule == "cosine":
            raise ValueError(
                "--schedule: cosine has come to its end where --warm_start goes on; take constant "
                "or warmup, got cosine"
            )
        if self.warm_start and self.distribution not in ("one_device", "mirrored"):
            raise ValueError(
                "--distribution: must be one_device or mirrored with --warm_start, got "
                f"{self.distribution}"
            )

    def _require_schedule(self) -> None:
        """Raises ValueError for options that the schedule does not read."""
        unread = {
            "constant": ("warmup_steps", "decay_steps", "final_learning_rate"),
            "warmup": ("decay_steps", "final_learning_rate"),
        }
        for name in unread.get(self.schedule, ()):
            value = getattr(self, name)
            if value:
                raise ValueError(
                    f"--{name}: must be 0 with --schedule={self.schedule}, got {value}"
                )
        if self.schedule == "warmup" and not self.warmup_steps:
            raise ValueError("--warmup_steps: must be at least 1 with --schedule=warmup, got 0")
        if self.schedule != "cosine":
            return
        if self.decay_steps and self.decay_steps <= self.warmup_steps:
            raise ValueError(
                f"--decay_steps: must be above --warmup_steps={self.warmup_steps}, got "
                f"{self.decay_steps}"
            )
        if self.final_learning_rate > self.learning_rate:
            raise ValueError(
                f"--final_learning_rate: must be at most --learning_rate={self.learning_rate}, got "
                f"{self.final_learning_rate}"
            )
