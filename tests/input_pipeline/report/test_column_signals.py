"""AUC of single columns, hand-worked and against scikit-learn."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from input_pipeline.feature import Feature, Transform, Vocabulary
from input_pipeline.graph.node_table import DenseColumn, ListColumn
from input_pipeline.log.rows import Rows
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.report import data_report as report
from input_pipeline.report import telling
from input_pipeline.report.column_signals import ColumnSignals
from input_pipeline.report.window_statistics import window_statistics
from input_pipeline.spec import DatasetSpec, Task
from tests.encoded_rows import make_spec
from tests.input_pipeline.logs import event_log, random_lines, write_log

TASKS = ("click", "fav", "cart", "buy")


def spec_of(*features: Feature) -> DatasetSpec:
    vocabularies = [
        Vocabulary(f.vocabulary, f.dtype, f.owner, 3, (3, 3, 3), 3, "")
        for f in features
        if f.vocabulary
    ]
    changes = {"features": features, "vocabularies": tuple(vocabularies)}
    return DatasetSpec(**{**vars(make_spec()), "tasks": (Task("click", 1),), **changes})


def rows_of(labels: list[int]) -> Rows:
    """A row an entry; label -1 is none."""
    positive = np.array([label == 1 for label in labels], np.uint32)
    none = np.array([label < 0 for label in labels], np.uint32)
    zero = np.zeros(len(labels), np.int32)
    return Rows(zero, zero, positive, none, None, zero > 0, np.arange(len(labels)))


def aucs_of(signals: ColumnSignals, owner: str, name: str, column, labels: list[int]):
    tables = {owner: {name: column}}
    found = signals.add(rows_of(labels), tables, {owner: np.arange(len(labels))})
    return {signal: by_task["click"] and by_task["click"].auc for signal, by_task in found.items()}


def test_numbers_rank_by_value_and_missing_is_a_signal():
    price = Feature("price", "context", "numeric", "float", transform=Transform("standard"))
    signals = ColumnSignals(spec_of(price))
    values = np.array([3.0, 1.0, math.nan, 1.0, math.nan, 2.0], np.float32)
    found = aucs_of(signals, "context", "price", DenseColumn(values), [1, 1, 1, 0, 0, -1])
    # With a value and a label: 3 and 1 are positive, 1 is negative: one win and a tie.
    # Missing: 1 of 3 positives, 1 of 2 negatives: (2/3) (1/2) lost, 1/2 of the ties.
    assert found == {
        "price": 0.75,
        "price is missing": pytest.approx(1 / 3 * 1 / 2 + (1 / 3 * 1 / 2 + 2 / 3 * 1 / 2) / 2),
    }
    only_ones = aucs_of(signals, "context", "price", DenseColumn(values[:2]), [1, 1])
    assert only_ones == {"price": None}


def test_each_number_of_a_list_is_a_signal():
    activity = Feature(
        "activity",
        "user",
        "numeric",
        "float",
        2,
        transform=Transform("none", (0.0,) * 2, (1.0,) * 2),
    )
    column = DenseColumn(np.array([[0.0, 5.0], [1.0, 4.0]], np.float32))
    found = aucs_of(ColumnSignals(spec_of(activity)), "user", "activity", column, [0, 1])
    assert found == {"activity[0]": 1.0, "activity[1]": 0.0}


def test_numbers_with_a_meaning_are_called_by_it():
    numbers = (0.0,) * 3
    activity = Feature(
        "item_activity",
        "item",
        "numeric",
        "float",
        3,
        transform=Transform("none", numbers, (1.0,) * 3),
    )
    column = DenseColumn(np.array([[0.0, 5.0, 2.0], [1.0, 4.0, 2.0]], np.float32))
    found = aucs_of(ColumnSignals(spec_of(activity)), "item", "item_activity", column, [0, 1])
    assert found == {
        "item_activity[log events by click]": 1.0,
        "item_activity[days since the first event]": 0.0,
        "item_activity[days since the latest event]": 0.5,
    }


def test_rows_that_share_an_entry_count_as_fewer():
    price = Feature("price", "item", "numeric", "float", transform=Transform("standard"))
    signals = ColumnSignals(spec_of(price))
    column = DenseColumn(np.array([1.0, 2.0, 3.0], np.float32))
    # 4 positive rows of item 2, one of item 1; negative rows: 2 of item 0, 1 of item 1
    place = np.array([2, 2, 2, 2, 1, 0, 0, 1])
    rows = rows_of([1, 1, 1, 1, 1, 0, 0, 0])
    found = signals.add(rows, {"item": {"price": column}}, {"item": place})["price"]["click"]
    # (4 + 1)^2 / (16 + 1) and (2 + 1)^2 / (4 + 1); one tie of 15 pairs
    assert found == pytest.approx((14.5 / 15, 25 / 17, 9 / 5))


def test_ids_rank_by_the_rates_of_earlier_windows():
    tab = Feature("tab", "context", "side", "int64", vocabulary="tab")
    signals = ColumnSignals(spec_of(tab))

    def window(rows: list[int], labels: list[int]):
        column = DenseColumn(np.array(rows, np.int32), -1)
        return aucs_of(signals, "context", "tab", column, labels)["tab"]

    # Nothing is known yet, whatever the window itself holds.
    assert window([0, 0, 1, 1], [1, 1, 0, 0]) == 0.5
    # Now 0 was always right and 1 never; 2 and no id at all are in between.
    assert window([0, 1], [1, 0]) == 1.0
    assert window([0, 1], [0, 1]) == 0.0
    assert window([2, -1, 0, 1], [1, 0, 1, 0]) == (0.5 + 1 + 1 + 1) / 4


def test_lists_rank_by_their_mean_rate():
    tags = Feature("tags", "item", "side", "int64", 3, ragged=True, vocabulary="tags", missing=-1)
    signals = ColumnSignals(spec_of(tags))

    def window(lists: list[list[int]], labels: list[int]):
        indptr = np.cumsum([0, *map(len, lists)])
        column = ListColumn(indptr, {"rows": np.array([i for ids in lists for i in ids], np.int32)})
        return aucs_of(signals, "item", "tags", column, labels)["tags"]

    assert window([[0, 1], [0], [2], []], [1, 1, 0, 0]) == 0.5
    # Rates with 20 rows of the mean 3/5 (0: 2 of 2, 1: 1 of 1, 2: 0 of 1, an empty list: 0 of 1).
    rates = [(2 + 12) / 22, (1 + 12) / 21, 12 / 21, 12 / 21]
    assert rates[0] > (rates[0] + rates[1]) / 2 > rates[1] > rates[2] == rates[3]
    assert window([[0], [1, 0], [1], [2], []], [1, 0, 0, 0, 0]) == 1.0


def test_entries_that_many_rows_share_agree_with_scikit_learn():
    random = np.random.default_rng(0)
    price = Feature("price", "item", "numeric", "float", transform=Transform("standard"))
    values = random.integers(0, 6, 9).astype(np.float32)
    place, labels = random.integers(0, 9, 400), random.integers(0, 2, 400)
    signals = ColumnSignals(spec_of(price))
    tables = {"item": {"price": DenseColumn(values)}}
    found = signals.add(rows_of(labels.tolist()), tables, {"item": place})
    assert found["price"]["click"].auc == pytest.approx(roc_auc_score(labels, values[place]))


def test_a_column_that_is_the_label_under_another_name_is_found(tmp_path, monkeypatch, caplog):
    pages, render = [], report.render
    monkeypatch.setattr(
        report, "render", lambda *arguments: pages.append(arguments) or render(*arguments)
    )
    random = np.random.default_rng(0)
    lines = [
        line.__class__(
            **{
                **vars(line),
                "user_features": (("age", int(random.integers(5))),),
                "context_features": (
                    ("dwell", 5.0 * (1 in line.tasks) + float(random.random())),
                    ("outcome", b"bought" if 3 in line.tasks else b"left"),
                    ("rating", 4.0 if 0 in line.tasks else math.nan),
                    ("device", random.choice([b"phone", b"tv"])),
                ),
            }
        )
        for line in random_lines(0, num_lines=3000, clock=3000, exposures=True)
    ]
    options = PreparationOptions(source="taobao", cuts=(0.3, 0.6, 0.8))
    write_log(event_log(lines), options, str(tmp_path))
    windows = pages[0][2][1:]
    for window in windows:
        aucs = window.aucs
        assert aucs["dwell"]["fav"].auc == aucs["outcome"]["buy"].auc == 1.0
        assert aucs["rating is missing"]["click"].auc == 0.0
        assert abs(aucs["device"]["click"].auc - 0.5) < 0.1
    found = {(one.signal, one.task, one.where) for one in telling.find(windows, TASKS)}
    assert found == {
        ("dwell", "fav", "all windows"),
        ("outcome", "buy", "all windows"),
        ("rating is missing", "click", "all windows"),
    }
    assert "single numbers nearly tell the outcome: " in caplog.text
    for named in ("dwell ranks fav", "outcome ranks buy", "rating is missing ranks click"):
        assert f"{named} with AUC 1.000 (95 %: " in caplog.text
    page = (tmp_path / "report.html").read_text()
    assert "outcome ranks buy with AUC 1.000" in page
    assert page.count("Is it the outcome under another name?") == 3


def leaky_windows(num_rows: int, seed: int, rate: float = 0.05):
    """Three windows whose label is `leak`, but for 5 % of its values, and that `honest` ranks."""
    random = np.random.default_rng([num_rows, seed])
    names = ("leak", "honest")
    features = [
        Feature(name, "context", "numeric", "float", transform=Transform("standard"))
        for name in names
    ]
    signals = ColumnSignals(spec_of(*features))
    for window in ("train 1", "validation", "test"):
        size = num_rows // 3
        labels = random.random(size) < rate
        wrong = random.random(size) < 0.05
        # two normal distributions that are 1.2 apart: an AUC of Phi(1.2 / sqrt 2) = 0.80
        columns = {
            "leak": np.where(wrong, ~labels, labels).astype(np.float32),
            "honest": (random.normal(size=size) + 1.2 * labels).astype(np.float32),
        }
        tables = {"context": {name: DenseColumn(columns[name]) for name in names}}
        rows = rows_of(labels.astype(int).tolist())
        aucs = signals.add(rows, tables, {"context": np.arange(size)})
        yield window_statistics(window, rows, ("click",), {}), aucs


@pytest.mark.parametrize("num_rows", [1_000, 10_000, 100_000, 1_000_000])
def test_a_leak_with_noise_is_told_from_an_honest_number(num_rows):
    for seed in range(20 if num_rows < 100_000 else 1):
        windows = [
            dataclasses.replace(window, aucs=aucs) for window, aucs in leaky_windows(num_rows, seed)
        ]
        assert [one.signal for one in telling.find(windows, ("click",))] == ["leak"], seed
