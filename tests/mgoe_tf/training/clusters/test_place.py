"""TF_CONFIG."""

import json
import re

import pytest

from mgoe_tf.training.clusters import roles
from mgoe_tf.training.clusters.place import VARIABLE, read_place
from mgoe_tf.training.options import TrainOptions

SERVERS = {"chief": ["a:1"], "worker": ["b:1", "b:2"], "ps": ["c:1"]}


def config(cluster: dict, role: str, index: int = 0) -> str:
    return json.dumps({"cluster": cluster, "task": {"type": role, "index": index}})


def test_a_process_without_it_is_alone(monkeypatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert read_place("parameter_server") is None
    with pytest.raises(ValueError, match="multi_worker: TF_CONFIG must name the workers, got none"):
        roles.begin(TrainOptions(distribution="multi_worker"))


def test_the_evaluator_is_none_of_those_that_speak_to_each_other(monkeypatch) -> None:
    monkeypatch.setenv(VARIABLE, config({**SERVERS, "evaluator": ["d:1"]}, "worker", 1))
    place = read_place("parameter_server")
    assert place is not None
    assert place.addresses == {role: tuple(of) for role, of in SERVERS.items()}
    assert (place.has_evaluator, place.is_chief, place.count("worker")) == (True, False, 2)


@pytest.mark.parametrize(
    ("cluster", "role", "index", "is_chief"),
    [
        ({"worker": ["a:1", "a:2"]}, "worker", 0, True),
        ({"worker": ["a:1", "a:2"]}, "worker", 1, False),
        ({"chief": ["b:1"], "worker": ["a:1"]}, "worker", 0, False),
        ({"chief": ["b:1"], "worker": ["a:1"]}, "chief", 0, True),
    ],
)
def test_the_chief_of_workers(monkeypatch, cluster, role, index, is_chief) -> None:
    monkeypatch.setenv(VARIABLE, config(cluster, role, index))
    place = read_place("multi_worker")
    assert place is not None
    assert place.is_chief == is_chief


@pytest.mark.parametrize(
    ("distribution", "text", "message"),
    [
        ("parameter_server", "{", 'TF_CONFIG: must be {"cluster"'),
        ("parameter_server", config({"worker": ["a:1"]}, "worker"), "got ['worker']"),
        ("multi_worker", config(SERVERS, "worker"), "got ['chief', 'ps', 'worker']"),
        ("parameter_server", config(SERVERS, "worker", 2), "got worker 2"),
        ("parameter_server", config(SERVERS, "master"), "got master 0"),
    ],
)
def test_what_is_no_such_cluster_is_refused(monkeypatch, distribution, text, message) -> None:
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(ValueError, match=re.escape(message)):
        read_place(distribution)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task_weighting": "gradnorm"}, "one of fixed, uncertainty, pcgrad, .* got gradnorm"),
        ({"model": "mome"}, "--model=mome is trained in phases"),
        ({"precision": "mixed_float16"}, "got mixed_float16"),
        ({"profile_steps": (1, 2)}, r"--profile_steps must not be given, .* got \[1, 2\]"),
    ],
)
def test_what_cannot_work_on_servers_is_refused_by_name(changes, message) -> None:
    options = TrainOptions(distribution="parameter_server", **changes)
    with pytest.raises(ValueError, match=f"^--distribution=parameter_server: .*{message}"):
        roles.require_works_on_servers(options)


@pytest.mark.parametrize("weighting", ["fixed", "uncertainty", "pcgrad"])
def test_what_can_work_on_servers_is_not(weighting) -> None:
    roles.require_works_on_servers(
        TrainOptions(distribution="parameter_server", task_weighting=weighting)
    )
