"""Spaces: what they hold for each model, the built-in one, and what is refused by name."""

import json
import pathlib
import re

import pytest

from mgoe_tf.models.registry import MODELS
from mgoe_tf.tuning.domains import Choices, Integer, Uniform
from mgoe_tf.tuning.flag_types import flag_types
from mgoe_tf.tuning.plan import make_plan, options_of
from mgoe_tf.tuning.space import SET_BY_SEARCH, built_in_text, described, parse_spaces, read_spaces
from tests.data_sets import write_small_data_set

ROOT = pathlib.Path(__file__).parents[3]


def _parse(**parts):
    return parse_spaces(json.dumps(parts), "file.json", ["mgoe", "mmoe"])


def _plan(spaces, spec, **changes):
    settings = {"trials": 8, "sampler": "random", "pruner": "asha", "rung_epochs": 1}
    return make_plan(spaces, spec, **settings | {"patience": 2, "seed": 0} | changes)


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    return write_small_data_set(str(tmp_path_factory.mktemp("data")))


def test_models_share_their_first_flags_and_their_own_take_the_place_of_those() -> None:
    spaces = _parse(
        shared={"learning_rate": [0.1, 0.2], "dropout": [0.0, 0.5]},
        where_present={"num_experts": {"integer": [2, 4]}, "num_task_experts": [1, 2]},
        models={"mmoe": {"dropout": {"uniform": [0, 0.3]}}, "mgoe": {"temperature": 0.5}},
    )
    assert list(spaces["mmoe"].items()) == [
        ("learning_rate", Choices((0.1, 0.2))),
        ("dropout", Uniform(0.0, 0.3)),
        ("num_experts", Integer(2, 4)),
    ]
    assert list(spaces["mgoe"].items()) == [
        ("learning_rate", Choices((0.1, 0.2))),
        ("dropout", Choices((0.0, 0.5))),
        ("num_task_experts", Choices((1, 2))),
        ("temperature", Choices((0.5,))),
    ]
    again = _parse(models={model: described(space) for model, space in spaces.items()})
    assert again == spaces


def test_the_space_of_the_readme_is_one() -> None:
    section = (ROOT / "README.md").read_text().split("\n## Search\n")[1].split("\n## ")[0]
    (text,) = re.findall(r"^```\n({\n.*?)^```", section, re.MULTILINE | re.DOTALL)
    spaces = parse_spaces(text, "README.md", ["mgoe", "mmoe"])
    assert spaces["mmoe"]["num_experts"] == Integer(2, 8)
    assert spaces["mgoe"]["temperature"] == Choices((0.3, 1.0, 1.9))


def test_the_built_in_space_is_for_every_registered_model_and_trains(spec) -> None:
    spaces = read_spaces("", list(MODELS))
    parts = json.loads(built_in_text())
    for model, space in spaces.items():
        assert {"learning_rate", "l2", "batch_size", "dropout"} <= set(space)
        own = flag_types(MODELS[model].options_class)
        assert set(space) >= set(parts["where_present"]) & set(own)
        for name in set(space) & set(own):
            # what is the default is among what is tried: a search is never worse for being made
            default = getattr(MODELS[model].options_class(), name)
            assert default in space[name].values, (model, name)
    plan = _plan(spaces, spec, trials=40)  # every flag and value that is drawn is one of training
    assert {len(flags) for flags in plan.flags.values()} == {40}


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"common": {}}, "must have parts shared, where_present, models, got ['common']"),
        ({"shared": []}, "file.json: shared: must be a JSON object, got []"),
        ({"models": {"mmoe": 3}}, "file.json: models: mmoe: must be a JSON object, got 3"),
        ({"models": {"mmo": {}}}, "file.json: models: must be of "),
        ({"shared": {"rate": 1}}, "shared: rate: is no flag, and must be one that --model=mgoe"),
        (
            {"shared": {"head_units": 1}},
            "shared: head_units: is a flag of mgoe, and must be one that --model=mmoe takes",
        ),
        ({"models": {"mmoe": {"head_units": 1}}}, "models: mmoe: head_units: is a flag of mgoe"),
        ({"where_present": {"rate": 1}}, "where_present: rate is a flag of no registered model"),
        ({"shared": {"seed": [0, 1]}}, "shared: seed: is set by the search, and must not stand"),
        ({"shared": {"patience": 3}}, "shared: patience: is set by the search"),
        ({"shared": {"users": 3}}, "shared: users: is no flag"),
        ({"shared": {"l2": []}}, "file.json: shared: l2: must be at least one value, got []"),
        ({"shared": {"l2": ["a"]}}, "file.json: shared: l2: must be a number, got 'a'"),
        (
            {"where_present": {"num_experts": {"integer": [4, 2]}}},
            "file.json: where_present: num_experts: must be a range from a bound to a higher one",
        ),
    ],
)
def test_what_is_no_space_is_refused_by_name(parts, message) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        _parse(**parts)


