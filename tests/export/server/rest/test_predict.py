"""Predict in rows and columns, right and wrong, over the small model."""

import json
import urllib.error
import urllib.request

import pytest

from tests.export.server.small_model import INSTANCES, call


def test_rows(url):
    # 1+2+3 + 1 + one letter + 0.1 = 8.1; 4+5.5+6 + 2 + two letters + 0.1 = 19.6
    assert call(f"{url}:predict", {"instances": INSTANCES}) == (
        200,
        {"predictions": [{"echo": "a", "score": 8.1}, {"echo": "bc", "score": 19.6}]},
    )
    status, answer = call(f"{url}/versions/7:predict", {"instances": INSTANCES[:1]})
    assert (status, answer["predictions"][0]["score"]) == (200, 8.1)


def test_columns(url):
    columns = {"user_id": [1, 2], "name": ["a", "bc"], "edges": [[1, 2, 3], [4, 5.5, 6]]}
    assert call(f"{url}:predict", {"inputs": columns, "signature_name": "serving_default"}) == (
        200,
        {"outputs": {"echo": ["a", "bc"], "score": [8.1, 19.6]}},
    )


_MISSING = "Servable not found for request: "
_LABEL = "Unrecognized servable version"


def _with(**changes):
    return {"instances": [{**INSTANCES[0], **changes}]}


@pytest.mark.parametrize(
    ("path", "body", "status", "text"),
    [
        ("", {"instances": INSTANCES}, 400, "Malformed request: POST /v1/models/small"),
        (":explain", {"instances": INSTANCES}, 400, "Malformed request: POST /v1/models/small:ex"),
        (":PREDICT", {"instances": INSTANCES}, 400, "Malformed request: POST /v1/models/small:PR"),
        (":predict", None, 400, "Malformed request: GET /v1/models/small:predict"),
        ("/versions/8:predict", {"instances": INSTANCES}, 404, _MISSING + "Specific(small, 8)"),
        ("/versions/8", None, 404, "Could not find version 8 of model small"),
        ("/labels/stable:predict", {"instances": INSTANCES}, 400, f"{_LABEL} label: stable"),
        ("/labels/a%20b:predict", {"instances": INSTANCES}, 400, f"{_LABEL} label: a b"),
        (":predict", "", 400, "JSON Parse error: The document is empty"),
        (":predict", "{", 400, "JSON Parse error: Missing a name for object member. at offset: 1"),
        (":predict", '{"inputs": x}', 400, "JSON Parse error: Invalid value. at offset: 11"),
        (":predict", "[" * 100_000, 400, "JSON Parse error"),
        (":predict", [1], 400, "JSON Value: [\n    1\n] Is not object"),
        (":predict", {}, 400, "Missing 'inputs' or 'instances' key"),
        (
            ":predict",
            {"instances": [], "inputs": []},
            400,
            "only one of 'inputs' or 'instances' keys",
        ),
        (":predict", {"instances": 1}, 400, "Expecting 'instances' to be an list/array"),
        (":predict", {"instances": []}, 400, "No values in 'instances' array"),
        (":predict", {"instances": [1.0]}, 400, "instances is a plain list, but expecting list of"),
        (":predict", {"inputs": [1.0]}, 400, "inputs is a plain value/list, but expecting an obj"),
        (
            ":predict",
            {"inputs": {"name": ["a"]}},
            400,
            "Missing named input: edges in 'inputs' obj",
        ),
        (
            ":predict",
            {"instances": [INSTANCES[0], 1]},
            400,
            "Expecting object but got list at item 1",
        ),
        (
            ":predict",
            {"instances": [INSTANCES[0], {"user_id": 1}]},
            400,
            "Failed to process element: 1 of 'instances' list. JSON object: "
            '{\n    "user_id": 1\n}'
            " keys must be equal to: edges,name,user_id",
        ),
        (
            ":predict",
            {"instances": INSTANCES, "signature_name": "no"},
            400,
            'Serving signature name: "no" not found in signature def',
        ),
        (
            ":predict",
            {"instances": INSTANCES, "signature_name": 1},
            400,
            "not formatted correctly. 'signature_name' key must be a string value.",
        ),
        (
            ":predict",
            _with(user_id="1"),
            400,
            "Failed to process element: 0 key: user_id of 'instances' list. Error: "
            'INVALID_ARGUMENT: JSON Value: "1" Type: String is not of expected type: int64',
        ),
        (":predict", _with(user_id=2**64), 400, "Type: Number is not of expected type: int64"),
        (":predict", _with(user_id=1.5), 400, "1.5 Type: Number is not of expected type: int64"),
        (":predict", _with(user_id=True), 400, "true Type: True is not of expected type: int64"),
        (":predict", _with(user_id={"a": 1}), 400, "Type: Object is not of expected type: int64"),
        (":predict", _with(name=1), 400, "1 Type: Number is not of expected type: string"),
        (":predict", _with(name={"b64": "?"}), 400, "INVALID_ARGUMENT: Unable to base64 decode"),
        (":predict", _with(name={"b": "?"}), 400, "not formatted correctly for base64 data"),
        (
            ":predict",
            _with(edges=[1, [2], 3]),
            400,
            "Encountered list at unexpected level: 1 expected < 1",
        ),
        (
            ":predict",
            _with(edges=[[1], [2, 3]]),
            400,
            "Encountered list at unexpected size: 2 at level: 1 expected size: 1",
        ),
        (
            ":predict",
            _with(edges=[[1], 2]),
            400,
            "JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at level: 2",
        ),
        (
            ":predict",
            {"instances": [INSTANCES[0], {**INSTANCES[1], "edges": [1]}]},
            400,
            "Failed to process element: 1 key: edges of 'instances' list. Error: "
            "INVALID_ARGUMENT: Expecting tensor size: 3 but got: 1",
        ),
        (
            ":predict",
            {"instances": [INSTANCES[0], {**INSTANCES[1], "edges": [[1], [2], [3]]}]},
            400,
            "Expecting shape [3] but got: [3,1]",
        ),
        (
            ":predict",
            {"inputs": {"user_id": [1], "name": ["a"], "edges": [[1, 2, 3], [1]]}},
            400,
            "Encountered list at unexpected size: 1 at level: 1 expected size: 3",
        ),
        (
            ":predict",
            _with(label=0),
            400,
            "Failed to process element: 0 key: label of 'instances' list. Error: "
            "INVALID_ARGUMENT: JSON object: does not have named input: label",
        ),
    ],
)
def test_faults(url, path, body, status, text):
    answered, answer = call(url + path, body)
    assert answered == status
    assert text in answer["error"]
    assert call(url)[0] == 200


