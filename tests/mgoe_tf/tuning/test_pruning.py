"""Promotions by hand."""

import pytest

from mgoe_tf.tuning.pruning import epochs_left, promotion, rungs


def _promotion(*scores, running=(), settled=False):
    """`running`: pairs of a rung and a trial that is on its way there."""
    begun = [{*at} for at in scores]
    for rung, trial in running:
        begun[rung].add(trial)
    return promotion(scores, begun, is_settled=settled)


def test_rungs_are_1_3_and_9_times_the_first_or_the_last_alone() -> None:
    assert rungs("asha", 1) == (1, 3, 9)
    assert rungs("asha", 2) == (2, 6, 18)
    assert rungs("none", 2) == (18,)


def test_a_third_goes_on_the_best_first() -> None:
    first = {0: 0.6, 1: 0.7, 2: 0.5, 3: 0.65, 4: 0.66, 5: 0.8}
    # of 6 trials 2: those of 0.8 and 0.7
    assert _promotion(first, {}, {}) == (5, 1)
    assert _promotion(first, {}, {}, running=[(1, 5)]) == (1, 1)
    assert _promotion(first, {5: 0.9}, {}, running=[(1, 1)]) is None


def test_two_of_three_are_too_few_until_nothing_else_is_left() -> None:
    assert _promotion({0: 0.6, 1: 0.7}, {}, {}) is None
    assert _promotion({0: 0.6, 1: 0.7}, {}, {}, settled=True) == (1, 1)
    assert _promotion({0: 0.6, 1: 0.7}, {1: 0.71}, {}, settled=True) == (1, 2)
    assert _promotion({0: 0.6, 1: 0.7}, {1: 0.71}, {1: 0.72}, settled=True) is None
    assert _promotion({}, {}, {}, settled=True) is None
    # a third of six comes before one of the two that are there
    first = {0: 0.6, 1: 0.7, 2: 0.5, 3: 0.4, 4: 0.3, 5: 0.2}
    assert _promotion(first, {1: 0.8}, {}, settled=True) == (0, 1)


def test_higher_rungs_come_first() -> None:
    first = {trial: 0.5 + trial / 100 for trial in range(12)}
    second = {11: 0.7, 10: 0.75, 9: 0.6}
    # rung 1 has three, of which the best goes to rung 2, before trial 8 goes to rung 1
    assert _promotion(first, second, {}) == (10, 2)
    assert _promotion(first, second, {}, running=[(2, 10)]) == (8, 1)


def test_a_late_score_displaces_nobody_who_went_on() -> None:
    first = {0: 0.6, 1: 0.7, 2: 0.5}
    assert _promotion(first, {}, {}) == (1, 1)
    # three more, and the best third is now {5, 4}: both go on beside trial 1, which has begun
    first |= {3: 0.1, 4: 0.8, 5: 0.9}
    assert _promotion(first, {1: 0.72}, {}) == (5, 1)
    assert _promotion(first, {1: 0.72}, {}, running=[(1, 5)]) == (4, 1)
    assert _promotion(first, {1: 0.72}, {}, running=[(1, 5), (1, 4)]) is None


def test_failed_trials_count_but_never_go_on_and_the_earlier_of_equal_ones_does() -> None:
    assert _promotion({0: None, 1: None, 2: 0.5}, {}, {}) == (2, 1)
    assert _promotion({0: None, 1: None, 2: None}, {}, {}, settled=True) is None
    assert _promotion({3: 0.5, 1: 0.5, 2: 0.5}, {}, {}) == (1, 1)
    # trial 0 failed on its way to rung 1: the best third of rung 0 is still that one alone
    assert _promotion({0: 0.9, 1: 0.8, 2: 0.7}, {0: None}, {}, settled=True) is None


@pytest.mark.parametrize(
    ("counts", "stops", "trials", "left"),
    [
        ((0, 0, 0), (1, 3, 9), 12, 12 * 1 + 4 * 2 + 1 * 6),
        ((12, 4, 1), (1, 3, 9), 12, 0),
        ((12, 3, 0), (1, 3, 9), 12, 1 * 2 + 1 * 6),
        ((0, 0, 0), (2, 6, 18), 4, 4 * 2 + 1 * 4 + 1 * 12),
        ((12, 6, 1), (1, 3, 9), 12, 0),
        ((3,), (9,), 12, 9 * 9),
    ],
)
def test_epochs_left(counts, stops, trials, left) -> None:
    assert epochs_left(counts, stops, trials) == left
