"""The whole command on the small data set: killed, gone on with, with a model that fails."""

import html
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest

from mgoe_tf.experimenting.data_sets import world
from mgoe_tf.experimenting.options import ExperimentOptions
from mgoe_tf.experimenting.plans import PLANS
from mgoe_tf.experiments import experiment, summary
from mgoe_tf.training import checkpoints

ROOT = pathlib.Path(__file__).parents[2]
SMALL = ("--epochs=1", "--batch_size=128", "--embedding_dim=3", "--tower_units=4")


@pytest.fixture
def options(data_dir, tmp_path) -> ExperimentOptions:
    """Two models, two seeds, one of the models so tuned that its training fails."""
    study = tmp_path / "study"
    for model, flags in {"mgoe": "--head_units=4\n", "mmoe": "--learning_rate=1e38\n"}.items():
        (study / model).mkdir(parents=True)
        (study / model / "best.flags").write_text(flags)
    return ExperimentOptions(
        data_dirs=(f"small={data_dir}",),
        output=str(tmp_path / "out"),
        models=("mgoe", "mmoe"),
        seeds=("0-1",),
        tuned=(str(study),),
        train_flags=SMALL,
        parts=("timing", "protocols"),
    )


@pytest.mark.slow
def test_what_fails_is_told_and_the_rest_is_there(options) -> None:
    findings = experiment(options, "the command")
    output = pathlib.Path(options.output)
    failed = {failure.name: failure.reason for failure in findings.failures}
    assert {"small mmoe seed 0", "small mmoe seed 1", "export of small mmoe seed 0"} < set(failed)
    assert "the loss" in failed["small mmoe seed 0"], failed
    assert failed["export of small mmoe seed 0"] == "it needs what failed: small mmoe seed 0"
    assert failed["small events at random"].endswith("its files were not recorded")
    metrics = [
        checkpoints.read_metrics(str(output / "runs/small/all_models" / f"mgoe-{seed}"), "test")
        for seed in (0, 1)
    ]
    results = json.loads((output / "results.json").read_text())
    (line,) = (
        r
        for r in results["table1"]
        if (r["model"], r["metric"], r["task"]) == ("mgoe", "auc", "click")
    )
    aucs = [found["tasks"]["click"]["auc"] for found in metrics]
    assert line["mean"] == pytest.approx(sum(aucs) / 2)
    page = html.unescape(
        re.sub(r"\s+", " ", re.sub("<[^>]*>", " ", (output / "report.html").read_text()))
    )
    assert "What was not done" in page
    assert "by ids, 100 candidates" in page.lower() or "ids alone" in page
    assert {entry["signature"] for entry in results["timing"]} == {
        *("serving_default", "rank", "rank_ids")
    }
    assert summary(findings).splitlines()[2].split() == ["mmoe", "-"]
    # nothing is trained or measured twice
    before = {path: path.stat().st_mtime_ns for path in output.rglob("metrics_test.json")}
    again = experiment(options, "the command")
    after = {path: path.stat().st_mtime_ns for path in output.rglob("metrics_test.json")}
    assert before == after
    assert again.timings == findings.timings


@pytest.mark.slow
def test_a_killed_command_goes_on(data_dir, tmp_path) -> None:
    def command(name: str) -> list[str]:
        return [
            *(sys.executable, "-m", "mgoe_tf.experiments", f"--output={tmp_path / name}"),
            *(f"--data_dirs=small={data_dir}", "--models=mmoe", "--seeds=0-1", "--parts=none"),
            *("--workers=1", f"--train_flags={','.join(SMALL)}"),
        ]

    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    log = tmp_path / "killed.log"
    with log.open("wb") as file:
        begun = subprocess.Popen(command("killed"), env=environment, stdout=file)
    first = tmp_path / "killed/runs/small/all_models/mmoe-0/metrics_test.json"
    second = tmp_path / "killed/runs/small/all_models/mmoe-1"
    deadline = time.monotonic() + 300
    while not second.exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    begun.send_signal(signal.SIGKILL)
    begun.wait()
    finished_at = first.stat().st_mtime_ns
    for name in ("killed", "whole"):
        subprocess.run(command(name), env=environment, check=True, stdout=subprocess.PIPE)
    assert first.stat().st_mtime_ns == finished_at
    killed, whole = (
        json.loads((tmp_path / name / "results.json").read_text()) for name in ("killed", "whole")
    )
    assert killed["failures"] == []
    assert killed["table1"] == whole["table1"]
    assert killed["metrics"] == whole["metrics"]


def test_the_world_of_the_quick_plan_is_prepared_once(tmp_path) -> None:
    job = world(str(tmp_path), PLANS["quick"].world)
    assert job.arguments[0] == "input_pipeline.prepare"
    assert f"--data_dir={tmp_path}/data/world" in job.arguments
    assert not job.is_done()
    (tmp_path / "data" / "world").mkdir(parents=True)
    (tmp_path / "data" / "world" / "dataset_spec.json").write_text("{}")
    assert job.is_done()
