"""The course of searches whose scores are written down."""

from __future__ import annotations

import dataclasses
import json
import pathlib

import pytest

from mgoe_tf.training.stopping import Interrupted, StopRequest
from mgoe_tf.tuning.plan import Plan
from mgoe_tf.tuning.search import Search
from mgoe_tf.tuning.study import Study, Trial
from tests.mgoe_tf.tuning.scripted import KilledError, ScriptedLauncher, plan

FIRST = [0.60, 0.70, 0.50, 0.65, 0.66, 0.80, 0.55, 0.61, 0.62]


@dataclasses.dataclass
class _Listener:
    """Keeps what it is told; asks for a stop after some looks, where it is to."""

    stop: StopRequest = dataclasses.field(default_factory=StopRequest)
    stop_after: int | None = None
    looks: int = 0
    told: list[tuple[str, str]] = dataclasses.field(default_factory=list)

    def waiting(self, running: int) -> None:
        self.looks += 1
        if self.looks == self.stop_after:
            self.stop.number = 15

    def ended(self, trial: Trial) -> None:
        self.told.append((trial.name, trial.state))

    def final_ended(self, trial: Trial) -> None:
        self.told.append((trial.run_name(trial.finals[-1].seed), str(trial.finals[-1].score)))


def _titles(model: str, scores: list[float | str], epochs: int = 1) -> dict:
    return {(f"{model}/trial-{n:04}", epochs): score for n, score in enumerate(scores)}


def _search(
    folder: pathlib.Path,
    plan: Plan,
    launcher: ScriptedLauncher,
    *,
    workers: int = 1,
    finalists: int = 0,
    listener=None,
) -> Study:
    folder.mkdir(exist_ok=True)
    study = Study.open(str(folder), plan.settings)
    listener = listener or _Listener()
    ticks = iter(range(10**6))
    search = Search(
        study,
        plan,
        launcher,
        listener,
        data_dir="data",
        finalists=finalists,
        final_seeds=2,
        workers=workers,
        stop=listener.stop,
        pause=lambda seconds: None,
        clock=lambda: float(next(ticks)),
    )
    search.run()
    return study


def _short(begun: list[tuple[str, int]]) -> list[str]:
    return [f"{title[-1]}@{epochs}" for title, epochs in begun]


def test_with_one_worker_all_begin_then_the_best_third_then_the_best_of_those(tmp_path) -> None:
    launcher = ScriptedLauncher(
        _titles("mmoe", FIRST)
        | {("mmoe/trial-0005", 3): 0.81, ("mmoe/trial-0001", 3): 0.85}
        | {("mmoe/trial-0004", 3): 0.7, ("mmoe/trial-0001", 9): 0.86}
    )
    study = _search(tmp_path, plan(9, "mmoe"), launcher)
    # 5 (0.8), 1 (0.7), 4 (0.66) of nine; of these three 1, which the higher rung takes at once
    assert _short(launcher.begun) == [*[f"{n}@1" for n in range(9)], "5@3", "1@3", "4@3", "1@9"]
    states = [trial.state for trial in study.of("mmoe")]
    assert states == ["PRUNED", "COMPLETE", *["PRUNED"] * 7]
    best = study.best("mmoe")
    assert (best.number, best.score, best.weights) == (1, 0.86, 100)
    assert [(rung.epochs, rung.score) for rung in best.rungs] == [(1, 0.7), (3, 0.85), (9, 0.86)]
    # the clock ticks once at the beginning and once at the end of a job
    assert [rung.seconds for rung in best.rungs] == [1.0, 1.0, 1.0]
    assert best.seconds == 3.0
    assert json.loads((tmp_path / "study.json").read_text())["trials"][1]["state"] == "COMPLETE"


def test_a_job_trains_on_without_the_test_window(tmp_path) -> None:
    launcher = ScriptedLauncher({})
    made = plan(1, "mmoe")
    made.flags["mmoe"][0] |= {"xla": True, "tower_units": (8, 4), "task_weights": None}
    _search(tmp_path, made, launcher)
    assert [job.arguments for job in launcher.jobs] == [
        (
            *("--data_dir=data", f"--model_dir={tmp_path}/mmoe/trial-0000", "--model=mmoe"),
            *("--seed=5", f"--epochs={epochs}", "--patience=2"),
            *("--resume", "--noevaluate_test", "--noreport"),
            *("--batch_size=10", "--xla", "--tower_units=8,4"),
        )
        for epochs in (1, 3, 9)
    ]


def test_every_model_has_the_same_budget_whatever_it_scores(tmp_path) -> None:
    rising = [0.1 * n for n in range(9)]
    launcher = ScriptedLauncher(_titles("mmoe", rising) | _titles("mgoe", rising[::-1]))
    _search(tmp_path, plan(9, "mgoe", "mmoe"), launcher)
    epochs = {
        model: sorted(e for title, e in launcher.begun if title.startswith(model))
        for model in ("mgoe", "mmoe")
    }
    assert epochs["mgoe"] == epochs["mmoe"] == [1] * 9 + [3] * 3 + [9]
    models = [title.split("/")[0] for title, _ in launcher.begun]
    assert models == ["mgoe"] * 13 + ["mmoe"] * 13


