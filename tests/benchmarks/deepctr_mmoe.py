"""DeepCTR's MMoE, on the Keras 2 of this environment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf
from deepctr.feature_column import SparseFeat
from deepctr.models import MMOE

from tests.benchmarks.flops import matmul_flops
from tests.benchmarks.peers import EMBEDDING_DIM, EXPERT_UNITS, EXPERTS, TOWER_UNITS


class DeepctrMMoE:
    """Its last dense layers have no bias.

    Args:
      columns: number of ids by column.
      tasks: names.
      learning_rate: of Keras's Adam, dense for the embeddings too.
    """

    def __init__(self, columns: Mapping[str, int], tasks: Sequence[str], learning_rate: float):
        self.tasks = tuple(tasks)
        self.columns = tuple(columns)
        self.model = MMOE(
            [SparseFeat(name, size, EMBEDDING_DIM) for name, size in columns.items()],
            num_experts=EXPERTS,
            expert_dnn_hidden_units=EXPERT_UNITS,
            tower_dnn_hidden_units=TOWER_UNITS,
            l2_reg_embedding=0.0,
            task_types=("binary",) * len(tasks),
            task_names=self.tasks,
        )
        optimizer = tf.keras.optimizers.Adam(learning_rate, jit_compile=False)
        self.model.compile(optimizer, "binary_crossentropy")
        self.parameters = self.model.count_params()
        self._train = tf.function(self.model.train_step, autograph=False)
        self._predict = tf.function(self.model, autograph=False, reduce_retracing=True)

    def batch(self, features: Mapping[str, tf.Tensor], labels: Mapping[str, tf.Tensor]) -> Any:
        return self._inputs(features), [labels[task] for task in self.tasks]

    def step(self, batches: Iterator[Any]) -> float:
        return float(self._train(next(batches))["loss"])

    def logits(self, features: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        found = {}
        for task, output in zip(self.tasks, self._predict(self._inputs(features)), strict=True):
            probability = tf.clip_by_value(output[:, 0], 1e-7, 1 - 1e-7)
            found[task] = tf.math.log(probability) - tf.math.log1p(-probability)
        return found

    def flops(self, features: Mapping[str, tf.Tensor]) -> int:
        return matmul_flops(self.model, self._inputs(features))

    def _inputs(self, features: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {name: features[name] for name in self.columns}
