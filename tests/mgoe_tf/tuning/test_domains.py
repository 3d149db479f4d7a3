"""Domains: by hand, at their ends, and what is refused."""

import re

import numpy as np
import pytest

from mgoe_tf.models.baselines.mmoe import MMoEOptions
from mgoe_tf.training.options import TrainOptions
from mgoe_tf.tuning.domains import Choices, Integer, LogUniform, Uniform, read_domain
from mgoe_tf.tuning.flag_types import FlagType, flag_types

FLOAT, INT, TEXT = FlagType(float), FlagType(int), FlagType(str)
ALMOST_ONE = np.nextafter(1.0, 0.0)


@pytest.mark.parametrize(
    ("domain", "share", "expected"),
    [
        (Choices((7, 8, 9)), 0.0, 7),
        (Choices((7, 8, 9)), 0.34, 8),  # 0.34 * 3 = 1.02
        (Choices((7, 8, 9)), ALMOST_ONE, 9),
        (Uniform(0.1, 0.5), 0.25, 0.2),
        (Uniform(0.0, 1.0), 1 / 3, 0.3333),
        (Uniform(0.12344, 0.2), 0.0, 0.12344),  # never below the bound by rounding
        (LogUniform(1e-4, 1e-2), 0.5, 1e-3),  # halfway between the exponents
        (LogUniform(1e-4, 1e-2), 0.0, 1e-4),
        (LogUniform(2.0, 32.0), 0.75, 16.0),  # 2 * 16^0.75
        (Integer(2, 5), 0.0, 2),
        (Integer(2, 5), 0.5, 4),  # 2 + int(0.5 * 4)
        (Integer(2, 5), ALMOST_ONE, 5),
    ],
)
def test_values_by_hand(domain, share, expected) -> None:
    assert domain.at(share) == expected
    assert type(domain.at(share)) is type(expected)


@pytest.mark.parametrize(
    ("described", "flag", "expected"),
    [
        (5, INT, Choices((5,))),
        (5, FLOAT, Choices((5.0,))),
        ([0.1, 1], FLOAT, Choices((0.1, 1.0))),
        ([[32], [64, 32]], FlagType(int, is_list=True), Choices(((32,), (64, 32)))),
        ([True, False], FlagType(bool), Choices((True, False))),
        ([None, [1, 2]], FlagType(float, True, True), Choices((None, (1.0, 2.0)))),
        ({"uniform": [0, 0.5]}, FLOAT, Uniform(0.0, 0.5)),
        ({"log_uniform": [0.001, 1]}, FLOAT, LogUniform(0.001, 1.0)),
        ({"integer": [2, 8]}, INT, Integer(2, 8)),
    ],
)
def test_what_stands_in_a_file_is_read_and_described_so_that_it_is_read_again(
    described, flag, expected
) -> None:
    domain = read_domain(described, flag)
    assert domain == expected
    assert read_domain(domain.described(), flag) == expected


@pytest.mark.parametrize(
    ("described", "flag", "message"),
    [
        ([], INT, "must be at least one value, got []"),
        ([1, 1.0], FLOAT, "must be values no two of which are alike, got [1, 1.0]"),
        ([1, 2.5], INT, "must be a whole number, got 2.5"),
        (True, INT, "must be a whole number, got True"),
        (1, FlagType(bool), "must be true or false, got 1"),
        ("0.1", FLOAT, "must be a number, got '0.1'"),
        (float("inf"), FLOAT, "must be a number, got inf"),
        (None, FLOAT, "must be a number, got None"),
        (3, TEXT, "must be a text, got 3"),
        ("adam", FlagType(str, choices=("a", "b")), "must be one of a, b, got 'adam'"),
        ([32, 64], FlagType(int, is_list=True), "must be a list, each a whole number, got 32"),
        ({"uniform": [0, 1]}, INT, "must be a whole number, got a range {'uniform': [0, 1]}"),
        ({"integer": [0, 1]}, FLOAT, "must be a number, got a range {'integer': [0, 1]}"),
        ({"integer": [5, 5]}, INT, "from a bound to a higher one, got {'integer': [5, 5]}"),
        ({"uniform": [1.0, 0.0]}, FLOAT, "from a bound to a higher one, got {'uniform'"),
        ({"uniform": [1.0]}, FLOAT, "must be a range of two bounds, got {'uniform': [1.0]}"),
        ({"log_uniform": [0.0, 1.0]}, FLOAT, "must be a range above 0, got {'log_uniform'"),
        ({"normal": [0, 1]}, FLOAT, "or a range of uniform, log_uniform, integer, got {'normal'"),
        ({}, FLOAT, "or a range of uniform, log_uniform, integer, got {}"),
    ],
)
def test_what_is_no_domain_of_the_flag_is_refused(described, flag, message) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        read_domain(described, flag)


def test_types_are_those_of_the_options() -> None:
    types = flag_types(TrainOptions) | flag_types(MMoEOptions)
    assert types["learning_rate"] == FlagType(float)
    assert types["batch_size"] == FlagType(int)
    assert types["xla"] == FlagType(bool)
    assert types["schedule"] == FlagType(str, choices=("constant", "warmup", "cosine"))
    assert types["task_weights"] == FlagType(float, is_list=True, is_optional=True)
    assert types["expert_units"] == FlagType(int, is_list=True)
