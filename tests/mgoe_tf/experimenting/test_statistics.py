"""Spreads, leads and paired tests by hand and beside SciPy."""

import math

import numpy as np
import pytest
from scipy import stats

from mgoe_tf.experimenting.statistics import Paired, Spread, lead, paired


def test_spread_is_the_mean_and_the_deviation_of_a_sample() -> None:
    # mean 2, squares 1 + 0 + 1 over n - 1 = 2
    assert Spread.of([1.0, 2.0, 3.0]) == (2.0, 1.0, 3)
    assert Spread.of([0.25]) == (0.25, None, 1)
    assert Spread.of([]) is None


def test_a_lead_is_per_cent_of_the_rival() -> None:
    assert lead(0.84, 0.80) == pytest.approx(5.0)
    assert lead(0.76, 0.80) == pytest.approx(-5.0)
    assert lead(0.19, 0.20, smaller_is_better=True) == pytest.approx(5.0)


def test_paired_by_hand() -> None:
    found = paired([0.5, 0.6], [0.7, 0.7])
    # d = 0.2, 0.1: mean 0.15, deviation 0.1 / sqrt 2, error 0.05, t = 3 with 1 degree of freedom,
    # of which Student's distribution is Cauchy's: p = 1 - 2 atan(3) / pi
    assert found.value == pytest.approx(0.15)
    assert found.p_value == pytest.approx(1 - 2 * math.atan(3) / math.pi)
    assert found.reach == pytest.approx(math.tan(math.pi * 0.475) * 0.05)
    assert not found.is_beyond


def test_paired_equals_scipy() -> None:
    rng = np.random.default_rng(0)
    for number in (2, 3, 5, 20):
        first = rng.normal(0.7, 0.01, number)
        second = first + rng.normal(0.01, 0.004, number)
        found, expected = paired(first, second), stats.ttest_rel(second, first)
        assert found.p_value == pytest.approx(expected.pvalue, rel=1e-9)
        low, high = expected.confidence_interval(0.95)
        assert found.value - found.reach == pytest.approx(low, rel=1e-9)
        assert found.value + found.reach == pytest.approx(high, rel=1e-9)
        assert found.is_beyond == (expected.pvalue < 0.05)


def test_what_seeds_cannot_tell() -> None:
    assert paired([0.5], [0.75]) == Paired(0.25, None, None, 1)
    assert not paired([0.5], [0.75]).is_beyond
    assert paired([0.5, 0.5], [0.5, 0.5]) == Paired(0.0, 0.0, None, 2)
    same_step = paired([0.5, 0.25], [0.75, 0.5])
    assert same_step == Paired(0.25, 0.0, 0.0, 2)
    assert same_step.is_beyond
