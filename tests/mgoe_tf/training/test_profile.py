"""Profiled steps leave a trace, and nothing else changes."""

import json
import pathlib

import pytest

from mgoe_tf.training.profile import Profile
from tests.mgoe_tf.conftest import train_small


def traces(model_dir: str) -> list[pathlib.Path]:
    return list(pathlib.Path(model_dir, "events", "profile").rglob("*.xplane.pb"))


def test_the_steps_are_recorded_once_and_the_run_is_the_same(train_options) -> None:
    profiled = train_options("profiled", profile_steps=(3, 5))
    assert train_small(profiled) == train_small(train_options("plain"))
    (trace,) = traces(profiled.model_dir)
    assert trace.stat().st_size > 1000
    assert not (pathlib.Path(profiled.model_dir).parent / "plain/events/profile").exists()
    config = json.loads(pathlib.Path(profiled.model_dir, "config.json").read_text())
    assert config["train_options"]["profile_steps"] == [3, 5]


def test_a_run_that_ends_before_the_last_step_leaves_its_trace(train_options) -> None:
    options = train_options(profile_steps=(40, 4000))
    train_small(options)
    assert len(traces(options.model_dir)) == 1


def test_steps_that_are_none_are_refused(train_options) -> None:
    message = r"--profile_steps: must be a first and a last step, from 1 on, got \[5, 4\]"
    with pytest.raises(ValueError, match=message):
        train_options(profile_steps=(5, 4))
    with pytest.raises(ValueError, match="got 0 and 3"):
        Profile("folder", 0, 3)
