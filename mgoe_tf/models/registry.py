"""The models by name: a new one is its file and one line here."""

from __future__ import annotations

from collections.abc import Mapping

from input_pipeline.spec import DatasetSpec
from mgoe_tf.models.base import RankingModel
from mgoe_tf.models.baselines.aitm import AITM
from mgoe_tf.models.baselines.esmm import ESMM
from mgoe_tf.models.baselines.macgnn import MacGNN
from mgoe_tf.models.baselines.mmoceg import MMoCEG
from mgoe_tf.models.baselines.mmoe import MMoE
from mgoe_tf.models.baselines.mogenet import MoGENet
from mgoe_tf.models.baselines.mome import MoME
from mgoe_tf.models.baselines.pepnet import PEPNet
from mgoe_tf.models.baselines.ple import PLE
from mgoe_tf.models.baselines.pogcn import POGCN
from mgoe_tf.models.baselines.stem import STEM
from mgoe_tf.models.mgoe import MGOE
from mgoe_tf.models.options import ModelOptions

MODELS: dict[str, type[RankingModel]] = {
    "aitm": AITM,
    "esmm": ESMM,
    "macgnn": MacGNN,
    "mgoe": MGOE,
    "mmoceg": MMoCEG,
    "mmoe": MMoE,
    "mogenet": MoGENet,
    "mome": MoME,
    "pepnet": PEPNet,
    "ple": PLE,
    "pogcn": POGCN,
    "stem": STEM,
}


def model_class(name: str) -> type[RankingModel]:
    """The class of a registered model; raises ValueError where no model has that name."""
    if name not in MODELS:
        raise ValueError(f"--model: must be one of {', '.join(sorted(MODELS))}, got {name!r}")
    return MODELS[name]


def build_model(
    name: str,
    spec: DatasetSpec,
    options: ModelOptions | None = None,
    assets: Mapping[str, str] | None = None,
) -> RankingModel:
    """Makes a model with all its weights, at their initial values.

    Args:
      name: of a registered model, one of `MODELS`, such as `mgoe`.
      spec: of the data set, as `mgoe_tf.read_spec(data_dir)` reads it.
      options: of the model's `options_class`; None: its defaults.
      assets: local paths of the files that the model's `assets(spec)` names, by those names; few
        models need any.

    Raises:
      ValueError: no model of that name is registered; options of another model; other assets than
        the model needs.

    Example:

    >>> model = build_model("mgoe", read_spec("quickstart/data"), MGOEOptions(cascade=False))
    """
    model = model_class(name)(spec=spec, options=options, assets=assets, name=name)
    model(model.zero_features())
    return model
