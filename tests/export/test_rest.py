"""The REST interface over the small model of test_server."""

import json
import socket
import urllib.error
import urllib.request

import pytest

from tests.export.test_server import save_version, serving

INSTANCES = [
    {"user_id": 1, "name": "a", "edges": [1, 2, 3]},
    {"user_id": 2, "name": {"b64": "YmM="}, "edges": [4, 5.5, 6]},  # b64 of "bc"
]


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    path = tmp_path_factory.mktemp("rest") / "small"
    save_version(path, 7, add=0.1)
    port = free_port()
    with serving(path, rest_api_port=port):
        yield f"http://127.0.0.1:{port}/v1/models/small"


def call(url, body=None):
    """(HTTP status, answer); bodies that are no text are sent as JSON."""
    if body is not None and not isinstance(body, str):
        body = json.dumps(body)
    data = None if body is None else body.encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data), timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


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


def test_status_and_metadata(url):
    state = {"version": "7", "state": "AVAILABLE"}
    expected = {
        "model_version_status": [state | {"status": {"error_code": "OK", "error_message": ""}}]
    }
    assert call(url) == (200, expected)
    assert call(f"{url}/versions/7") == (200, expected)
    status, answer = call(f"{url}/metadata")
    assert status == 200
    assert answer["model_spec"] == {"name": "small", "signature_name": "", "version": "7"}
    signature = answer["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["method_name"] == "tensorflow/serving/predict"
    assert signature["inputs"]["edges"]["dtype"] == "DT_FLOAT"
    sizes = [dim["size"] for dim in signature["inputs"]["edges"]["tensor_shape"]["dim"]]
    assert sizes == ["-1", "3"]


def _with(**changes):
    return {"instances": [{**INSTANCES[0], **changes}]}


@pytest.mark.parametrize(
    ("path", "body", "status", "text"),
    [
        ("", {"instances": INSTANCES}, 400, "Malformed request: POST /v1/models/small"),
        (":explain", {"instances": INSTANCES}, 400, "Malformed request"),
        ("/versions/8:predict", {"instances": INSTANCES}, 404, "Specific(small, 8)"),
        ("/labels/stable:predict", {"instances": INSTANCES}, 400, "version label: stable"),
        (":predict", "{", 400, "JSON Parse error"),
        (":predict", "[" * 100_000, 400, "JSON Parse error"),
        (":predict", [1], 400, "must be a JSON object"),
        (":predict", {}, 400, "either 'instances' or 'inputs'"),
        (":predict", {"instances": []}, 400, "list of at least one"),
        (":predict", {"instances": [1.0]}, 400, "must be named: ['edges', 'name', 'user_id']"),
        (":predict", {"instances": [INSTANCES[0], {"user_id": 1}]}, 400, "every instance must"),
        (":predict", {"instances": INSTANCES, "signature_name": "no"}, 400, '"no" not found'),
        (":predict", {"instances": INSTANCES, "signature_name": 1}, 400, "must be a string"),
        (":predict", _with(user_id="1"), 400, 'user_id: JSON value "1" is not of expected type'),
        (":predict", _with(user_id=2**64), 400, "user_id: a number is out of range of int64"),
        (":predict", _with(user_id=True), 400, "user_id: JSON value true"),
        (":predict", _with(name={"b64": "?"}), 400, "name: unable to base64 decode"),
        (":predict", _with(edges=[1, 2]), 400, "edges: shape must be [-1, 3], got [1, 2]"),
        (":predict", _with(edges=[1, [2], 3]), 400, "edges: lists must be equally deep"),
        (":predict", _with(label=0), 400, "does not have named input: label"),
        (
            ":predict",
            {"instances": [{k: v for k, v in INSTANCES[0].items() if k != "name"}]},
            400,
            "Missing but required: {name}",
        ),
    ],
)
def test_faults(url, path, body, status, text):
    answered, answer = call(url + path, body)
    assert answered == status
    assert text in answer["error"]
    assert call(url)[0] == 200


def test_an_unknown_model_is_not_found(url):
    status, answer = call(url.replace("small", "other"))
    assert (status, answer) == (404, {"error": "Could not find any versions of model other"})
