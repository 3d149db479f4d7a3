"""Sentences made from numbers."""

import pytest

from mgoe_tf.experimenting import words
from mgoe_tf.experimenting.page_cost import trade_words
from mgoe_tf.experimenting.results import MEAN, Results
from mgoe_tf.reports.differences import Difference


def test_small_words() -> None:
    assert words.listed([]) == "none"
    assert words.listed(["a"]) == "a"
    assert words.listed(["a", "b", "c"]) == "a, b and c"
    assert words.count(1, "seed") == "1 seed"
    assert words.count(12, "model") == "12 models"
    assert [words.ordinal(place) for place in (1, 9, 10)] == ["first", "ninth", "number 10"]
    assert words.p_value(0.0123) == "0.012"
    assert words.p_value(1e-9) == "below 0.001"
    assert words.p_value(None) == "not defined"


def test_who_is_told_apart(written) -> None:
    values = {("", "mgoe", seed): (0.9 + seed / 100, 0.9) for seed in range(3)}
    values |= {("", "mmoe", seed): (0.8 + seed / 100, 0.9) for seed in range(3)}
    results = Results.of(written(values).runs)
    stands = (results, "small", ["mgoe", "mmoe"], "mgoe")
    beyond = {"mmoe": {MEAN: Difference(0.05, 0.01, "users")}}
    within = {"mmoe": {MEAN: Difference(0.05, 0.06, "users")}}
    assert words.told_apart(*stands, beyond) == (
        "All rivals differ from mgoe by more than the noise of seeds and users."
    )
    assert words.told_apart(*stands, within) == (
        "No rival differs from mgoe by more than the noise of seeds and users."
    )
    assert words.told_apart(*stands, {}).endswith("by more than the noise of seeds.")


def test_one_seed_is_told_apart_over_users_alone(written) -> None:
    values = {("", "mgoe", 0): (0.9, 0.9), ("", "mmoe", 0): (0.8, 0.9)}
    results = Results.of(written(values, seeds=("0",)).runs)
    stands = (results, "small", ["mgoe", "mmoe"], "mgoe")
    beyond = {"mmoe": {MEAN: Difference(0.05, 0.01, "users")}}
    told = words.told_apart(*stands, beyond)
    assert told == "All rivals differ from mgoe by more than the noise of users."
    assert words.told_apart(*stands, {}) == ""


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        (
            {"mgoe": (2.0, 0.8), "a": (1.0, 0.7), "b": (9.0, 0.75)},
            "A request takes mgoe 2.00 ms, 2 of 3 from the quickest (a, 1.00 ms) to the slowest "
            "(b, 9.00 ms); no model ranks better.",
        ),
        (
            {"mgoe": (2.0, 0.8), "a": (1.0, 0.85), "b": (9.0, 0.9)},
            "A request takes mgoe 2.00 ms, 2 of 3 from the quickest (a, 1.00 ms) to the slowest "
            "(b, 9.00 ms); in less time these rank better: a.",
        ),
        (
            {"mgoe": (2.0, 0.8), "b": (9.0, 0.9)},
            "A request takes mgoe 2.00 ms, 1 of 2 from the quickest (mgoe, 2.00 ms) to the slowest "
            "(b, 9.00 ms); what ranks better (b) is slower.",
        ),
        ({"mgoe": (2.0, 0.8)}, ""),
    ],
)
def test_auc_against_milliseconds(points, expected) -> None:
    assert trade_words("mgoe", points) == expected


def test_a_weight_that_meets_no_node_is_told() -> None:
    same = {(1.0, 0.25): 0.7, (1.0, 0.5): 0.7, (2.0, 0.25): 0.8, (2.0, 0.5): 0.8}
    assert words.low_weight("shop", same).startswith("shop: the weight of inactive nodes changes n")
    assert words.low_weight("shop", same | {(2.0, 0.5): 0.81}) == ""
    assert words.low_weight("shop", {(1.0, 0.5): 0.7, (2.0, 0.5): 0.8}) == ""
