"""What the trials of a search are to be: their flags and their epochs, before any of them begins.

Samplers know nothing of scores, so that all trials can be made, and what training would refuse in
any of them is refused first.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from input_pipeline.spec import DatasetSpec
from mgoe_tf.models.registry import model_class
from mgoe_tf.training.batches import WINDOWS
from mgoe_tf.training.options import TrainOptions
from mgoe_tf.tuning.pruning import rungs
from mgoe_tf.tuning.samplers import SAMPLERS
from mgoe_tf.tuning.space import Space, described


@dataclasses.dataclass(frozen=True)
class Plan:
    """The trials of every model.

    Attributes:
      flags: by model, by the number of the trial: option values by name.
      rungs: epochs at which trials stop, the same for all models.
      patience: of every trial.
      seed: of every trial's training.
      settings: what trials of one study have in common, for study.json.
    """

    flags: Mapping[str, Sequence[Mapping[str, Any]]]
    rungs: tuple[int, ...]
    patience: int
    seed: int
    settings: Mapping[str, Any]

    @property
    def models(self) -> tuple[str, ...]:
        """In the order in which they are searched."""
        return tuple(self.flags)


def make_plan(
    spaces: Mapping[str, Space],
    spec: DatasetSpec,
    *,
    trials: int,
    sampler: str,
    pruner: str,
    rung_epochs: int,
    patience: int,
    seed: int,
) -> Plan:
    """Draws the trials and checks them.

    The first one has the default flags, where the space holds them: a search of few trials ends
    with no worse than these.

    Args:
      spaces: by model.
      spec: of the data set.
      trials: of each model.
      sampler: of `SAMPLERS`.
      pruner, rung_epochs: of `pruning.rungs`.
      patience: of every trial.
      seed: of what is drawn, and of training.

    Raises:
      ValueError: training would refuse the flags of a trial; names it.
    """
    stops = rungs(pruner, rung_epochs)
    flags = {}
    for model, space in spaces.items():
        points = SAMPLERS[sampler](list(space), trials, seed)
        sampled = [
            {name: domain.at(point[name]) for name, domain in space.items()} for point in points
        ]
        sampled[0] |= _defaults(model, space)
        flags[model] = [_with_end(values, spec, stops[-1]) for values in sampled]
        for number, values in enumerate(flags[model]):
            try:
                options_of(model, values)
            except ValueError as error:
                raise ValueError(f"trial {number} of {model}, {values}: {error}") from None
    settings = {
        "sampler": sampler,
        "pruner": pruner,
        "rungs": list(stops),
        "patience": patience,
        "seed": seed,
        "spaces": {model: described(space) for model, space in spaces.items()},
    }
    return Plan(flags, stops, patience, seed, settings)


def options_of(model: str, values: Mapping[str, Any]) -> tuple[Any, TrainOptions]:
    """The options of a model and of training that a trial's flags mean."""
    own = {field.name for field in dataclasses.fields(model_class(model).options_class)}
    return (
        model_class(model).options_class(**{k: v for k, v in values.items() if k in own}),
        TrainOptions(model=model, **{k: v for k, v in values.items() if k not in own}),
    )


def _defaults(model: str, space: Space) -> dict[str, Any]:
    """The flags whose defaults the space holds."""
    model_options, options = options_of(model, {})
    defaults = vars(options) | vars(model_options)
    return {name: defaults[name] for name in space if space[name].holds(defaults[name])}


def _with_end(values: Mapping[str, Any], spec: DatasetSpec, epochs: int) -> dict[str, Any]:
    """Flags whose cosine ends with a whole trial.

    At a rung a trial would otherwise end its cosine there, and not go on.
    """
    flags = dict(values)
    if flags.get("schedule") == "cosine" and not flags.get("decay_steps"):
        windows = WINDOWS[flags.get("train_rows", TrainOptions.train_rows)]
        rows = sum(spec.counts["rows"].get(window, 0) for window in windows)
        batch_size = flags.get("batch_size", TrainOptions.batch_size)
        flags["decay_steps"] = epochs * max(1, rows // batch_size)
    return flags
