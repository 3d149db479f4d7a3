"""The page about a run: what it says is what was measured, and it needs no other file."""

import dataclasses
import html
import json
import pathlib
import re

import numpy as np
import pytest

from mgoe_tf.evaluate import EvaluateOptions, evaluate
from mgoe_tf.models.mgoe import MGOEOptions
from mgoe_tf.reports import quality, run_report, workings
from mgoe_tf.reports.run_history import RunHistory
from mgoe_tf.training.checkpoints import LoadedModel
from tests.data_sets import TASKS


def page_of(options) -> str:
    return pathlib.Path(options.model_dir, "report.html").read_text()


def text_of(page: str) -> str:
    return html.unescape(re.sub(r"\s+", " ", re.sub("<[^>]*>", " ", page)))


def test_the_page_refers_to_no_other_file(reported) -> None:
    for options in reported.values():
        page = page_of(options)
        links = re.findall(r'(?:src|href)="([^"]*)"', page)
        assert all(link.startswith(("#", "data:")) for link in links)
        assert "<script" not in page
        assert page.count("<svg") == page.count("</svg>")


def test_the_page_tells_the_metrics_counts_and_the_command(reported) -> None:
    options = reported["mgoe"]
    metrics = json.loads(pathlib.Path(options.model_dir, "metrics_test.json").read_text())
    text = text_of(page_of(options))
    for task in TASKS:
        values = metrics["tasks"][task]
        assert f"{task} {values['auc']:.4f}" in text
        assert f"{values['positives']:,} {values['positives'] / values['labels']:.2%}" in text
        part = metrics["slices"]["new_pairs"]["tasks"][task]
        assert f"{part['auc']:.3f} {part['positives']:,} positives" in text
    assert f"{metrics['rows']:,} rows" in text
    assert f"python -m mgoe_tf.train --data_dir={options.data_dir}" in text
    assert "--cascade on" in text
    assert "4,000 events of 60 users and 80 items" in text


def test_each_model_shows_what_it_has(reported) -> None:
    mgoe, mmoe = page_of(reported["mgoe"]), page_of(reported["mmoe"])
    for title in ("Which groups it attends to", "How tasks lean on each other", "The macro graph"):
        assert title in mgoe
        assert title not in mmoe
    assert "Where the gates go" in mgoe
    assert "Where the gates go" in mmoe
    # curves, reliability, gates, attention, macro graph
    assert mgoe.count("<svg") == 4 + 2 + 2 + 4 + 1
    assert mmoe.count("<svg") == 4 + 2 + 1


def test_a_part_that_was_off_is_told(facts) -> None:
    loaded = LoadedModel(
        **{**vars(facts.loaded), "model_options": MGOEOptions(cascade=False, interactions=False)}
    )
    text = text_of(run_report.render(dataclasses.replace(facts, loaded=loaded)))
    assert "--nocascade off" in text
    assert "--nointeractions off" in text
    assert "--adjustment on" in text


def test_names_are_escaped(facts) -> None:
    spec = dataclasses.replace(facts.spec, source="<b>csv")
    loaded = dataclasses.replace(facts.loaded, spec=spec)
    page = run_report.render(dataclasses.replace(facts, loaded=loaded))
    assert "<b>csv" not in page
    assert "&lt;b&gt;csv" in page


def test_evaluate_writes_the_page_anew_with_its_rows(reported, tmp_path) -> None:
    options = reported["mmoe"]
    before = page_of(options)
    try:
        evaluate(EvaluateOptions(options.model_dir, options.data_dir, "validation", report=True))
        assert "rows of the validation window" in page_of(options)
    finally:
        pathlib.Path(options.model_dir, "report.html").write_text(before)
    evaluate(EvaluateOptions(options.model_dir, options.data_dir, "test", report=True))
    assert page_of(options) == before


def test_a_run_without_the_flag_has_no_page(finished) -> None:
    assert not pathlib.Path(finished.model_dir, "report.html").exists()
    assert not list(pathlib.Path(finished.model_dir, "events").glob("best_*"))


def test_gates_are_told_by_the_share_of_shared_experts(facts) -> None:
    gates = workings.gate_shares(facts)
    assert list(gates) == ["gates", "fusion_gates"]
    for shares in gates.values():
        assert list(shares) == list(TASKS)
        for share in shares.values():
            assert share.sum() == pytest.approx(1, abs=1e-5)
    given = {
        "gates/click": np.array([0.2, 0.3, 0.5], np.float32),
        "gates/buy": np.array([0.1, 0.1, 0.8], np.float32),
    }
    text = text_of(workings.gates_section(dataclasses.replace(facts, diagnostics=given)))
    assert "click takes the most from shared ones, 50%, and buy the least, 20%" in text


def test_the_macro_weights_are_shown_above_the_attention_of_each_task(facts) -> None:
    sets = workings.attention_shares(facts)
    assert list(sets) == ["user_1hop", "user_2hop", "item_1hop", "item_2hop"]
    for rows in sets.values():
        assert list(rows) == ["edges (alpha)", *TASKS]
        for share in rows.values():
            assert share.sum() == pytest.approx(1, abs=1e-5)
    even = {"a": {"row": np.full(4, 0.25)}}
    assert workings.contrast(even) == 0.5
    # log2(4 * 1/16) = -2 is the largest of the four
    assert workings.contrast({"a": {"row": np.array([0.0625, 0.25, 0.25, 0.4375])}}) > 1.8


def test_a_task_of_one_class_has_dashes(facts) -> None:
    rows = facts.scored.rows
    labels = {**rows.labels, "buy": np.zeros_like(rows.labels["buy"])}
    scored = dataclasses.replace(facts.scored, rows=dataclasses.replace(rows, labels=labels))
    changed = dataclasses.replace(facts, scored=scored, metrics=scored.metrics())
    text = text_of(quality.tasks_section(changed))
    assert "buy \u2013" in text
    assert run_report.render(changed)


def test_curves_are_over_epochs(facts) -> None:
    card = {"sessions": [{"ended_at_step": 450, "epochs_finished": 3}]}
    aucs = [(100, 0.9), (150, 0.6), (300, 0.8), (450, 0.8)]
    history = RunHistory(card, {"validation": {"average/auc": aucs}}, 2)
    points = history.by_epoch("validation", "average/auc")
    assert points == [(pytest.approx(2 / 3), 0.9), (1, 0.6), (2, 0.8), (3, 0.8)]
    assert history.by_epoch("validation", "average/gauc") == []
    aucs = dict(facts.history.curves["validation"]["average/auc"])
    best = max((48, 96), key=aucs.__getitem__)
    assert facts.history.best_epoch * facts.history.steps_per_epoch == best


def test_a_run_without_a_finished_epoch_has_no_history(tmp_path) -> None:
    with pytest.raises(ValueError, match=r"run\.json or a best epoch is missing: the run in"):
        RunHistory.read(str(tmp_path))


def test_the_latest_epoch_has_no_page() -> None:
    with pytest.raises(ValueError, match="--report: is of the best epoch, so that it cannot"):
        EvaluateOptions("m", "d", report=True, best=False)


def test_time_is_that_of_all_sessions() -> None:
    sessions = [
        {"begun": "2026-01-01T00:00:00+00:00", "ended": "2026-01-01T00:01:00+00:00"},
        {"begun": "2026-01-02T00:00:00+00:00", "ended": "2026-01-02T00:00:07+00:00"},
        {"begun": "2026-01-03T00:00:00+00:00"},
    ]
    assert RunHistory({"sessions": sessions}, {}, 1).seconds == 67
