"""Model directories and batches to measure with: what a model has learnt is no matter of speed."""

from __future__ import annotations

import dataclasses
from typing import Any

import tensorflow as tf

from input_pipeline.dataset import open_examples
from input_pipeline.spec import DatasetSpec, read_spec
from mgoe_tf.layers.id_lookup import IdLookup
from mgoe_tf.models.base import RankingModel
from mgoe_tf.models.registry import model_class
from mgoe_tf.training import checkpoints, trainer
from mgoe_tf.training.options import TrainOptions
from mgoe_tf.training.step import TrainingStep


@dataclasses.dataclass(frozen=True)
class Run:
    """An initialized model in its directory, ready to be trained.

    Attributes:
      model_dir: holds the checkpoint that an export reads.
      step: of training, with the model.
      options: of training; `data_dir` is the data set.
    """

    model_dir: str
    step: TrainingStep
    lookup: IdLookup
    spec: DatasetSpec
    options: TrainOptions

    @classmethod
    def of(cls, name: str, data_dir: str, **changes: Any) -> Run:
        """A model of the registry with default sizes and no penalties, beside its data set.

        Args:
          name: of the model, with its `--size` behind a dash where that is not the default.
          data_dir: its data set.
          changes: of the options of training, which leave the weights what they are.
        """
        model_dir = f"{data_dir}-{name}"
        model_name, _, size = name.partition("-")
        options = TrainOptions(data_dir=data_dir, model_dir=model_dir, model=model_name, l2=0.0)
        options = dataclasses.replace(options, **changes)
        spec = read_spec(data_dir)
        step = make_step(spec, options, **({"size": size} if size else {}))
        model = step.model
        if not checkpoints.holds_run(model_dir):
            checkpoints.write_run(model_dir, spec, model.options, options)
            best = checkpoints.manager(tf.train.Checkpoint(model=model), model_dir, "best")
            best.save(1)
        return cls(model_dir, step, checkpoints.make_lookup(model_dir, spec, model), spec, options)

    @property
    def model(self) -> RankingModel:
        return self.step.model

    def encode(self, parsed: dict[str, tf.Tensor]) -> tuple[dict[str, tf.Tensor], Any]:
        """Features and labels of some parsed rows, as a training step takes them."""
        features = self.lookup({name: parsed[name] for name in self.lookup.names})
        return features, {task: parsed[f"label_{task}"] for task in self.spec.task_names}


def make_step(spec: DatasetSpec, options: TrainOptions, **model_options: Any) -> TrainingStep:
    """A new model, with these options of its own, and its training step as `options` say."""
    tf.keras.utils.set_random_seed(options.seed)
    own = model_class(options.model).options_class(**model_options)
    model = checkpoints.new_model(spec, own, options)
    return trainer.make_step(model, options, num_steps=1)


def parsed_batches(
    data_dir: str, window: str, batch_size: int, count: int
) -> list[dict[str, tf.Tensor]]:
    """The first rows of a window in memory, with all features and labels.

    A window with fewer rows gives its batches again; one that has not even a batch, what it has.
    """
    spec = read_spec(data_dir)
    names = [feature.name for feature in spec.input_features]
    examples = open_examples(data_dir, spec, [window], names)
    rows = examples.ordered_batches(batch_size, encode=lambda parsed: parsed)
    found = list(rows.take(count))
    whole = [batch for batch in found if len(batch["user_id"]) == batch_size] or found
    return [whole[number % len(whole)] for number in range(count)]
