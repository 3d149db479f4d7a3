import numpy as np
import pytest
import tensorflow as tf

from input_pipeline.feature import Transform
from mgoe_tf.layers.numeric_inputs import NumericInputs
from tests import reference
from tests.mgoe_tf.policies import policy

NAN = float("nan")


def test_hand_worked():
    inputs = NumericInputs(
        transforms={
            "price": Transform("log", (1.0,), (2.0,), has_missing=True),
            "age": Transform("standard", (30.0,), (5.0,)),
            "share": Transform("none"),
        }
    )
    e = float(np.e)
    features = {
        "age": tf.constant([40.0, 30.0, NAN, 20.0]),
        "price": tf.constant([e - 1, 0.0, NAN, 1 - e]),
        "share": tf.constant([0.25, -3.0, NAN, 0.0]),
    }
    expected = [
        # (ln(1 + e - 1) - 1) / 2 = 0; (40 - 30) / 5 = 2
        [0.0, 0.0, 2.0, 0.25],
        # (ln 1 - 1) / 2 = -0.5
        [-0.5, 0.0, 0.0, -3.0],
        # all missing: each reads as its mean, and only the price says so
        [0.0, 1.0, 0.0, 0.0],
        # (-ln(1 + e - 1) - 1) / 2 = -1; (20 - 30) / 5 = -2
        [-1.0, 0.0, -2.0, 0.0],
    ]
    assert inputs.width == 4
    np.testing.assert_allclose(inputs(features), expected, atol=1e-6)


def test_several_numbers_of_one_feature():
    transform = Transform("standard", (1.0, 2.0, 3.0), (1.0, 2.0, 4.0), has_missing=True)
    inputs = NumericInputs(transforms={"activity": transform})
    assert inputs.width == 6
    found = inputs({"activity": tf.constant([[2.0, NAN, 1.0], [NAN, 2.0, 11.0]])})
    expected = [[1.0, 0.0, -0.5, 0, 1, 0], [0.0, 0.0, 2.0, 1, 0, 0]]
    np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize("kind", ["standard", "log", "none"])
def test_equals_reference(kind):
    rng = np.random.default_rng(3)
    transform = Transform(kind, (0.5, -2.0), (3.0, 0.25), has_missing=kind != "none")
    values = rng.normal(0.0, 20.0, (40, 2)).astype(np.float32)
    values[rng.random(values.shape) < 0.2] = np.nan
    found = NumericInputs(transforms={"x": transform})({"x": tf.constant(values)})
    expected = [reference.numbers(row, **vars(transform)) for row in values]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_float32_under_mixed_precision():
    with policy("mixed_float16"):
        inputs = NumericInputs(transforms={"views": Transform("log")})
        # past float16's range: ln(1 + 1e6)
        found = inputs({"views": tf.constant([1e6])})
    assert found.dtype == tf.float32
    np.testing.assert_allclose(found, [[np.log1p(1e6)]], rtol=1e-6)


def test_config_round_trips():
    inputs = NumericInputs(transforms={"x": Transform("log", (1.0, 2.0), (3.0, 4.0), True)})
    again = NumericInputs.from_config(inputs.get_config())
    assert again.transforms == inputs.transforms
    assert again.get_config() == inputs.get_config()


def test_without_numbers_there_is_no_width():
    assert NumericInputs(transforms={}).width == 0