def test_a_version_beyond_int64_is_refused_without_a_word(url):
    request = urllib.request.Request(f"{url}/versions/{2**63}")
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(request, timeout=10)
    assert (error.value.code, error.value.read()) == (400, b"")


@pytest.mark.parametrize(
    ("edges", "score"),
    [
        ("[16777217, 0, 0]", 16777216.0),  # to which 1, 1 and 0.1 are nothing
        ("[1e39, 0, 0]", float("inf")),
        ("[123456789012345678901234567890, 0, 0]", 1.23456789e29),
        ("[-Inf, 0, 0]", float("-inf")),
        ("[1e-50, 0, 0]", 2.1),
    ],
)
def test_a_float_is_taken_as_near_as_it_can_be(url, edges, score):
    body = '{"instances": [{"user_id": 1, "name": "a", "edges": ' + edges + "}]}"
    assert call(f"{url}:predict", body)[1] == {"predictions": [{"echo": "a", "score": score}]}


def test_the_first_of_two_members_with_a_name_counts(url):
    columns = '"user_id": [1], "user_id": [5], "name": ["a"], "edges": [[1, 2, 3]]'
    body = f'{{"inputs": {{{columns}}}, "inputs": 3}}'
    assert call(f"{url}:predict", body)[1]["outputs"]["score"] == [8.1]
    row = '{"user_id": 1, "user_id": 5, "name": "a", "edges": [1, 2, 3]}'
    assert call(f"{url}:predict", f'{{"instances": [{row}]}}')[1]["predictions"][0]["score"] == 8.1


def test_lists_in_many_lists_are_tensors_of_many_axes(url):
    """NumPy knows 32 axes, tensors 254."""

    def nested(depth):
        edges = "[" * depth + "1, 2, 3" + "]" * depth
        return '{"inputs": {"user_id": 1, "name": "a", "edges": ' + edges + "}}"

    status, answer = call(f"{url}:predict", nested(33))
    assert status in (200, 400)
    assert "tensor parsing error" not in str(answer)
    assert call(f"{url}:predict", nested(254))[0] in (200, 400)
    for depth in (255, 900):
        assert call(f"{url}:predict", nested(depth)) == (
            400,
            {"error": "tensor parsing error: edges"},
        )


def test_an_answer_is_laid_out_as_tensorflow_serving_does(url):
    body = json.dumps({"instances": INSTANCES[:1]}).encode()
    with urllib.request.urlopen(f"{url}:predict", body, timeout=10) as answer:
        assert answer.read().decode() == (
            '{\n    "predictions": [\n        {\n            "echo": "a",\n'
            '            "score": 8.1\n        }\n    ]\n}'
        )


def test_bytes_that_are_no_text_are_answered_as_they_came(url):
    body = b'{"instances": [{"user_id": 1, "name": "\xff", "edges": [1, 2, 3]}]}'
    with urllib.request.urlopen(f"{url}:predict", body, timeout=10) as answer:
        assert b'"echo": "\xff"' in answer.read()
    body = b'{"signature_name": "\xff", "inputs": 1}'
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(f"{url}:predict", body, timeout=10)
    assert b'Serving signature name: \\"\xff\\" not found' in error.value.read()


def test_numbers_that_json_has_no_word_for(url):
    body = json.dumps(_with(edges=[float("nan"), 1, 1]))
    status, answer = call(f"{url}:predict", body)
    assert (status, str(answer["predictions"][0]["score"])) == (200, "nan")
    body = json.dumps(_with(edges=[float("inf"), 1, 1]))
    assert call(f"{url}:predict", body)[1]["predictions"][0]["score"] == float("inf")


def test_a_shape_that_the_graph_takes_is_answered(url):
    rows = _with(edges=[1, 2])
    assert call(f"{url}:predict", rows)[1] == {"predictions": [{"echo": "a", "score": 5.1}]}
