"""Bounds of an AUC, hand-worked and by how often they hold."""

import math

import numpy as np
import pytest

from input_pipeline.report.ranking import Ranking, effective, pooled
from tests.input_pipeline.report import auc_of


def test_the_bounds_are_where_the_variance_reaches_the_auc() -> None:
    low, high = Ranking(0.75, 4.0, 6.0).bounds()
    for bound in (low, high):
        # Hanley and McNeil: Q_1 = A / (2 - A), Q_2 = 2 A^2 / (1 + A)
        of_positive, of_negative = bound / (2 - bound), 2 * bound**2 / (1 + bound)
        variance = (
            bound * (1 - bound) + 3 * (of_positive - bound**2) + 5 * (of_negative - bound**2)
        ) / 24
        assert abs(0.75 - bound) == pytest.approx(1.959964 * math.sqrt(variance), rel=1e-6)
    assert low < 0.75 < high < 1


def test_a_number_turned_around_is_as_strong() -> None:
    assert Ranking(0.1, 7, 50).bounds() == pytest.approx(Ranking(0.9, 7, 50).bounds())
    assert Ranking(0.1, 7, 50).strength == 0.9


def test_few_positives_leave_much_open_also_where_all_are_ranked_rightly() -> None:
    bounds = [Ranking(1.0, positives, 1000).bounds() for positives in (2, 7, 50)]
    assert [high for _, high in bounds] == [1.0] * 3
    lows = [low for low, _ in bounds]
    assert lows == sorted(lows)
    assert lows[0] < 0.7
    assert lows[-1] > 0.95


@pytest.mark.parametrize(("positives", "distance"), [(7, 0.5), (20, 1.2), (60, 2.0)])
def test_the_bounds_hold_the_true_auc_as_often_as_they_say(positives, distance) -> None:
    random = np.random.default_rng(positives)
    true = 0.5 * (1 + math.erf(distance / 2))  # of normal distributions so far apart
    held = 0
    for _ in range(400):
        scores = np.append(random.normal(distance, size=positives), random.normal(size=300))
        low, high = Ranking(auc_of(scores, positives), positives, 300).bounds()
        held += low <= true <= high
    assert held / 400 > 0.92


def test_groups_count_as_few_rows_as_the_largest_make_them() -> None:
    assert effective(np.ones(50, int)) == 50
    assert effective(np.full(5, 10)) == 5
    assert effective(np.array([9, 1, 0])) == pytest.approx(100 / 82)
    assert effective(np.zeros(3, int)) == 0


def test_windows_are_pooled_by_how_much_each_tells() -> None:
    # weights 2 * 2 / 4 and 6 * 3 / 9
    assert pooled([Ranking(0.4, 2, 2), Ranking(0.7, 6, 3)]) == pytest.approx((0.6, 8, 5))
    assert pooled([]) is None
