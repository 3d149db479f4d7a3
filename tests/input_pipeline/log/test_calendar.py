import numpy as np
import pytest

from input_pipeline.log.calendar import CALENDAR, LOGGED, likely_range, outside


@pytest.mark.parametrize(("unit", "scale"), [("s", 1), ("ms", 1000), ("ns", 10**9)])
def test_limits_are_within(unit, scale):
    low, high = LOGGED
    times = np.array([low * scale - 1, low * scale, high * scale + scale - 1, (high + 1) * scale])
    assert outside(times, unit, LOGGED).tolist() == [True, False, False, True]
    # In nanoseconds the calendar reaches beyond int64.
    assert outside(np.array([2**63 - 1, -(2**63)]), "ns", CALENDAR).tolist() == [False, False]


def test_a_log_is_of_the_years_of_its_median():
    assert likely_range(np.array([-5, 10, 10**15]), "s") == LOGGED
    assert likely_range(np.array([-5, -10, 10**15]), "s") == CALENDAR
    assert likely_range(np.array([5, 10**15, 10**16]), "s") is None
    assert likely_range(np.array([5, 10**13, 10**16]), "ms") == CALENDAR
