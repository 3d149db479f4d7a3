"""What a search tries: flags of each model, and what each of them may be.

A space is a JSON file of up to three parts:

    shared         by flag, for all models; a flag that each of them takes
    where_present  by flag, for the models that take it
    models         by model, by flag: its own, or what it has in the place of one above

What stands for a flag is told in `domains`. Flags of training and of the models may be there, but
not those that a search sets itself: where and how long a trial trains, its seed, what it writes.
"""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Mapping, Sequence
from typing import Any

from input_pipeline.files import filesystem
from input_pipeline.files.json_file import parse_json
from mgoe_tf.models.registry import MODELS, model_class
from mgoe_tf.training.options import TrainOptions
from mgoe_tf.tuning.domains import Domain, read_domain
from mgoe_tf.tuning.flag_types import FlagType, flag_types
from mgoe_tf.tuning.study import STUDY_FILE, Study

Space = Mapping[str, Domain]

BUILT_IN = "search_space.json"
SET_BY_SEARCH = frozenset(
    {
        *("data_dir", "model_dir", "model", "seed", "epochs", "patience", "resume"),
        *("evaluate_test", "report", "checkpoint_steps", "keep_checkpoints", "profile_steps"),
    }
)
_PARTS = ("shared", "where_present", "models")


def built_in_text() -> str:
    """The space that is searched where none is given."""
    return (importlib.resources.files("mgoe_tf") / "configs" / BUILT_IN).read_text("utf-8")


def read_spaces(path: str, models: Sequence[str]) -> dict[str, Space]:
    """The space of each model, its flags in an order that models share as far as they can.

    Args:
      path: of the file; empty: the built-in one, whose models and flags need not be registered.
      models: registered ones.

    Raises:
      ValueError: the file is no space, names a model that is not registered, or a flag that is
        none, is not the model's, is set by the search, or may not be what stands there.
    """
    if not path:
        return parse_spaces(built_in_text(), BUILT_IN, models, require_known=False)
    return parse_spaces(filesystem.read_text(path), path, models)


def parse_spaces(
    text: str, origin: str, models: Sequence[str], *, require_known: bool = True
) -> dict[str, Space]:
    """`read_spaces` of the text of a file.

    Args:
      text: JSON.
      origin: the file, for messages.
      models: registered ones.
      require_known: whether models and flags of any model have to be registered.
    """
    parts = _object(parse_json(text, origin, "Mend it, or leave --space out"), origin)
    if unknown := sorted(parts.keys() - set(_PARTS)):
        raise ValueError(f"{origin}: must have parts {', '.join(_PARTS)}, got {unknown}")
    shared = _object(parts.get("shared", {}), f"{origin}: shared")
    where_present = _object(parts.get("where_present", {}), f"{origin}: where_present")
    own = {
        model: _object(flags, f"{origin}: models: {model}")
        for model, flags in _object(parts.get("models", {}), f"{origin}: models").items()
    }
    if require_known:
        _require_known(origin, where_present, own)
    spaces: dict[str, Space] = {}
    for model in models:
        known = _flags_of(model)
        present = {name: what for name, what in where_present.items() if name in known}
        # what comes later is what counts, in the place of what came first
        origins = dict.fromkeys(shared, "shared") | dict.fromkeys(present, "where_present")
        origins |= dict.fromkeys(own.get(model, {}), f"models: {model}")
        merged = shared | present | own.get(model, {})
        spaces[model] = {
            name: _domain(f"{origin}: {origins[name]}: {name}", name, described, model, known)
            for name, described in merged.items()
        }
    return spaces


def read_studied(study: Study) -> dict[str, Space]:
    """The spaces of all models of a study, also of those that an earlier search was of."""
    text = json.dumps({"models": study.spaces})
    return parse_spaces(text, filesystem.join(study.study_dir, STUDY_FILE), list(study.spaces))


def described(space: Space) -> dict[str, Any]:
    """A space as the part of a file that means the same."""
    return {name: domain.described() for name, domain in space.items()}


def _require_known(
    origin: str, where_present: Mapping[str, Any], own: Mapping[str, Mapping[str, Any]]
) -> None:
    for model, flags in own.items():
        if model not in MODELS:
            raise ValueError(
                f"{origin}: models: must be of {', '.join(sorted(MODELS))}, got {model!r}"
            )
        # also of a model that is not searched: what is wrong is told before a later search
        known = _flags_of(model)
        for name, what in flags.items():
            _domain(f"{origin}: models: {model}: {name}", name, what, model, known)
    anywhere = {name for model in MODELS for name in _flags_of(model)}
    for name in where_present:
        if name not in anywhere:
            raise ValueError(f"{origin}: where_present: {name} is a flag of no registered model")


def _flags_of(model: str) -> dict[str, FlagType]:
    return flag_types(TrainOptions) | flag_types(model_class(model).options_class)


def _domain(
    where: str, name: str, described: Any, model: str, known: Mapping[str, FlagType]
) -> Domain:
    if name in SET_BY_SEARCH:
        raise ValueError(f"{where}: is set by the search, and must not stand in a space")
    if name not in known:
        others = ", ".join(other for other in sorted(MODELS) if name in _flags_of(other))
        of_others = f"is a flag of {others}" if others else "is no flag"
        raise ValueError(f"{where}: {of_others}, and must be one that --model={model} takes")
    try:
        return read_domain(described, known[name])
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{where}: must be a JSON object, got {value!r}")
    return value
