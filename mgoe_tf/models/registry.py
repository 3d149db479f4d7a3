"""The models by name: a new one is its file and one line here."""

from __future__ import annotations

from input_pipeline.spec import DatasetSpec
from mgoe_tf.config import ModelOptions
from mgoe_tf.models.base import RankingModel
from mgoe_tf.models.baselines.mmoe import MMoE
from mgoe_tf.models.mgoe import MGOE

MODELS: dict[str, type[RankingModel]] = {
    "mgoe": MGOE,
    "mmoe": MMoE,
}


def build_model(name: str, spec: DatasetSpec, options: ModelOptions) -> RankingModel:
    """Makes a model with all its weights.

    Raises:
      ValueError: no model of that name is registered.
    """
    if name not in MODELS:
        raise ValueError(f"--model: must be one of {', '.join(sorted(MODELS))}, got {name!r}")
    model = MODELS[name](spec=spec, options=options, name=name)
    model(model.zero_features())
    return model
