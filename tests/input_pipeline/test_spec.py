import dataclasses
import json

import pytest

from input_pipeline.spec import DatasetSpec, Task
from tests.encoded_rows import make_spec


def test_json_round_trip():
    spec = make_spec()
    assert DatasetSpec.from_json(spec.to_json()) == spec


def test_json_lists_every_feature_of_a_row():
    listed = {f["name"]: f for f in json.loads(make_spec().to_json())["features"]}
    # K_I = 5, T = 3, L = 3.
    assert listed["user_1hop"]["length"] == 5
    assert listed["task_table"]["length"] == 15
    neighbors = listed["user_neighbors_buy"]
    told = ("owner", "role", "dtype", "length", "ragged", "vocabulary", "task", "missing")
    assert [neighbors[name] for name in told] == [
        "user", "neighbors", "bytes", 3, True, "item_id", "buy", "",
    ]  # fmt: skip
    assert listed["user_neighbor_weights_buy"]["aligned_with"] == "user_neighbors_buy"
    assert (listed["item_macro"]["missing"], listed["item_macro"]["bounds"]) == (-1, [-1, 4])
    assert listed["timestamp"]["dtype"] == "int64"
    assert listed["label_like"]["dtype"] == "float"


def test_fingerprint_follows_what_weights_depend_on():
    spec = make_spec()
    assert dataclasses.replace(spec, counts={"events": 1}).fingerprint() == spec.fingerprint()
    tasks = (*spec.tasks[:2], Task("share", 3))
    assert dataclasses.replace(spec, tasks=tasks).fingerprint() != spec.fingerprint()
    assert dataclasses.replace(spec, grouping="ab12").fingerprint() != spec.fingerprint()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"spec\.json: must be JSON, got a file that is cut off in line 1\. Prepare"),
        ("[]", r"spec\.json: not a data set spec: missing \['continues', 'counts'"),
        ('{"more": 1}', r"unknown \['more'\]"),
    ],
)
def test_refuses_what_is_no_spec(text, message):
    with pytest.raises(ValueError, match=message):
        DatasetSpec.from_json(text, "spec.json")


def test_refuses_another_format():
    text = make_spec().to_json().replace('"format_version": 2', '"format_version": 1')
    message = r"spec\.json: format_version must be 2, got 1: .*; prepare it again from its log"
    with pytest.raises(ValueError, match=message):
        DatasetSpec.from_json(text, "spec.json")


def test_names_of_features_differ():
    spec = make_spec()
    with pytest.raises(ValueError, match=r"names of their own, got \['user_id'\] twice"):
        dataclasses.replace(spec, features=(*spec.features, spec.feature("user_id")))


def test_refuses_an_unknown_record_layout():
    with pytest.raises(ValueError, match=r"record_layout must be one of .*, got 'session'"):
        dataclasses.replace(make_spec(), record_layout="session")


def test_refuses_unusable_names():
    with pytest.raises(ValueError, match="task name 'Buy' must match"):
        Task("Buy", 1)
    with pytest.raises(ValueError, match="task name 'score' is reserved"):
        Task("score", 1)
