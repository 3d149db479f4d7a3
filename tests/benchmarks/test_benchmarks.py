"""Every suite runs, at a size that says nothing of speed; the numbers are asserted nowhere."""

import pathlib

import numpy as np
import pytest

from tests.benchmarks.__main__ import BenchmarkOptions, table_of
from tests.benchmarks.context import SCALES, Context
from tests.benchmarks.line import Goal, Line
from tests.benchmarks.measure import alternate, peak_memory
from tests.benchmarks.suites import SUITES, run_suite


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    return Context(SCALES["tiny"], str(tmp_path_factory.mktemp("benchmarks")))


@pytest.mark.parametrize(
    "suite",
    [
        pytest.param(name, marks=[pytest.mark.slow] * (name in ("serve", "ids", "cluster")))
        for name in SUITES
    ],
)
def test_suite_runs(suite: str, context: Context) -> None:
    lines = run_suite(suite, context)
    assert lines
    for line in lines:
        told = line.to_json()
        assert np.isfinite(told["ours"]["median"]), line
        assert told["peer"] is None or len(line.peer) == len(line.ours), line
    table = table_of(suite, lines)
    assert all(line.name in table for line in lines)


def test_ratio_is_of_the_same_rounds() -> None:
    # 1/2, 4/1 and 9/3; the ratio of the medians would be 4/2
    line = Line("", "s", [1.0, 4.0, 9.0], [2.0, 1.0, 3.0], "peer", Goal("ratio", at_most=2.5))
    assert line.ratio == 3.0
    assert line.is_met is False
    assert line.to_json()["ours"]["median"] == 4.0
    assert line.to_json()["ours"]["spread"] == 4.0  # 6.5 - 2.5


@pytest.mark.parametrize(
    ("goal", "met", "text"),
    [
        (Goal("ours", at_most=2.0), True, "ours <= 2"),
        (Goal("ours", at_least=3.0), False, "ours >= 3"),
        (Goal("ratio", at_least=0.25), True, "ratio >= 0.25"),
    ],
)
def test_goal(goal: Goal, met: bool, text: str) -> None:
    line = Line("", "s", [2.0], [4.0], "peer", goal)
    assert line.is_met is met
    assert str(goal) == text


def test_parties_take_turns() -> None:
    calls = []

    def measure(name: str) -> float:
        calls.append(name)
        return float(len(calls))

    samples = alternate({"a": lambda: measure("a"), "b": lambda: measure("b")}, 2, warm_ups=1)
    assert calls == ["a", "b"] * 3
    assert samples == {"a": [3.0, 5.0], "b": [4.0, 6.0]}


def test_peak_memory_sees_what_was_freed() -> None:
    with peak_memory() as peak:
        np.ones(25_000_000)  # 0.2 GB
    assert peak.gigabytes - peak.before_gigabytes > 0.15


def test_unknown_suite_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match=r"--suite: must be some of .*, got \['speed'\]"):
        BenchmarkOptions(suite=("speed",))
    (tmp_path / "taken.json").touch()
    with pytest.raises(FileExistsError, match=r"--output: must not exist yet, got .*taken\.json"):
        BenchmarkOptions(output=str(tmp_path / "taken.json"))
