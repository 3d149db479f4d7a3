"""torch-rechub's MMoE, trained as its MTLTrainer does, on CPU."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import tensorflow as tf
import torch
from torch.utils.flop_counter import FlopCounterMode
from torch_rechub.basic.features import SparseFeature
from torch_rechub.models.multi_task import MMOE

from tests.benchmarks.peers import EMBEDDING_DIM, EXPERT_UNITS, EXPERTS, TOWER_UNITS

Batch = tuple[dict[str, torch.Tensor], torch.Tensor]


class TorchRechubMMoE:
    """Each layer of its experts, gates and towers has a batch normalisation, which ours have not.

    Args:
      columns: number of ids by column.
      tasks: names.
      learning_rate: of Adam, dense for the embeddings too.
      threads: of PyTorch.
    """

    def __init__(
        self,
        columns: Mapping[str, int],
        tasks: Sequence[str],
        learning_rate: float,
        *,
        threads: int,
    ):
        torch.manual_seed(0)
        self.threads = threads
        self.tasks = tuple(tasks)
        self.columns = tuple(columns)
        features = [SparseFeature(name, size, EMBEDDING_DIM) for name, size in columns.items()]
        self.model = MMOE(
            features,
            ["classification"] * len(tasks),
            EXPERTS,
            {"dims": list(EXPERT_UNITS)},
            [{"dims": list(TOWER_UNITS)} for _ in tasks],
        )
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=learning_rate, eps=1e-7)
        self.parameters = sum(weight.numel() for weight in self.model.parameters())

    def batch(self, features: Mapping[str, tf.Tensor], labels: Mapping[str, tf.Tensor]) -> Batch:
        y = [torch.from_numpy(labels[task].numpy()) for task in self.tasks]
        return self._inputs(features), torch.stack(y, dim=1)

    def step(self, batches: Iterator[Batch]) -> float:
        torch.set_num_threads(self.threads)
        x, y = next(batches)
        self.model.train()
        predictions = self.model(x)
        loss = sum(
            torch.nn.functional.binary_cross_entropy(predictions[:, t], y[:, t])
            for t in range(len(self.tasks))
        )
        self.model.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def logits(self, features: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        self.model.eval()
        with torch.no_grad():
            logits = torch.logit(self.model(self._inputs(features)), eps=1e-7)
        return dict(zip(self.tasks, tf.unstack(tf.constant(logits.numpy()), axis=1), strict=True))

    def flops(self, features: Mapping[str, tf.Tensor]) -> int:
        counter = FlopCounterMode(display=False)
        with counter, torch.no_grad():
            self.model(self._inputs(features))
        return counter.get_total_flops()

    def _inputs(self, features: Mapping[str, tf.Tensor]) -> dict[str, torch.Tensor]:
        return {name: torch.from_numpy(features[name].numpy()) for name in self.columns}