def test_a_file_that_is_no_json_is_told(tmp_path) -> None:
    path = tmp_path / "space.json"
    path.write_text('{"shared": ')
    with pytest.raises(ValueError, match=rf"{path}: must be JSON, got a file that is cut off"):
        read_spaces(str(path), ["mmoe"])


def test_of_the_built_in_space_what_is_not_registered_is_left_out() -> None:
    text = json.dumps({"where_present": {"unknown": [1]}, "models": {"unknown": {"a": [1]}}})
    assert parse_spaces(text, "built in", ["mmoe"], require_known=False) == {"mmoe": {}}
    assert "learning_rate" not in SET_BY_SEARCH


def test_what_training_would_refuse_is_refused_before_any_trial(spec) -> None:
    spaces = _parse(shared={"dropout": [0.1, 1.0]})
    message = r"trial \d of mgoe, {'dropout': 1.0}: --dropout: must be in \[0, 1\), got 1.0"
    with pytest.raises(ValueError, match=message):
        _plan(spaces, spec)


def test_trials_of_a_number_share_what_their_models_share(spec) -> None:
    spaces = _parse(
        shared={"learning_rate": {"log_uniform": [1e-3, 1e-1]}, "batch_size": {"integer": [1, 99]}},
        models={"mgoe": {"temperature": {"uniform": [0.1, 1.9]}}},
    )
    for sampler in ("random", "halton"):
        flags = _plan(spaces, spec, sampler=sampler).flags
        for ours, theirs in zip(flags["mgoe"], flags["mmoe"], strict=True):
            assert theirs.items() <= ours.items()
        assert len({values["temperature"] for values in flags["mgoe"]}) == 8


def test_the_first_trial_has_the_defaults_that_the_space_holds(spec) -> None:
    built_in = read_spaces("", sorted(MODELS))
    for model, (first, *others) in _plan(built_in, spec, sampler="halton").flags.items():
        assert options_of(model, first) == options_of(model, {})
        assert first not in others
    spaces = _parse(
        shared={"learning_rate": [0.5, 0.25], "dropout": {"uniform": [0, 0.3]}, "l2": 0}
    )
    first = _plan(spaces, spec).flags["mgoe"][0]
    assert (first["dropout"], first["l2"]) == (options_of("mgoe", {})[0].dropout, 0.0)
    assert first["learning_rate"] in (0.5, 0.25)


def test_a_cosine_ends_with_a_whole_trial(spec) -> None:
    rows = spec.counts["rows"]
    spaces = _parse(shared={"schedule": "cosine", "batch_size": 128, "train_rows": "windows"})
    (values, *_) = _plan(spaces, spec, rung_epochs=2).flags["mmoe"]
    assert values["decay_steps"] == 18 * (rows["train"] // 128)
    spaces = _parse(shared={"schedule": "cosine", "batch_size": 10**6})
    (values, *_) = _plan(spaces, spec).flags["mmoe"]
    assert values["decay_steps"] == 9  # an epoch has one step at least
    spaces = _parse(shared={"schedule": "cosine", "decay_steps": 77})
    assert _plan(spaces, spec).flags["mmoe"][0]["decay_steps"] == 77