def test_a_failure_is_told_counts_as_the_worst_and_ends_nothing(tmp_path) -> None:
    scores = _titles("mmoe", [0.7, "ValueError: the loss is not finite at step 3", 0.6])
    listener = _Listener()
    launcher = ScriptedLauncher(scores | {("mmoe/trial-0000", 3): "ended by SIGKILL"})
    study = _search(tmp_path, plan(3, "mmoe"), launcher, listener=listener)
    # of three trials one goes on, and where it fails no second one takes its place
    assert _short(launcher.begun) == ["0@1", "1@1", "2@1", "0@3"]
    errors = {trial.number: trial.error for trial in study.of("mmoe") if trial.state == "FAIL"}
    assert errors == {
        0: "ended by SIGKILL",
        1: "ValueError: the loss is not finite at step 3",
    }
    assert [state for _, state in listener.told] == ["PRUNED", "FAIL", "PRUNED", "FAIL"]
    assert study.best("mmoe").number == 2


def test_several_workers_do_not_wait_for_the_slow_and_promote_it_when_it_comes(tmp_path) -> None:
    launcher = ScriptedLauncher(
        _titles("mmoe", [0.9, 0.5, 0.6, 0.7]), looks={("mmoe/trial-0000", 1): 5}
    )
    study = _search(tmp_path, plan(4, "mmoe"), launcher, workers=2)
    # 3 is the best of three that have come while 0 is under way; then 0 goes on, too: it is the
    # best of four, and then the best of two
    assert _short(launcher.begun) == ["0@1", "1@1", "2@1", "3@1", "3@3", "0@3", "0@9"]
    assert launcher.most == 2
    assert [t.state for t in study.of("mmoe")] == ["COMPLETE", "PRUNED", "PRUNED", "PRUNED"]


def test_a_free_worker_takes_another_model(tmp_path) -> None:
    launcher = ScriptedLauncher({}, looks={("mgoe/trial-0000", 1): 3})
    _search(tmp_path, plan(1, "mgoe", "mmoe", stops=(1,)), launcher, workers=3)
    assert [title for title, _ in launcher.begun] == ["mgoe/trial-0000", "mmoe/trial-0000"]
    assert launcher.most == 2


@pytest.mark.parametrize("killed_at", range(13))
def test_killed_anywhere_and_resumed_is_the_search_that_was_not(tmp_path, killed_at) -> None:
    scores = _titles("mmoe", FIRST) | {("mmoe/trial-0001", 3): 0.9}
    whole = ScriptedLauncher(scores)
    expected = _search(tmp_path / "whole", plan(9, "mmoe"), whole)
    first = ScriptedLauncher(scores, killed_at=killed_at)
    with pytest.raises(KilledError):
        _search(tmp_path / "parts", plan(9, "mmoe"), first)
    second = ScriptedLauncher(scores)
    study = _search(tmp_path / "parts", plan(9, "mmoe"), second)
    assert first.begun + second.begun == whole.begun
    for ours, theirs in zip(study.of("mmoe"), expected.of("mmoe"), strict=True):
        assert (ours.state, ours.flags, ours.score) == (theirs.state, theirs.flags, theirs.score)
    # nothing is left to do
    third = ScriptedLauncher(scores)
    _search(tmp_path / "parts", plan(9, "mmoe"), third)
    assert third.begun == []


# trial 1 is the best of one seed, and trial 0, with the defaults, over three
FINALS = {
    **_titles("mmoe", [0.60, 0.70, 0.65, 0.50]),
    **{("mmoe/trial-0001", 3): 0.72, ("mmoe/trial-0001", 9): 0.75, ("mmoe/trial-0000", 9): 0.66},
    **{("mmoe/trial-0000-seed-6", 9): 0.80, ("mmoe/trial-0000-seed-7", 9): 0.82},
    **{("mmoe/trial-0001-seed-6", 9): 0.70, ("mmoe/trial-0001-seed-7", 9): 0.71},
}


def test_finalists_are_trained_to_the_end_with_other_seeds_and_compared_by_the_mean(
    tmp_path,
) -> None:
    listener, launcher = _Listener(), ScriptedLauncher(FINALS)
    study = _search(tmp_path, plan(4, "mmoe"), launcher, finalists=2, listener=listener)
    assert _short(launcher.begun) == [
        *["0@1", "1@1", "2@1", "3@1", "1@3", "1@9"],
        *["0@3", "0@9"],  # the first trial, whatever it scored
        *["6@9", "7@9", "6@9", "7@9"],
    ]
    last = launcher.jobs[-1]
    assert last.title == "mmoe/trial-0001-seed-7"
    assert last.model_dir == f"{tmp_path}/mmoe/trial-0001-seed-7"
    assert "--seed=7" in last.arguments
    assert set(last.arguments) ^ set(launcher.jobs[5].arguments) == {
        *("--seed=5", "--seed=7"),
        *(f"--model_dir={tmp_path}/mmoe/trial-0001{end}" for end in ("", "-seed-7")),
    }
    best = study.best("mmoe")
    assert best.number == 0
    assert best.mean_score == pytest.approx((0.66 + 0.80 + 0.82) / 3)
    assert [t.number for t in study.ranking("mmoe")] == [0, 1, 2, 3]
    assert listener.told[-1] == ("trial-0001-seed-7", "0.71")
    assert Study.open(str(tmp_path), plan(4, "mmoe").settings).trials == study.trials


