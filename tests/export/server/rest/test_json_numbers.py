"""Numbers as the real server writes them."""

import math

import numpy as np
import pytest

from export.server.rest import json_numbers


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.float32(0.1), "0.1"),
        (np.float32(0.66907406), "0.669074059"),  # six digits would be another float
        (np.float32(1e-7), "1e-07"),
        (np.float32(16777216), "16777216.0"),
        (np.float32(9e6), "9e+06"),
        (np.float32(3), "3.0"),
        (0.1, "0.1"),
        (1 / 3, "0.33333333333333331"),
        (math.nan, "NaN"),
        (-math.inf, "-Infinity"),
    ],
)
def test_answers(value, text):
    assert json_numbers.decimal(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(-(2.0**63), "-9.22337204e+18"), (1.5, "1.5"), (1e308, "1e+308"), (math.inf, "Infinity")],
)
def test_messages(value, text):
    assert json_numbers.told(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.0"),
        (-0.0, "-0.0"),
        (1.0, "1.0"),
        (1234.5, "1234.5"),
        (1e20, "100000000000000000000.0"),
        (1e21, "1e21"),
        (1.25e300, "1.25e300"),
        (0.001, "0.001"),
        (1.5e-6, "0.0000015"),
        (1.5e-7, "1.5e-7"),
        (-2.5, "-2.5"),
    ],
)
def test_values_in_lists_of_messages(value, text):
    assert json_numbers.shortest(value) == text
