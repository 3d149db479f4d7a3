"""The commands that make a data set and a run again."""

from __future__ import annotations

import dataclasses
import shlex

from input_pipeline.commands.options import as_flags
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.spec import DatasetSpec
from mgoe_tf.models.options import ModelOptions
from mgoe_tf.training.options import TrainOptions


def prepare_command(spec: DatasetSpec) -> str:
    """Prepares the data set again, where its `data_dir` does not exist."""
    return _shown("input_pipeline.prepare", as_flags(PreparationOptions, spec.flags))


def train_command(options: TrainOptions, model_options: ModelOptions) -> str:
    """Trains the model again, where its `model_dir` does not exist."""
    of_training = as_flags(TrainOptions, {**dataclasses.asdict(options), "resume": False})
    of_model = as_flags(type(model_options), dataclasses.asdict(model_options))
    return _shown("mgoe_tf.train", [*of_training, *of_model])


def _shown(module: str, flags: list[str]) -> str:
    return shlex.join(["python", "-m", module, *flags])
