"""Model directories and batches to measure with: what a model has learnt is no matter of speed."""

from __future__ import annotations

import dataclasses
from typing import Any

import tensorflow as tf

from input_pipeline.dataset import open_examples
from input_pipeline.spec import DatasetSpec
from mgoe_tf.config import TrainOptions
from mgoe_tf.layers.id_lookup import IdLookup
from mgoe_tf.models.base import RankingModel
from mgoe_tf.models.registry import model_class
from mgoe_tf.training import checkpoints
from mgoe_tf.training.optimizers import LazyAdam
from mgoe_tf.training.tasks import MultiTask


@dataclasses.dataclass(frozen=True)
class Run:
    """An initialized model in its directory, compiled for training.

    Attributes:
      model_dir: holds the checkpoint that an export reads.
      options: of training; `data_dir` is the data set.
    """

    model_dir: str
    model: RankingModel
    lookup: IdLookup
    spec: DatasetSpec
    options: TrainOptions

    @classmethod
    def of(cls, name: str, data_dir: str) -> Run:
        """A model of the registry with default sizes and no penalties, beside its data set."""
        model_dir = f"{data_dir}-{name}"
        options = TrainOptions(data_dir=data_dir, model_dir=model_dir, model=name, l2=0.0)
        spec = checkpoints.read_spec(data_dir)
        model = compiled(spec, options)
        if not checkpoints.holds_run(model_dir):
            checkpoints.write_run(model_dir, spec, model.options, options)
            best = checkpoints.manager(tf.train.Checkpoint(model=model), model_dir, "best")
            best.save(1)
        return cls(model_dir, model, checkpoints.make_lookup(model_dir, spec, model), spec, options)

    def encode(self, parsed: dict[str, tf.Tensor]) -> tuple[dict[str, tf.Tensor], Any]:
        """Features and labels of some parsed rows, as a training step takes them."""
        features = self.lookup({name: parsed[name] for name in self.lookup.names})
        return features, {task: parsed[f"label_{task}"] for task in self.spec.task_names}


def compiled(spec: DatasetSpec, options: TrainOptions) -> RankingModel:
    """A new model with the optimizer of `options`."""
    tf.keras.utils.set_random_seed(options.seed)
    model = checkpoints.new_model(spec, model_class(options.model).options_class(), options)
    model.compile(
        LazyAdam(options.learning_rate, l1=options.l1, l2=options.l2),
        task=MultiTask(task_names=spec.task_names),
    )
    model.optimizer.build(model.trainable_variables)
    return model


def parsed_batches(
    data_dir: str, window: str, batch_size: int, count: int
) -> list[dict[str, tf.Tensor]]:
    """The first rows of a window in memory, with all features and labels.

    A window with fewer rows gives its batches again; one that has not even a batch, what it has.
    """
    spec = checkpoints.read_spec(data_dir)
    names = [feature.name for feature in spec.input_features]
    examples = open_examples(data_dir, spec, [window], names)
    rows = examples.ordered_batches(batch_size, encode=lambda parsed: parsed)
    found = list(rows.take(count))
    whole = [batch for batch in found if len(batch["user_id"]) == batch_size] or found
    return [whole[number % len(whole)] for number in range(count)]
