"""study.json: written and read again, and what is refused of it."""

import dataclasses
import json
import re

import pytest

from mgoe_tf.tuning.study import COMPLETE, FAIL, PRUNED, Rung, Study, Trial

SETTINGS = {"seed": 0, "rungs": (1, 3), "spaces": {"mmoe": {"l2": [0.0, 0.1]}}, "data": "abc"}


def _trial(number: int, state: str, *scores: float, model: str = "mmoe") -> Trial:
    rungs = [Rung(3**rung, score, "auc", 1.5) for rung, score in enumerate(scores)]
    return Trial(model, number, {"l2": 0.1}, state, rungs, 3.0)


def _written(folder: str, *trials: Trial) -> Study:
    study = Study.open(folder, SETTINGS)
    study.trials.extend(trials)
    study.write()
    return study


def test_what_is_written_is_read(tmp_path) -> None:
    trials = [_trial(0, PRUNED, 0.7), dataclasses.replace(_trial(1, FAIL), error="ValueError: a")]
    _written(str(tmp_path), *trials)
    assert Study.open(str(tmp_path), SETTINGS).trials == trials
    assert [path.name for path in tmp_path.iterdir()] == ["study.json"]


def test_the_best_has_the_highest_score_and_has_not_failed(tmp_path) -> None:
    study = _written(
        str(tmp_path),
        _trial(0, PRUNED, 0.7),
        _trial(3, FAIL, 0.9),
        _trial(2, COMPLETE, 0.6, 0.8),
        _trial(1, COMPLETE, 0.5, 0.8),
        _trial(0, PRUNED, 0.95, model="mgoe"),
    )
    assert study.best("mmoe").number == 1  # the first of two that are equal
    assert [trial.number for trial in study.of("mmoe")] == [0, 1, 2, 3]
    assert study.best("ple") is None
    # logloss is negated: the higher, the better
    assert _written(str(tmp_path), _trial(4, PRUNED, -0.5)).best("mmoe").score == 0.8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, "its seed must stay what it was begun with, 0, got 1"),
        ({"rungs": (2, 6)}, "its rungs must stay what it was begun with, [1, 3], got [2, 6]"),
        ({"data": "xyz"}, "its data must stay what it was begun with, abc, got xyz"),
        ({"spaces": {"mmoe": {}}}, "its space of mmoe must stay what it was begun with"),
    ],
)
def test_another_search_in_its_directory_is_refused(tmp_path, change, message) -> None:
    _written(str(tmp_path))
    with pytest.raises(ValueError, match=re.escape(f"--study_dir={tmp_path}: {message}")):
        Study.open(str(tmp_path), SETTINGS | change)


def test_models_may_be_added_and_those_before_are_kept(tmp_path) -> None:
    _written(str(tmp_path), _trial(0, COMPLETE, 0.7))
    study = Study.open(str(tmp_path), SETTINGS | {"spaces": {"mgoe": {"l1": [0.0]}}})
    assert study.spaces == {"mmoe": {"l2": [0.0, 0.1]}, "mgoe": {"l1": [0.0]}}
    assert len(study.trials) == 1


@pytest.mark.parametrize(
    "text", ["{}", "[]", '{"settings": {}, "trials": [{"model": "mmoe"}]}', "{", "STATE"]
)
def test_what_is_no_study_is_refused(tmp_path, text) -> None:
    if text == "STATE":
        trial = dataclasses.asdict(_trial(0, "LOST"))
        text = json.dumps({"settings": SETTINGS, "trials": [trial]})
    (tmp_path / "study.json").write_text(text)
    with pytest.raises(ValueError, match=rf"{tmp_path}/study.json: .*search in another"):
        Study.open(str(tmp_path), SETTINGS)
