"""Labels that are coin flips cannot be predicted from the features of their rows."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.report import data_report as report
from tests.input_pipeline.contract import labels_of, read_rows
from tests.input_pipeline.logs import event_log, random_lines, write_log


def columns(row):
    """The features of a row that are numbers of fixed width."""
    names = ("user_1hop", "user_2hop", "item_1hop", "item_2hop", "user_macro", "item_macro")
    values = [value for name in (*names, "task_table") for value in row[name][1]]
    for name in sorted(row):
        if "neighbor_weights" in name:
            weights = row[name][1]
            values += [len(weights), sum(weights), row["item_id"][1][0] in row.get(
                name.replace("neighbor_weights", "neighbors"), (None, ()))[1]]  # fmt: skip
    # Weight on the row's own macro node, which a model can look up.
    own = row["item_macro"][1][0]
    return [*values, row["user_1hop"][1][own] if own >= 0 else -1]


@pytest.mark.parametrize("split", ["time", "random"])
def test_coin_flips(tmp_path, monkeypatch, split):
    monkeypatch.setattr(report, "render", lambda *_: "")
    random = np.random.default_rng(0)
    lines = [
        dataclasses.replace(line, tasks=frozenset({int(random.integers(2))}))
        for line in random_lines(0, num_lines=4000, users=60, items=60, clock=3000)
    ]
    options = PreparationOptions(
        source="taobao",
        rows="events",
        split=split,
        cuts=(0.2, 0.35, 0.5, 0.55),
        num_user_macro_nodes=4,
        num_item_macro_nodes=4,
    )
    write_log(event_log(lines), options, str(tmp_path))
    train, test = (read_rows(tmp_path, name) for name in ("train", "test"))
    x, y = np.array([columns(r) for r in train]), [labels_of(r)[0] for r in train]
    model = HistGradientBoostingClassifier(max_iter=60, random_state=0).fit(x, y)
    x, y = np.array([columns(r) for r in test]), [labels_of(r)[0] for r in test]
    # 1,800 rows, half of them positive: the standard error is about 0.0136.
    assert abs(roc_auc_score(y, model.predict_proba(x)[:, 1]) - 0.5) < 0.045


def test_new_items_do_not_give_pairs_away(tmp_path, monkeypatch):
    pages = []
    monkeypatch.setattr(report, "render", lambda *arguments: pages.append(arguments) or "")
    random = np.random.default_rng(1)
    lines = [
        # Most items live for a short time: nearly every one is cold when its window begins.
        dataclasses.replace(line, item=n // 40 * 20 + int(random.integers(40)))
        for n, line in enumerate(random_lines(1, num_lines=1500, users=40, clock=1500))
    ]
    options = PreparationOptions(source="taobao", cuts=(0.3, 0.6, 0.8))
    write_log(event_log(lines), options, str(tmp_path))
    windows = pages[0][2]
    for window in windows[1:]:
        assert abs(window.aucs["item cold"]["click"].auc - 0.5) < 0.1
