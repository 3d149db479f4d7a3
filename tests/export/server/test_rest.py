"""The REST interface over the small model of test_server."""

import gzip
import http.client
import json
import socket
import urllib.error
import urllib.parse
import urllib.request

import numpy as np
import pytest

from export.server.rest import values as rest_values
from tests.export.server.test_server import save_version, serving

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
        (f"/versions/{2**63}", None, 400, f"Failed to convert version: {2**63} to numeric."),
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
        (":predict", {"instances": 1}, 400, "Excepting 'instances' to be an list/array"),
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
            _with(edges=[2**24, 1, 1]),
            400,
            "Cannot convert JSON value: 16777216 to float without loss of precision.",
        ),
        (":predict", _with(edges=[1e39, 1, 1]), 400, "to float without loss of precision."),
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
            "Encountered list at unexpected size: 1 at level: 1 expected size: 3: input edges",
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


def test_other_verbs_and_addresses(url):
    def ask(address, verb="GET"):
        request = urllib.request.Request(address, method=verb)
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(request, timeout=10)
        return error.value.code, error.value.read().decode()

    for verb in ("PUT", "DELETE", "PATCH", "OPTIONS"):
        status, answer = ask(url, verb)
        expected = {"error": f"Malformed request: {verb} /v1/models/small"}
        assert (status, json.loads(answer)) == (400, expected)
    assert ask(url, "HEAD") == (400, "")
    root = url.removesuffix("/v1/models/small")
    assert ask(f"{root}/v2/models/small")[0] == 404
    assert "Missing model name in request." in ask(f"{root}/v1/models")[1]
    assert "Malformed request: GET /v1/" in ask(f"{root}/v1/")[1]
    # Queries are part of the path, as for the real server.
    assert "any versions of model small?verbose=1" in ask(f"{url}?verbose=1")[1]


def test_bodies_may_be_compressed_and_come_in_chunks(url):
    body = json.dumps({"instances": INSTANCES}).encode()
    address = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(address.netloc, timeout=10)
    for data, headers, status in (
        (gzip.compress(body), {"Content-Encoding": "gzip"}, 200),
        (iter([body[:10], body[10:]]), {"Transfer-Encoding": "chunked"}, 200),
        (body, {"Content-Encoding": "gzip"}, 400),
        (b"", {"Content-Length": "x"}, 400),
    ):
        connection.request(
            "POST", f"{address.path}:predict", data, headers, encode_chunked=status == 200
        )
        answer = connection.getresponse()
        assert (answer.status, bool(json.load(answer))) == (status, True)
    connection.close()


def test_numbers_that_json_has_no_word_for(url):
    body = json.dumps(_with(edges=[float("nan"), 1, 1]))
    status, answer = call(f"{url}:predict", body)
    assert (status, str(answer["predictions"][0]["score"])) == (200, "nan")
    body = json.dumps(_with(edges=[float("inf"), 1, 1]))
    assert call(f"{url}:predict", body)[1]["predictions"][0]["score"] == float("inf")


def test_a_shape_that_the_graph_takes_is_answered(url):
    rows = _with(edges=[1, 2])
    assert call(f"{url}:predict", rows)[1] == {"predictions": [{"echo": "a", "score": 5.1}]}


def test_floats_are_written_with_nine_digits_where_six_are_not_exact():
    values = [0.1, 0.66907406, 8.1, 1e-7, 16777216.0]
    written = [rest_values.plain_float(float(np.float32(value))) for value in values]
    assert written == [0.1, 0.669074059, 8.1, 1e-7, 16777216.0]


def test_an_unknown_model_is_not_found(url):
    status, answer = call(url.replace("small", "other"))
    assert (status, answer) == (404, {"error": "Could not find any versions of model other"})
