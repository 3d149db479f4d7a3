"""What the command may be told."""

import pytest

from mgoe_tf.experimenting.options import PARTS, ExperimentOptions
from mgoe_tf.models.registry import MODELS


def make(**options) -> ExperimentOptions:
    return ExperimentOptions(**{"output": "out", **options})


def test_defaults_are_those_of_the_plan() -> None:
    quick, paper = make(), make(plan="paper", data_dirs=("a=b",))
    assert quick.chosen_seeds == (0, 1)
    assert paper.chosen_seeds == (0, 1, 2, 3, 4)
    assert (quick.fewer_seeds, paper.fewer_seeds) == ((0,), (0, 1))
    assert quick.chosen_models == tuple(MODELS)
    assert quick.chosen_parts == PARTS
    assert make(parts=("none",)).chosen_parts == ()
    assert make(parts=("timing", "ablations")).chosen_parts == ("ablations", "timing")


@pytest.mark.parametrize(
    ("seeds", "expected"),
    [(("0-2",), (0, 1, 2)), (("3", "1", "1-2"), (3, 1, 2)), (("7",), (7,))],
)
def test_seeds(seeds, expected) -> None:
    assert make(seeds=seeds).chosen_seeds == expected


def test_names_of_directories(monkeypatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    options = make(data_dirs=("tb=~/tb", "mo=/data/a=b"), tuned=("tb=studies/tb",))
    assert options.named_data_dirs == {"tb": "/home/somebody/tb", "mo": "/data/a=b"}
    assert options.study_of("tb") == "studies/tb"
    assert options.study_of("mo") == ""
    assert make(tuned=("~/study",)).study_of("anything") == "/home/somebody/study"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output": ""}, "--output: must name a directory, got ''"),
        ({"output": "gs://b/x"}, "--output: must be a local directory, got gs://b/x"),
        ({"workers": 0}, "--workers: must be at least 1, got 0"),
        ({"sweep_seeds": -1}, "--sweep_seeds: must be at least 0, got -1"),
        ({"plan": "paper"}, "--data_dirs: must name a data set with --plan=paper, got none"),
        ({"models": ("nobody",)}, r"--models: must be all or of .*mgoe.*, got \['nobody'\]"),
        ({"parts": ("table",)}, r"--parts: must be all or of ablations, .*, got \['table'\]"),
        ({"seeds": ("4-2",)}, r"--seeds: must be like 0-4 or 0,2,5, got \['4-2'\]"),
        ({"data_dirs": ("tb",)}, r"--data_dirs: must be NAME=DIR.* got \['tb'\]"),
        ({"data_dirs": ("a=x", "a=y")}, r"--data_dirs: must be NAME=DIR.* each its own"),
        ({"data_dirs": ("a/b=x",)}, "--data_dirs: must be NAME=DIR"),
        ({"tuned": ("a=x", "y")}, "--tuned: must be NAME=DIR"),
    ],
)
def test_what_is_refused(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        make(**options)
