"""The command: searches on a small data set, what they leave, and a search that is killed."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest
from absl import flags
from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins import base_plugin
from tensorboard.plugins.hparams import backend_context

from mgoe_tf import flags as train_flags
from mgoe_tf.training import event_files
from mgoe_tf.training.run_lock import run_lock
from mgoe_tf.training.trainer import train
from mgoe_tf.tune import TuneOptions, tune
from mgoe_tf.tuning.jobs import Failed, Job, Outcome, RunningJob
from mgoe_tf.tuning.launching import outcome_of
from mgoe_tf.tuning.space import built_in_text
from tests.data_sets import TASKS

ROOT = pathlib.Path(__file__).parents[2]
SPACE = {
    "shared": {
        "learning_rate": {"log_uniform": [0.002, 0.02]},
        "batch_size": 512,
        "embedding_dim": 3,
        "tower_units": [[4], [5]],
    },
    "models": {"mmoe": {"num_experts": [2, 3], "expert_units": [[6, 5]]}},
}


def _parsed(argv: list[str]):
    values = flags.FlagValues()
    argv = ["train", *argv]
    model = train_flags.look_ahead(argv).model
    train_flags.define_train_flags(values, model)
    train_flags.parser_for(model, values)(argv)
    return train_flags.read_train_flags(values)[:2]


class _HereAndNow:
    """Trains in this process, when it is begun."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []

    def __call__(self, job: Job) -> RunningJob:
        self.jobs.append(job)
        try:
            train(*_parsed(list(job.arguments)), trial=job.title)
            outcome: Outcome = outcome_of(job.model_dir)
        except ValueError as error:
            outcome = Failed(str(error))
        return _Ended(outcome)


class _Ended:
    def __init__(self, outcome: Outcome) -> None:
        self._outcome = outcome

    def poll(self) -> Outcome:
        return self._outcome

    def stop(self) -> None:
        raise AssertionError("it has ended")


def _options(tmp_path: pathlib.Path, data_dir: str, **changes) -> TuneOptions:
    space = tmp_path / "space.json"
    space.write_text(json.dumps(SPACE))
    settings = {"models": ("mmoe",), "trials": 2, "space": str(space)}
    return TuneOptions(str(tmp_path / "study"), data_dir, **settings | changes)


@pytest.fixture(scope="module")
def searched(data_dir, tmp_path_factory) -> tuple[TuneOptions, str]:
    """Two trials of MMoE, of which one goes on."""
    options = _options(tmp_path_factory.mktemp("tune"), data_dir)
    return options, tune(options, _HereAndNow()).table


def _study(options: TuneOptions) -> list[dict]:
    return json.loads(pathlib.Path(options.study_dir, "study.json").read_text())["trials"]


def test_trials_are_model_directories_that_nobody_tested(searched) -> None:
    options, told = searched
    states = sorted(trial["state"] for trial in _study(options))
    assert states == ["COMPLETE", "PRUNED"]
    for trial in _study(options):
        folder = pathlib.Path(options.study_dir, "mmoe", f"trial-{trial['number']:04}")
        names = {path.name for path in folder.iterdir()}
        assert {"config.json", "checkpoints", "metrics_validation.json"} <= names
        assert not {"metrics_test.json", "report.html"} & names
        metrics = json.loads((folder / "metrics_validation.json").read_text())
        assert metrics["split"] == "validation"
        assert trial["rungs"][-1]["score"] == metrics["average"]["auc"]
        config = json.loads((folder / "config.json").read_text())
        used = config["model_options"] | config["train_options"]
        assert trial["flags"].items() <= used.items()
        assert trial["weights"] == json.loads((folder / "run.json").read_text())["weights"]
        card = json.loads((folder / "run.json").read_text())
        assert card["sessions"][-1]["epochs_finished"] <= trial["rungs"][-1]["epochs"]
    best = max(_study(options), key=lambda trial: trial["rungs"][-1]["score"])
    assert f"mean AUC {best['rungs'][-1]['score']:.4f}" in told
    assert f"{best['weights']:,}" in told


