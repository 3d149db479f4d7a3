"""Classify and Regress of an export over REST."""

import json

import numpy as np
import pytest

from tests.export.server.small_model import call

pytestmark = pytest.mark.parametrize("exported", ["mmoe"], indirect=True)


def _json_example(example):
    found = {}
    for name, feature in example.features.feature.items():
        values = list(getattr(feature, feature.WhichOneof("kind")).value)
        found[name] = [v.decode() if isinstance(v, bytes) else v for v in values]
    return {name: found[name] for name in ("user_id", "item_id", "kind", "age")}


def test_rest_has_classify_and_regress(export_server, examples, expected):
    url = f"http://127.0.0.1:{export_server.options.rest_api_port}/v1/models/m"
    rows = [_json_example(example) for example in examples]
    body = {"signature_name": "classify", "examples": rows}
    status, answer = call(f"{url}:classify", body)
    assert status == 200
    for row, classes in enumerate(answer["results"]):
        wanted = [["click", expected["click"][row]], ["buy", expected["buy"][row]]]
        assert [label for label, _ in classes] == ["click", "buy"]
        np.testing.assert_allclose([s for _, s in classes], [s for _, s in wanted], atol=1e-6)
    context = {name: rows[0].pop(name) for name in ("user_id", "age")}
    body = {"signature_name": "regress", "examples": rows[:1], "context": context}
    status, answer = call(f"{url}:regress", body)
    assert status == 200
    np.testing.assert_allclose(answer["results"], expected["score"][:1], atol=1e-6)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ([], "JSON Value: [] Is not object"),
        (
            {},
            "JSON Value: {} When method is classify, key 'examples' is expected and was not found",
        ),
        ({"examples": {}}, "to be an list/array"),
        ({"examples": []}, "is an empty array"),
        ({"examples": [1]}, "Example must be JSON object but got JSON Number"),
        ({"examples": [{"a": None}]}, "Feature: a has element with unexpected JSON type: Null"),
        ({"examples": [{"a": [1, "x"]}]}, "Unexpected element type in feature: a expecting"),
        (
            {"examples": [{"a": 2**63}]},
            "Feature: a has uint64_t element. Only int64_t is supported.",
        ),
        ({"examples": [{"a": {"b64": "?"}}]}, "Unable to base64 decode"),
        ({"examples": [{}], "signature_name": 1}, "must be a string value"),
        ({"examples": [{"a": 1e39}]}, "Expected one input Tensor."),
        ({"examples": [{}]}, "Expected one input Tensor."),
    ],
)
def test_faults_over_rest(export_server, body, text):
    url = f"http://127.0.0.1:{export_server.options.rest_api_port}/v1/models/m:regress"
    status, answer = call(url, json.dumps(body))
    assert (status, text in answer["error"]) == (400, True), answer
