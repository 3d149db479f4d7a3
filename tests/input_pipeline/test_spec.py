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
    assert listed["user_neighbors_buy"] == {
        "name": "user_neighbors_buy",
        "dtype": "bytes",
        "length": 3,
        "ragged": True,
        "owner": "user",
    }
    assert listed["timestamp"]["dtype"] == "int64"
    assert listed["label_like"]["dtype"] == "float"


def test_fingerprint_follows_what_weights_depend_on():
    spec = make_spec()
    assert dataclasses.replace(spec, counts={"events": 1}).fingerprint() == spec.fingerprint()
    tasks = (*spec.tasks[:2], Task("share", 3))
    assert dataclasses.replace(spec, tasks=tasks).fingerprint() != spec.fingerprint()
    assert dataclasses.replace(spec, grouping="ab12").fingerprint() != spec.fingerprint()


def test_specs_without_a_recorded_grouping_are_read():
    fields = json.loads(make_spec().to_json())
    del fields["grouping"]
    assert DatasetSpec.from_json(json.dumps(fields)) == make_spec()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"spec\.json: not JSON"),
        ("[]", r"spec\.json: not a data set spec: missing \['counts'"),
        ('{"more": 1}', r"unknown \['more'\]"),
    ],
)
def test_refuses_what_is_no_spec(text, message):
    with pytest.raises(ValueError, match=message):
        DatasetSpec.from_json(text, "spec.json")


def test_refuses_another_format():
    text = make_spec().to_json().replace('"format_version": 1', '"format_version": 7')
    with pytest.raises(ValueError, match="format_version must be 1, got 7"):
        DatasetSpec.from_json(text)


def test_specs_without_a_record_layout_are_of_examples():
    spec = dataclasses.replace(make_spec(), record_layout="request")
    assert DatasetSpec.from_json(spec.to_json()) == spec
    fields = json.loads(spec.to_json())
    del fields["record_layout"]
    assert DatasetSpec.from_json(json.dumps(fields)).record_layout == "example"


def test_refuses_an_unknown_record_layout():
    with pytest.raises(ValueError, match=r"record_layout must be one of .*, got 'session'"):
        dataclasses.replace(make_spec(), record_layout="session")


def test_refuses_unusable_names():
    with pytest.raises(ValueError, match="task name 'Buy' must match"):
        Task("Buy", 1)
    with pytest.raises(ValueError, match="task name 'score' is reserved"):
        Task("score", 1)
