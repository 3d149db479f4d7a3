"""Macro nodes of another data set: taken as they are, by whoever has the same nodes and flags."""

import numpy as np
import pytest

from input_pipeline.report import data_report as report
from tests.input_pipeline.contract import graph_json, load, prepare_lines, read_spec
from tests.input_pipeline.logs import random_lines

LINES = random_lines(0, num_lines=300)


@pytest.fixture(autouse=True)
def _no_figures(monkeypatch):
    monkeypatch.setattr(report, "render", lambda *_: "")


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    folder = tmp_path_factory.mktemp("given") / "data"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "render", lambda *_: "")
        # Weights of its own, which lead to other groups than the default ones.
        flags = {"omega_high": 90.0, "omega_low": 0.01, "grouping_scale": "degree"}
        prepare_lines(LINES, folder, seed=3, **flags)
    return folder


def test_groups_are_those_of_the_other_data_set(given, tmp_path):
    prepare_lines(LINES, tmp_path / "anew", seed=8, grouping_scale="degree")
    prepare_lines(
        LINES, tmp_path / "taken", seed=8, grouping_scale="degree", grouping_from=str(given)
    )
    specs = [read_spec(folder) for folder in (given, tmp_path / "taken", tmp_path / "anew")]
    assert specs[0].grouping == specs[1].grouping != specs[2].grouping
    names = ["user_centroids.npy", "item_centroids.npy"]
    names += [f"{cut}/{o}_macro.npy" for cut in (1, 3, "latest") for o in ("user", "item")]
    names += [f"3/{o}_{hops}hop.npy" for o in ("user", "item") for hops in (1, 2)]
    for name in names:
        arrays = [load(str(folder), *name.split("/")) for folder in (given, tmp_path / "taken")]
        np.testing.assert_array_equal(*arrays)
    told = [graph_json(folder, "3") for folder in (given, tmp_path / "taken")]
    for owner in ("user", "item"):
        for key in ("weighted_inertia", "baseline", "theta_high", "theta_low"):
            assert told[0][owner][key] == told[1][owner][key]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"beta": 0.5}, r"has --beta=1.0, got 0.5"),
        ({"grouping_scale": "none"}, "has --grouping_scale=degree, got none"),
        ({"num_item_macro_nodes": 5}, "has --num_item_macro_nodes=4, got 5"),
        ({"cuts": (0.4, 0.5, 0.7, 0.85)}, "must know the same users at the end of history"),
    ],
)
def test_other_nodes_and_other_flags_are_refused(given, tmp_path, flags, message):
    flags = {"grouping_scale": "degree", **flags}
    with pytest.raises(ValueError, match=f"--grouping_from: .*{message}"):
        prepare_lines(LINES, tmp_path / "data", grouping_from=str(given), **flags)


def test_nodes_of_other_names_are_refused(given, tmp_path):
    # As many users, of whom one has another name.
    lines = [line if line.user != 3 else _renamed(line) for line in LINES]
    with pytest.raises(ValueError, match=r"the same users .*: (\d+) are known there, and \1 here"):
        prepare_lines(lines, tmp_path / "data", grouping_from=str(given), grouping_scale="degree")


def _renamed(line):
    import dataclasses

    return dataclasses.replace(line, user=10**6)