def test_the_best_flags_train_what_the_best_trial_was(searched, tmp_path) -> None:
    options, _ = searched
    best = max(_study(options), key=lambda trial: trial["rungs"][-1]["score"])
    path = f"{options.study_dir}/mmoe/best.flags"
    model_dir = str(tmp_path / "again")
    model_options, train_options = _parsed(
        [f"--flagfile={path}", f"--data_dir={options.data_dir}", f"--model_dir={model_dir}"]
    )
    metrics = train(model_options, train_options)
    assert metrics["split"] == "test"
    again = json.loads((tmp_path / "again" / "metrics_validation.json").read_text())
    # the same seed, though the trial was stopped twice on its way
    assert again["average"]["auc"] == best["rungs"][-1]["score"]


def test_tensorboard_shows_a_session_a_trial_by_the_flags_of_the_study(searched) -> None:
    options, _ = searched
    runs = plugin_event_multiplexer.EventMultiplexer()
    runs.AddRunsFromDirectory(options.study_dir)
    runs.Reload()
    provider = data_provider.MultiplexerDataProvider(runs, options.study_dir)
    board = backend_context.Context(base_plugin.TBContext(data_provider=provider))
    context = RequestContext()
    found = board.hparams_metadata(context, "")
    experiment = board.experiment_from_metadata(context, "", True, found, [])
    names = [info.name for info in experiment.hparam_infos]
    # what is fixed is not shown
    assert names == ["learning_rate", "model", "num_experts", "tower_units"]
    by_name = {info.name: info for info in experiment.hparam_infos}
    assert by_name["learning_rate"].domain_interval.max_value == 0.02
    assert [v.string_value for v in by_name["tower_units"].domain_discrete.values] == [
        "(4,)",
        "(5,)",
    ]
    metrics = [info.name.tag for info in experiment.metric_infos]
    assert metrics == ["search/score", "average/auc", *(f"auc/{task}" for task in TASKS)]
    sessions = {run for run in found if run != "."}
    assert sessions == {f"mmoe/trial-{n:04}/events/validation" for n in range(2)}
    # each session by its trial's name, none with a description of its own
    for run in sessions:
        assert list(found[run]) == ["_hparams_/session_start_info"]
        scalars = event_files.read_scalars(os.path.join(options.study_dir, run))
        assert set(metrics) <= set(scalars)
    for trial in _study(options):
        run = f"mmoe/trial-{trial['number']:04}/events/validation"
        scalars = event_files.read_scalars(os.path.join(options.study_dir, run))
        assert [(step, pytest.approx(value)) for step, value in scalars["search/score"]] == [
            (rung["epochs"], rung["score"]) for rung in trial["rungs"]
        ]


def test_the_same_search_again_has_nothing_to_do_and_another_is_refused(searched, data_dir) -> None:
    options, told = searched
    launcher = _HereAndNow()
    assert tune(options, launcher).table == told
    assert launcher.jobs == []
    changed = TuneOptions(**{**vars(options), "seed": 1})
    with pytest.raises(ValueError, match="its seed must stay what it was begun with, 0, got 1"):
        tune(changed, launcher)
    with (
        run_lock(options.study_dir, flag="study_dir", kind="search"),
        pytest.raises(ValueError, match=r"--study_dir=\S+: another search is writing there, proc"),
    ):
        tune(options, launcher)


def test_trials_that_fail_are_told_and_the_rest_is_searched(tmp_path, data_dir) -> None:
    space = {"shared": {"task_weights": [[1.0], [1.0, 1.0]], "batch_size": [512]}}
    (tmp_path / "bad.json").write_text(json.dumps(space))
    # the first two points of Halton's first coordinate are one in each half
    options = _options(tmp_path, data_dir, sampler="halton", pruner="none", patience=1)
    options = TuneOptions(**{**vars(options), "space": str(tmp_path / "bad.json")})
    result = tune(options, _HereAndNow())
    by_state = {trial["state"]: trial for trial in _study(options)}
    assert set(by_state) == {"FAIL", "COMPLETE"}
    assert by_state["FAIL"]["error"].startswith("task_weights: must be one per task (click, buy)")
    assert by_state["COMPLETE"]["flags"]["task_weights"] == [1.0, 1.0]
    assert "COMPLETE" in result.table
    assert result.without_score == ()


