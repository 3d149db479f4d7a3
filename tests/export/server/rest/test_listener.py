"""The HTTP server of the REST interface."""

import gzip
import http.client
import json
import urllib.error
import urllib.parse
import urllib.request

import pytest

from tests.export.server.small_model import INSTANCES


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
