import dataclasses
import json

import pytest

from input_pipeline.feature import Feature, Transform


def number(**changes) -> Feature:
    values = {"role": "numeric", "dtype": "float", "transform": Transform("log"), **changes}
    return Feature("price", "item", **values)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"role": "label"}, "price: numeric features, and no others, have a transform"),
        ({"transform": None}, "price: numeric features, and no others, have a transform"),
        ({"dtype": "int64"}, "price: .* must be float and of a fixed length, got int64"),
        ({"length": 1, "ragged": True}, "of a fixed length, got float, ragged"),
        ({"length": 3}, "price: .* a deviation for each of 3 numbers, got 1 and 1"),
        (
            {"length": 2, "transform": Transform("none", (0.0,) * 2, (1.0,) * 3)},
            "for each of 2 numbers, got 2 and 3",
        ),
    ],
)
def test_numbers_that_no_model_could_read_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        number(**changes)


def test_a_deviation_of_0_is_refused():
    with pytest.raises(ValueError, match=r"deviation: must be above 0, got \[1.0, 0.0\]"):
        Transform("standard", (0.0, 0.0), (1.0, 0.0))


def test_lists_of_ids_say_what_fills_them_up():
    options = {"length": 2, "ragged": True, "vocabulary": "tags"}
    with pytest.raises(ValueError, match="feature tags: a list of ids needs a `missing`"):
        Feature("tags", "item", "side", "int64", **options)
    tags = Feature("tags", "item", "side", "int64", missing=-5, **options)
    assert (tags.filler, tags.encoded_filler) == (-5, -1)


@pytest.mark.parametrize(
    ("feature", "filler"),
    [
        (number(missing="nan"), "nan"),
        (Feature("age", "user", "side", "bytes", vocabulary="age", missing=""), "b''"),
        (Feature("age", "user", "side", "int64", vocabulary="age", missing=-7), "-7"),
        (Feature("label_buy", "row", "label", "float", missing=-1.0, optional=True), "-1.0"),
    ],
)
def test_missing_ones_read_as_told_and_survive_json(feature, filler):
    again = Feature.from_json(json.loads(json.dumps(dataclasses.asdict(feature))))
    assert again == feature
    assert repr(again.filler) == filler
