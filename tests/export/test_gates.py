"""Bounds on metrics, and the requests that a comparison makes of validation rows."""

import numpy as np
import pytest

from export import gates


def test_bounds_need_a_metric(tmp_path):
    gates.check_metrics({"validation": None}, str(tmp_path), None, None)
    for metrics in ({}, {"validation": None}, {"validation": {"average": {"auc": None}}}):
        with pytest.raises(ValueError, match="not published: the model has no validation AUC"):
            gates.check_metrics(metrics, str(tmp_path), 0.5, None)


def test_bounds_are_inclusive(tmp_path):
    metrics = {"validation": {"average": {"auc": 0.75}}}
    gates.check_metrics(metrics, str(tmp_path), 0.75, 0.0)
    with pytest.raises(ValueError, match=r"must be at least 0.76, got 0.750000"):
        gates.check_metrics(metrics, str(tmp_path), 0.76, None)


def test_rows_become_users_with_candidates_and_back():
    raw = {"user_id": np.arange(23), "item_id": 100 + np.arange(23), "edges": np.ones((23, 2))}
    lists, flat = gates._as_lists(raw, {"item_id", "edges"})
    assert lists["user_id"].tolist() == list(range(10))
    assert lists["item_id"].tolist() == (100 + np.arange(20)).reshape(10, 2).tolist()
    assert lists["edges"].shape == (10, 2, 2)
    assert flat["user_id"].tolist() == np.repeat(np.arange(10), 2).tolist()
    assert flat["item_id"].tolist() == (100 + np.arange(20)).tolist()


def test_a_row_that_both_answer_with_nan_does_not_differ():
    nan = float("nan")
    found = np.array([0.5, nan, 0.25])
    assert gates._difference(found, np.array([0.5, nan, 0.75])) == 0.5
    assert np.isnan(gates._difference(found, np.array([0.5, 0.5, 0.25])))
    assert np.isnan(gates._difference(np.array([0.5]), np.array([nan])))