def test_a_model_whose_trials_all_fail_is_named(tmp_path, data_dir) -> None:
    (tmp_path / "bad.json").write_text(json.dumps({"shared": {"task_weights": [[1.0]]}}))
    options = _options(tmp_path, data_dir)
    options = TuneOptions(**{**vars(options), "space": str(tmp_path / "bad.json")})
    result = tune(options, _HereAndNow())
    assert result.without_score == ("mmoe",)
    assert result.table.splitlines()[1].split()[:2] == ["mmoe", "-"]
    assert not pathlib.Path(options.study_dir, "mmoe", "best.flags").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trials": 0}, "--trials: must be at least 1, got 0"),
        ({"workers": 0}, "--workers: must be at least 1, got 0"),
        ({"seed": -1}, "--seed: must be at least 0, got -1"),
        ({"study_dir": ""}, "--study_dir: must name a directory, got ''"),
        ({"data_dir": ""}, "--data_dir: must name a directory, got ''"),
        ({"study_dir": "gs://a/b"}, "--study_dir: must be a local directory, got gs://a/b"),
        ({"study_dir": "data/study"}, "--study_dir: must be a directory of its own"),
        ({"models": ()}, "--models: must be `all`, or models each named once, got \\[\\]"),
        ({"models": ("mmoe", "mmoe")}, "or models each named once, got \\['mmoe', 'mmoe'\\]"),
        ({"models": ("mmo",)}, "--model: must be one of .*, got 'mmo'"),
    ],
)
def test_options_are_checked(changes, message) -> None:
    with pytest.raises(ValueError, match=message):
        TuneOptions(**{"study_dir": "study", "data_dir": "data"} | changes)


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "mgoe_tf.tune", *arguments]


@pytest.mark.slow
def test_the_space_that_comes_with_the_package_is_printed() -> None:
    done = subprocess.run(
        _command("--print_space"), cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == built_in_text()


@pytest.mark.slow
def test_a_search_that_is_killed_or_stopped_and_gone_on_with_is_one_that_was_not(
    tmp_path, data_dir
) -> None:
    whole = _options(tmp_path, data_dir)
    tune(whole, _HereAndNow())
    parts = tmp_path / "parts"
    command = _command(
        *(f"--study_dir={parts}", f"--data_dir={data_dir}", "--models=mmoe", "--trials=2"),
        f"--space={whole.space}",
    )

    def begin_and_end(number: int, trial: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        log = parts / "mmoe" / trial / "training.log"
        begun = time.monotonic()
        while not log.exists() or "training mmoe" not in log.read_text():
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() - begun < 300
            time.sleep(0.05)
        process.send_signal(number)
        return process

    begin_and_end(signal.SIGKILL, "trial-0000").communicate()
    stopped = begin_and_end(signal.SIGTERM, "trial-0001")
    assert "the same command goes on with them" in stopped.communicate()[0]
    assert stopped.returncode == 143
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "COMPLETE" in done.stdout.splitlines()[-1]
    ours, theirs = (
        json.loads(pathlib.Path(folder, "study.json").read_text())["trials"]
        for folder in (parts, whole.study_dir)
    )
    for one, other in zip(ours, theirs, strict=True):
        assert (one["state"], one["flags"]) == (other["state"], other["flags"])
        scores = [[rung["score"] for rung in trial["rungs"]] for trial in (one, other)]
        # this process has two logical devices, and its sums another order
        assert scores[0] == pytest.approx(scores[1], abs=1e-4)
    assert (parts / "mmoe" / "best.flags").exists()
