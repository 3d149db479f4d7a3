"""Moments of numbers that come window by window."""

import numpy as np
import pytest

from input_pipeline.feature import Transform
from input_pipeline.features.moments import Moments


def moments(*windows):
    found = Moments()
    for values in windows:
        found.add(np.array(values, np.float64).reshape(len(values), -1))
    return found


def test_hand_worked():
    # 1, 3 and 8: mean 4, squares 9 + 1 + 16 = 26, over 3.
    found = moments([1.0, np.nan, 3.0], [8.0]).complete(Transform("standard"))
    assert found.mean == pytest.approx((4.0,))
    assert found.deviation == pytest.approx((np.sqrt(26 / 3),))
    assert found.has_missing


def test_many_windows_agree_with_numpy():
    random = np.random.default_rng(0)
    # A large mean, as of timestamps, beside which the deviation is small.
    values = random.normal(1.7e9, [[1.0, 1e5]], (1000, 2))
    found = moments(*np.split(values, [1, 10, 600])).complete(Transform("standard"))
    np.testing.assert_allclose(found.mean, values.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.deviation, values.std(axis=0), rtol=1e-6)
    assert not found.has_missing


@pytest.mark.parametrize(
    ("windows", "mean"),
    [(([0.1] * 7, [0.1] * 5), 0.1), (([np.nan], [np.nan]), 0.0), (([5.0], [np.nan]), 5.0)],
)
def test_without_a_deviation_it_reads_as_one(windows, mean):
    found = moments(*windows).complete(Transform("log"))
    assert (found.mean, found.deviation) == ((mean,), (1.0,))


def test_none_leaves_numbers_as_they_are():
    found = moments([1.0, 9.0]).complete(Transform("none"))
    assert found == Transform("none")


def test_numbers_that_count_several_times():
    values = np.array([[1.0, np.nan], [4.0, 2.0], [-3.0, 5.0]])
    times = np.array([3, 1, 2])
    weighted, repeated, joined = Moments(), Moments(), Moments()
    weighted.add(values[:1], times[:1, np.newaxis])
    weighted.add(values[1:], times[1:, np.newaxis])
    repeated.add(np.repeat(values, times, axis=0))
    joined.extend(weighted)
    transform = Transform("standard", (0.0, 0.0), (1.0, 1.0))
    # The mean of 1, 1, 1, 4, -3, -3 is 1/6; of 2, 5, 5 it is 4.
    expected = repeated.complete(transform)
    np.testing.assert_allclose(expected.mean, (1 / 6, 4.0))
    for moments in (weighted, joined):
        found = moments.complete(transform)
        np.testing.assert_allclose(found.mean, expected.mean)
        np.testing.assert_allclose(found.deviation, expected.deviation)
        assert found.has_missing