def test_a_search_that_has_ended_is_gone_on_with_for_finalists(tmp_path) -> None:
    study = _search(tmp_path, plan(4, "mmoe"), ScriptedLauncher(FINALS))
    assert study.best("mmoe").number == 1
    launcher = ScriptedLauncher(FINALS)
    study = _search(tmp_path, plan(4, "mmoe"), launcher, finalists=2, workers=3)
    assert _short(launcher.begun) == ["0@3", "0@9", "6@9", "7@9", "6@9", "7@9"]
    assert launcher.most == 3
    assert study.best("mmoe").number == 0


@pytest.mark.parametrize("killed_at", range(12))
def test_finals_killed_anywhere_and_resumed_are_those_that_were_not(tmp_path, killed_at) -> None:
    whole = ScriptedLauncher(FINALS)
    expected = _search(tmp_path / "whole", plan(4, "mmoe"), whole, finalists=2)
    first = ScriptedLauncher(FINALS, killed_at=killed_at)
    with pytest.raises(KilledError):
        _search(tmp_path / "parts", plan(4, "mmoe"), first, finalists=2)
    second = ScriptedLauncher(FINALS)
    study = _search(tmp_path / "parts", plan(4, "mmoe"), second, finalists=2)
    assert first.begun + second.begun == whole.begun
    assert [t.mean_score for t in study.of("mmoe")] == [t.mean_score for t in expected.of("mmoe")]


def test_a_finalist_that_fails_with_another_seed_is_not_the_best(tmp_path) -> None:
    launcher = ScriptedLauncher(FINALS | {("mmoe/trial-0000-seed-6", 9): "ValueError: no"})
    listener = _Listener()
    study = _search(tmp_path, plan(4, "mmoe"), launcher, finalists=2, listener=listener)
    assert study.best("mmoe").number == 1
    assert ("trial-0000-seed-6", "None") in listener.told
    # once is enough
    again = ScriptedLauncher(FINALS)
    _search(tmp_path, plan(4, "mmoe"), again, finalists=2)
    assert again.begun == []


def test_told_to_stop_trials_save_themselves_and_go_on_later(tmp_path) -> None:
    listener = _Listener(stop_after=2)
    looks = {("mmoe/trial-0000", 1): 9, ("mmoe/trial-0001", 1): 9}
    launcher = ScriptedLauncher({}, looks=looks)
    with pytest.raises(Interrupted):
        _search(tmp_path, plan(3, "mmoe", stops=(1,)), launcher, workers=2, listener=listener)
    assert launcher.under_way == set()
    assert listener.told == []
    read = json.loads((tmp_path / "study.json").read_text())["trials"]
    assert [(trial["number"], trial["state"]) for trial in read] == [(0, "RUNNING"), (1, "RUNNING")]
    assert all(trial["seconds"] > 0 for trial in read)
    again = ScriptedLauncher({})
    study = _search(tmp_path, plan(3, "mmoe", stops=(1,)), again, workers=2)
    assert _short(again.begun) == ["0@1", "1@1", "2@1"]
    assert {trial.state for trial in study.of("mmoe")} == {"COMPLETE"}


def test_a_study_may_be_made_longer_and_have_more_models_but_not_fewer_trials(tmp_path) -> None:
    scores = _titles("mmoe", [*FIRST[:3], 0.9, 0.3, 0.2])
    _search(tmp_path, plan(3, "mmoe"), ScriptedLauncher(scores))
    longer = ScriptedLauncher(scores)
    _search(tmp_path, plan(6, "mmoe", "mgoe"), longer)
    # trial 1 was complete before; now trial 3 is the best of six and trial 1 the second
    ours = [begun for begun in longer.begun if begun[0].startswith("mmoe")]
    assert _short(ours) == ["3@1", "4@1", "5@1", "3@3", "3@9"]
    assert sum(title.startswith("mgoe") for title, _ in longer.begun) == 6 + 2 + 1
    with pytest.raises(ValueError, match=r"--trials: must be at least the 6 that mmoe has in .*2"):
        _search(tmp_path, plan(2, "mmoe"), ScriptedLauncher({}))


def test_other_flags_than_the_study_has_are_refused(tmp_path) -> None:
    _search(tmp_path, plan(1, "mmoe"), ScriptedLauncher({}))
    other = plan(1, "mmoe")
    other.flags["mmoe"][0]["batch_size"] = 11
    with pytest.raises(ValueError, match=r"trial-0000 of mmoe .*'batch_size': 10.*'batch_size': 1"):
        _search(tmp_path, other, ScriptedLauncher({}))
