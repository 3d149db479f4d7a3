import types

import pytest

from input_pipeline.report.window_statistics import WindowStatistics
from input_pipeline.report.window_warnings import window_warnings


def window(name, rows=2_000, users=500, click=(2_000, 90), buy=(2_000, 9)):
    """Labels and positives by task."""
    labels, positives = ({"click": click[n], "buy": buy[n]} for n in range(2))
    return WindowStatistics(name, rows, positives, labels, {}, users)


def warnings(*windows):
    spec = types.SimpleNamespace(counts={"users": 1_000}, task_names=("click", "buy"))
    return window_warnings(spec, windows)


def names(changed):
    """History, two training windows, validation and test, some of them told otherwise."""
    all_names = ("history", "training window 1", "training window 2", "validation", "test")
    return [window(name, **changed.get(name, {})) for name in all_names]


def test_a_log_that_has_enough_of_all_says_nothing():
    assert warnings(*names({})) == []
    # Of windows that nothing is judged by, any size will do.
    assert warnings(*names({"training window 1": {"rows": 3, "users": 1}})) == []


def test_few_rows_or_users_are_told_once_with_numbers():
    (text,) = warnings(*names({"validation": {"rows": 999}, "test": {"rows": 5_000, "users": 99}}))
    assert text.startswith(
        "validation has 999 rows of 500 of 1,000 users and test has 5,000 rows of 99 of 1,000 users"
    )
    (text,) = warnings(*names({"test": {"users": 99}}))
    assert text.startswith("test has 2,000 rows")
    assert warnings(*names({"test": {"rows": 1_000, "users": 100}})) == []


@pytest.mark.parametrize(
    ("buy", "message"),
    [
        ((0, 0), "task buy has no labels in the rows of training"),
        ((2_000, 0), "task buy has no positives among 6,000 labels of the rows of training"),
        ((2_000, 2_000), "task buy has no negatives among 6,000 labels of the rows of training"),
    ],
)
def test_tasks_that_cannot_be_learnt(buy, message):
    training = ("history", "training window 1", "training window 2")
    (text,) = warnings(*names({name: {"buy": buy} for name in training}))
    assert text == f"{message}: it cannot be learnt"
    # One row of another kind is enough, and the other windows do not count.
    assert warnings(*names({name: {"buy": buy} for name in training[1:]})) == []
    assert warnings(*names({"test": {"buy": buy}})) == []


def test_a_validation_window_of_one_kind():
    one = {"click": (2_000, 0), "buy": (2_000, 2_000)}
    (text,) = warnings(*names({"validation": one}))
    assert text.startswith("every task has labels of one kind alone in the validation window")
    assert warnings(*names({"validation": {"click": (2_000, 0)}})) == []
    assert len(warnings(*names({"validation": {"click": (0, 0), "buy": (0, 0)}}))) == 1
