"""The page that puts runs side by side."""

import dataclasses
import html
import pathlib
import re
import shutil

import numpy as np
import pytest

from mgoe_tf.compare import CompareOptions, compare
from mgoe_tf.evaluation import user_errors
from mgoe_tf.reports.run_influences import RunInfluences, influences
from mgoe_tf.training import checkpoints
from tests.mgoe_tf.conftest import short_run, train_small
from tests.mgoe_tf.reports.conftest import evaluator_of


def text_of(page: str) -> str:
    return html.unescape(re.sub(r"\s+", " ", re.sub("<[^>]*>", " ", page)))


def page_of(options: CompareOptions) -> str:
    compare(options)
    return pathlib.Path(options.report).read_text()


def test_two_single_runs_are_compared_over_users(reported, facts, tmp_path) -> None:
    ours, theirs = (reported[model].model_dir for model in ("mgoe", "mmoe"))
    report = str(tmp_path / "new" / "page.html")
    page = page_of(CompareOptions((ours, theirs), report=report))
    text = text_of(page)
    assert "2 runs of 2 kinds" in text
    assert "paired bootstrap over users" in text
    other = evaluator_of(reported["mmoe"])[1]
    for task in ("click", "buy"):
        found = [
            user_errors.by_user(user_errors.of_auc(labels, logits), users)
            for labels, logits, users in (f.scored.of_task(task) for f in (facts, other))
        ]
        reach = 1.959964 * user_errors.deviation(found[1] - found[0])
        values = [f.metrics["tasks"][task]["auc"] for f in (facts, other)]
        assert f"{values[1] - values[0]:+.4f} \u00b1 {reach:.4f}" in text
    assert f"--data_dir={reported['mgoe'].data_dir}" in text
    assert not re.findall(r'(?:src|href)="(?![#d])', page)


def test_seeds_of_the_same_flags_are_one_kind(reported, tmp_path) -> None:
    first = reported["mmoe"]
    second = dataclasses.replace(first, seed=1, model_dir=str(tmp_path / "seed1"), report=False)
    train_small(second)
    dirs = (first.model_dir, second.model_dir, reported["mgoe"].model_dir)
    text = text_of(page_of(CompareOptions(dirs, report=str(tmp_path / "page.html"))))
    assert "3 runs of 2 kinds" in text
    assert "A mmoe 2 0." in text
    assert "Of a run and a group of several seeds" in text
    assert "bootstrap over users" not in text
    aucs = [
        evaluator_of(options)[1].metrics["tasks"]["click"]["auc"] for options in (first, second)
    ]
    assert f"{np.mean(aucs):.4f} \u00b1 {np.std(aucs, ddof=1):.4f}" in text


def test_it_says_why_nothing_can_be_said(reported, data_dir, tmp_path) -> None:
    moved = tmp_path / "data"
    shutil.copytree(data_dir, moved)
    options = dataclasses.replace(
        short_run(str(moved), str(tmp_path / "run")), model="mgoe", epochs=1
    )
    train_small(options)
    shutil.rmtree(moved)
    dirs, report = (reported["mmoe"].model_dir, options.model_dir), str(tmp_path / "page.html")
    text = text_of(page_of(CompareOptions(dirs, report=report)))
    assert "Nothing can be said." in text
    assert f"there is no data set at {moved}" in text
    # told where the data set is now
    text = text_of(page_of(CompareOptions(dirs, report=report, data_dir=data_dir)))
    assert "paired bootstrap over users" in text
    text = text_of(page_of(CompareOptions(dirs, metric="gauc", report=report)))
    assert "the error over users is known of auc, logloss alone" in text


def test_runs_on_other_data_are_told(reported, request_data_dir, tmp_path) -> None:
    options = dataclasses.replace(
        short_run(request_data_dir, str(tmp_path / "run")), model="mgoe", epochs=1
    )
    train_small(options)
    dirs = (reported["mmoe"].model_dir, options.model_dir)
    text = text_of(page_of(CompareOptions(dirs, report=str(tmp_path / "page.html"))))
    assert "they were trained on different data sets" in text
    assert "so that their metrics are of different rows" in text


@pytest.mark.parametrize("part", ["", "warm"])
def test_the_mean_moves_as_the_tasks_do_on_average(facts, part) -> None:
    found = influences(facts.scored, "logloss", part)
    np.testing.assert_allclose(found["mean"], (found["click"] + found["buy"]) / 2)
    chosen = facts.scored.rows.slices["warm"] if part else np.ones(facts.metrics["rows"], bool)
    labels, logits = (
        of_task["buy"][chosen] for of_task in (facts.scored.rows.labels, facts.scored.logits)
    )
    users = facts.scored.rows.users[chosen]
    expected = user_errors.by_user(user_errors.of_logloss(labels, logits), users)
    assert user_errors.deviation(found["buy"][found["buy"] != 0]) == pytest.approx(
        user_errors.deviation(expected[expected != 0])
    )


def test_a_run_is_scored_once(reported, monkeypatch) -> None:
    loads = []
    load = checkpoints.load_model
    monkeypatch.setattr(
        checkpoints, "load_model", lambda path, best=True: loads.append(path) or load(path, best)
    )
    known = RunInfluences("test", "auc")
    first, second = (reported[model].model_dir for model in ("mgoe", "mmoe"))
    assert set(known.of_pair(first, second)) == {"click", "buy", "mean"}
    known.of_pair(second, first)
    assert sorted(loads) == sorted([first, second])
