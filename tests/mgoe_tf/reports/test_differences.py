"""Differences between groups of runs, against scipy and by hand."""

import math

import numpy as np
import pytest
from scipy import stats

from mgoe_tf.reports.differences import between


def test_several_seeds_are_compared_by_welch() -> None:
    first, second = [0.70, 0.72, 0.71], [0.74, 0.73, 0.77, 0.75]
    found = between(first, second)
    expected = stats.ttest_ind(second, first, equal_var=False).confidence_interval(0.95)
    assert found.value == pytest.approx(0.7475 - 0.71)
    assert found.value - found.reach == pytest.approx(expected.low)
    assert found.value + found.reach == pytest.approx(expected.high)
    assert (found.rule, found.is_beyond) == ("seeds", True)
    assert not between([0.70, 0.74], [0.73, 0.75]).is_beyond


def test_one_run_is_compared_with_where_further_runs_would_lie() -> None:
    found = between([0.70, 0.72], [0.9])
    # t of 97.5 % with one degree of freedom is 12.706; the deviation 0.01 sqrt(2)
    assert found.reach == pytest.approx(12.7062 * 0.0141421 * math.sqrt(1.5), rel=1e-5)
    assert (found.rule, found.is_beyond) == ("one", False)
    assert between([0.9], [0.70, 0.72]).value == pytest.approx(-0.19)


def test_single_runs_are_compared_over_users_or_not_at_all() -> None:
    nothing = between([0.7], [0.9])
    assert (nothing.reach, nothing.rule, nothing.is_beyond) == (None, "none", False)
    ours, theirs = np.array([0.1, -0.1, 0.0]), np.array([0.2, -0.2, 0.0])
    found = between([0.7], [0.75], (ours, theirs))
    # sqrt(3 / 2 (0.1^2 + 0.1^2))
    assert found.reach == pytest.approx(1.959964 * math.sqrt(0.03))
    assert (found.rule, found.is_beyond) == ("users", False)
    assert between([0.7], [0.75], (np.zeros(1), np.zeros(1))).reach is None


def test_runs_without_any_spread_differ_by_any_difference() -> None:
    assert between([0.7, 0.7], [0.71, 0.71]).is_beyond
    assert not between([0.7, 0.7], [0.7, 0.7]).is_beyond
