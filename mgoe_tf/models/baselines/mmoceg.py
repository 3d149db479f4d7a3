"""MMoCEG, a mixture of contrastive experts with gates propagated on a graph of tasks."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from input_pipeline.commands.options import option
from input_pipeline.spec import DatasetSpec
from mgoe_tf.layers.expert_balance import load_imbalance
from mgoe_tf.layers.expert_contrast import ExpertContrast
from mgoe_tf.layers.gate_logits import GateLogits
from mgoe_tf.layers.mlp_experts import MlpExperts
from mgoe_tf.layers.split_rows import for_all_tasks
from mgoe_tf.layers.task_gates import mix
from mgoe_tf.layers.task_graph import TaskGraph
from mgoe_tf.models.base import Features, RankingModel, concatenated
from mgoe_tf.models.options import GatedOptions, require

_USERS_AT_ONCE = 1 << 14


@dataclasses.dataclass(frozen=True)
class MMoCEGOptions(GatedOptions):
    """Sizes and readings of MMoCEG; published: 8 experts, one tower 256-32, --l2=0.005."""

    num_experts: int = option(4, "Number of experts, shared by all tasks.")
    expert_units: tuple[int, ...] = option((64, 32), "Layers of an expert.")
    task_prior: str = option(
        "labels",
        "A, the likeness of tasks that is given. labels: the cosine of how often each user did "
        "them on each group of items before the validation window. identity: each is like itself "
        "alone.",
        ("labels", "identity"),
    )
    task_graph_rank: int = option(
        16,
        "Columns of R, which learns what A does not know: A_hat = softmax(A + R R'). 0: none, as "
        "in the authors' code, where R is a constant 0.",
    )
    propagation_layers: int = option(
        2, "How many times gates pass along the graph of tasks. 0: not at all, as in MMoE."
    )
    gate_domain: str = option(
        "logit",
        "What passes along the graph of tasks. logit: the gates before their softmax. prob: after "
        "it, to go through a second softmax, as in the authors' code, which leaves gates nearly "
        "even: no weight is more than e times another.",
        ("logit", "prob"),
    )
    balance_weight: float = option(
        0.01, "Weight of the penalty on experts that are used unevenly. 0: none."
    )
    contrastive_weight: float = option(
        1.0, "Weight of the contrastive penalty on experts that give the like output. 0: none."
    )
    contrastive_margin: float = option(
        0.3,
        "By how much two copies of an expert's output must be closer than two experts' outputs.",
    )
    contrastive_dropout: float = option(
        0.1, "Dropout by which the two copies of an expert's output differ."
    )
    contrastive_by_task: bool = option(
        False,
        "Counts the contrastive penalty once a task, as the authors' code does.",
    )
    shared_tower: bool = option(
        False, "One tower for all tasks, as published, which differ by their gates alone then."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "at least 1", ("num_experts", "expert_units"), lambda value: value >= 1)
        at_least_zero = ("task_graph_rank", "propagation_layers", "contrastive_margin")
        weights = ("balance_weight", "contrastive_weight")
        require(self, "at least 0", (*at_least_zero, *weights), lambda value: value >= 0)
        require(self, "in [0, 1)", ("contrastive_dropout",), lambda value: 0 <= value < 1)


class MMoCEG(RankingModel):
    """s_t = Tower_t(sum_e softmax_e(G^L_t)_e MLP_e(x)) with x = [x_u ; x_i ; x_c].

        G^0_t = x W_t,  G^l = LeakyReLU(A_hat G^{l-1}) over tasks,  A_hat = softmax(A + R R^T)
        L = sum_t BCE_t + 0.01 CV^2(sum_t sum_b softmax(x W_t)) + L_cl

    CV^2 is `load_imbalance` of the gates before the graph, L_cl is `ExpertContrast`. Source:
    "MMoCEG", CIKM 2023, and the authors' code. Published for regions, which are tasks here, with
    --task_prior=labels in the place of a table of provinces. Deviations:

    - Experts are MLPs of x with weights of their own. Theirs are DIN and DeepFM under one reused
      variable scope, which share all but a first-order vector; without that nothing would tell
      experts apart, so that there is no option for it.
    - R is trained (see `TaskGraph`); L1 and L2 spare it. In their code it is a constant 0.
    - Logits pass along the graph (--gate_domain), a tower for each task (--shared_tower), L_cl
      counts once (--contrastive_by_task).
    - L_cl and CV^2 are of a replica's rows. An expert's output that is 0, of which their code takes
      NaN, is as close to others as an orthogonal one.

    Args, input and output as `RankingModel`. Example:

        model = build_model("mmoceg", spec, MMoCEGOptions(num_experts=8), assets)
    """

    options_class = MMoCEGOptions
    options: MMoCEGOptions
    reads_concatenated = True

    def __init__(
        self, *, spec: DatasetSpec, options: MMoCEGOptions | None = None, **kwargs: Any
    ) -> None:
        super().__init__(spec=spec, options=options, **kwargs)
        options = self.options
        num_tasks = len(spec.tasks)
        # One bank for all tasks: a single task axis, whose experts are all shared.
        self.experts = MlpExperts(
            num_tasks=1,
            num_shared=options.num_experts,
            num_task_experts=0,
            units=options.expert_units,
            dropout=options.dropout,
            name="experts",
        )
        self.gates = GateLogits(num_tasks=num_tasks, num_experts=options.num_experts, name="gates")
        prior = np.eye(num_tasks)
        if options.task_prior == "labels":
            (path,) = self.asset_paths.values()
            prior = task_likeness(np.load(path, mmap_mode="r"))
        self.task_graph = TaskGraph(
            prior=prior.tolist(),
            rank=options.task_graph_rank,
            num_layers=options.propagation_layers,
            name="task_graph",
        )
        self.contrast = ExpertContrast(
            margin=options.contrastive_margin, rate=options.contrastive_dropout, name="contrast"
        )
        # Here, because `network`, by which a new model makes what it holds, does not call it.
        self.contrast.build([options.num_experts, None, options.expert_units[-1]])
        self.towers = self.prediction_towers(1 if options.shared_tower else num_tasks)

    @classmethod
    def assets(cls, spec: DatasetSpec) -> tuple[str, ...]:
        """Who did what on which items before the validation window, which the last cut but one is.

        It is named whatever the options say, as options are not known here.
        """
        return (f"graph/{len(spec.cuts) - 1}/task_table.npy",)

    @property
    def unpenalized_weights(self) -> tuple[tf.Variable, ...]:
        """R, whose gradient is 0 where it is 0."""
        return () if self.task_graph.factor is None else (self.task_graph.factor,)

    @property
    def last_shared_weights(self) -> tuple[tf.Variable, ...]:
        return (self.experts.kernels[-1],)

    @property
    def penalty_names(self) -> tuple[str, ...]:
        weights = {
            "balance": self.options.balance_weight,
            "contrastive": self.options.contrastive_weight,
        }
        return tuple(name for name, weight in weights.items() if weight)

    @property
    def expert_names(self) -> tuple[str, ...]:
        return tuple(f"shared_{number}" for number in range(self.options.num_experts))

    def network(self, inputs: Mapping[str, Any], training: bool = False) -> dict[str, tf.Tensor]:
        return self._forward(inputs, training)[0]

    def network_and_penalties(
        self, inputs: Mapping[str, Any], training: bool = False
    ) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        logits, outputs, raw_gates = self._forward(inputs, training)
        penalties = {}
        if "balance" in self.penalty_names:
            imbalance = load_imbalance(tf.nn.softmax(raw_gates))
            penalties["balance"] = self.options.balance_weight * imbalance
        if "contrastive" in self.penalty_names:
            counted = len(self.spec.tasks) if self.options.contrastive_by_task else 1
            contrast = self.contrast(outputs, training=training)
            penalties["contrastive"] = self.options.contrastive_weight * counted * contrast
        return logits, penalties

    def _forward(
        self, inputs: Mapping[str, Any], training: bool
    ) -> tuple[dict[str, tf.Tensor], tf.Tensor, tf.Tensor]:
        """Logits by task, outputs of experts [X, B, H], logits of gates [T, B, X]."""
        x = concatenated(inputs)
        # outputs: [1, X, B, H]; mixed: [T, B, H]
        outputs = self.experts(for_all_tasks(x), training=training)
        raw_gates = self.gates(x)
        mixed = mix(outputs, self._propagated(raw_gates))
        if self.options.shared_tower:
            flat = tf.reshape(mixed, [1, -1, mixed.shape[-1]])
            logits = self.towers(flat, training=training)
            logits = tf.reshape(logits, [len(self.spec.tasks), -1])
        else:
            logits = self.towers(mixed, training=training)
        return self.by_task(logits), outputs[0], raw_gates

    def _propagated(self, raw_gates: tf.Tensor) -> tf.Tensor:
        """The gates that tasks mix by, [T, B, X], of their logits before the graph."""
        if self.options.gate_domain == "prob":
            raw_gates = tf.nn.softmax(raw_gates)
        return tf.nn.softmax(self.task_graph(raw_gates) / self.options.gate_temperature)

    def diagnostics(self, features: Features) -> dict[str, tf.Tensor]:
        """Of the gates after the graph; `task_graph/<task>` [T] are the rows of A_hat."""
        inputs = self.embed(features)
        raw_gates = self.gates(concatenated(inputs))
        found = self.describe_gates("gates", self._propagated(raw_gates))
        rows = tf.unstack(self.task_graph.adjacency())
        for task, row in zip(self.spec.task_names, rows, strict=True):
            found[f"task_graph/{task}"] = row
        return found


def task_likeness(counts: NDArray[Any]) -> NDArray[np.float64]:
    """The cosine of each two tasks' counts, [T, T] of [U, T, K]; a task is like itself by 1.

    A task that nobody did is not like any other.
    """
    num_users, num_tasks, _ = counts.shape
    products = np.zeros((num_tasks, num_tasks))
    for start in range(0, num_users, _USERS_AT_ONCE):
        part = counts[start : start + _USERS_AT_ONCE].astype(np.float64)
        # by_task: [T, U K]
        by_task = part.transpose(1, 0, 2).reshape(num_tasks, -1)
        products += by_task @ by_task.T
    lengths = np.sqrt(np.diag(products))
    scale = np.divide(1.0, lengths, out=np.zeros(num_tasks), where=lengths > 0)
    likeness = products * scale[:, np.newaxis] * scale
    np.fill_diagonal(likeness, 1.0)
    return likeness
