"""Comparison of runs whose metrics are written by hand."""

import dataclasses
import json
import pathlib

import pytest

from mgoe_tf.compare import CompareOptions, compare
from mgoe_tf.models.registry import MODELS
from mgoe_tf.training.options import TrainOptions


def write_run(folder: pathlib.Path, auc: float, model: str, seed: int, **model_options):
    folder.mkdir()
    config = {
        "model_options": dataclasses.asdict(MODELS[model].options_class(**model_options)),
        "train_options": dataclasses.asdict(TrainOptions(model=model, seed=seed)),
        "assets": {},
    }
    tasks = {"click": {"auc": auc, "logloss": 0.2}, "buy": {"auc": None, "logloss": 0.1}}
    metrics = {"tasks": tasks, "slices": {"warm": {"tasks": tasks}}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "metrics_test.json").write_text(json.dumps(metrics))


@pytest.fixture
def runs(tmp_path) -> pathlib.Path:
    write_run(tmp_path / "a0", 0.70, "mgoe", 0)
    write_run(tmp_path / "a1", 0.72, "mgoe", 1)
    write_run(tmp_path / "b0", 0.69, "mgoe", 0, cascade=False)
    return tmp_path


def test_runs_that_differ_in_seed_are_averaged(runs) -> None:
    lines = compare(CompareOptions((f"{runs}/a*", f"{runs}/b0"))).splitlines()
    assert [line.split() for line in lines] == [
        ["test", "auc", "runs", "click", "mean"],
        # the sample deviation of 0.70 and 0.72 is 0.01 * sqrt(2)
        ["mgoe", "cascade=True", "2", *["0.7100", "±", "0.0141"] * 2],
        ["mgoe", "cascade=False", "1", "0.6900", "0.6900"],
    ]


def test_options_of_one_model_alone_are_told_where_they_vary(runs) -> None:
    write_run(runs / "c0", 0.6, "mmoe", 0)
    titles = [line.split("  ")[0] for line in compare(CompareOptions((f"{runs}/*",))).splitlines()]
    assert titles[1:] == ["mgoe cascade=True", "mgoe cascade=False", "mmoe"]


def test_other_metrics_and_slices(runs) -> None:
    options = CompareOptions((f"{runs}/b0",), metric="logloss", slice="warm")
    assert compare(options).splitlines()[1].split() == ["mgoe", "1", "0.2000", "0.1000", "0.1500"]
    with pytest.raises(ValueError, match=r"--slice: must be one of \['warm'\], got 'cold'"):
        compare(dataclasses.replace(options, slice="cold"))
    with pytest.raises(ValueError, match="a slice has auc and logloss only, got 'gauc'"):
        compare(dataclasses.replace(options, metric="gauc"))


def test_missing_runs_and_metrics_are_errors(runs) -> None:
    with pytest.raises(ValueError, match=r"--model_dirs: there is no trained model at .*/nothing"):
        compare(CompareOptions((f"{runs}/a*", f"{runs}/nothing*")))
    with pytest.raises(ValueError, match=r"metrics_validation\.json is missing"):
        compare(CompareOptions((f"{runs}/a0",), split="validation"))
    with pytest.raises(ValueError, match="must name at least one model directory, got none"):
        CompareOptions()
