"""The HTTP server of the REST interface."""

import gzip
import http.client
import json
import urllib.error
import urllib.parse
import urllib.request

import pytest

from tests.export.server.small_model import INSTANCES, call, free_port, save_version, serving


def page(status, phrase):
    """As libevent writes it."""
    return (
        f"<HTML><HEAD>\n<TITLE>{status} {phrase}</TITLE>\n</HEAD><BODY>\n"
        f"<H1>{phrase}</H1>\n</BODY></HTML>\n"
    )


def test_letters_of_a_path_may_be_large_and_percent_signs_stand_for_others(url):
    root = url.removesuffix("/v1/models/small")
    for path in ("/V1/Models/small", "/v1/models/sm%61ll", "/v1/models/small/METADATA"):
        status, answer = call(root + path)
        assert (status, list(answer)) == (200, ["model_version_status"])
    assert call(root + "/v1/models/a%2Fb")[1]["error"].endswith("of model a/b")
    assert call(root + "/v1/models/small%3Apredict", {})[1]["error"] == (
        "Malformed request: POST /v1/models/small%3Apredict"
    )


def test_another_sites_page_may_ask_whether_it_may_call(url):
    request = urllib.request.Request(
        f"{url}:predict", method="OPTIONS", headers={"Origin": "http://example.com"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert (answer.status, answer.read()) == (200, b"")


def test_metrics_are_told_whatever_the_verb(tmp_path):
    save_version(tmp_path / "small", 7, add=0.0)
    config = tmp_path / "monitoring.config"
    config.write_text("prometheus_config { enable: true }")
    port = free_port()
    with serving(tmp_path / "small", rest_api_port=port, monitoring_config_file=str(config)):
        address = f"http://127.0.0.1:{port}/monitoring/prometheus/metrics"
        for data in (None, b"{}"):
            with urllib.request.urlopen(address, data, timeout=10) as answer:
                assert (answer.status, answer.read()[:6]) == (200, b"# TYPE")
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(f"{address}?x", timeout=10)
        assert error.value.read().decode() == (
            "Unexpected path: /monitoring/prometheus/metrics?x. Should be "
            "/monitoring/prometheus/metrics"
        )


def test_other_verbs_and_addresses(url):
    def ask(address, verb="GET"):
        request = urllib.request.Request(address, method=verb)
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(request, timeout=10)
        return error.value.code, error.value.read().decode()

    for verb in ("PUT", "DELETE", "PATCH"):
        status, answer = ask(url, verb)
        expected = {"error": f"Malformed request: {verb} /v1/models/small"}
        assert (status, json.loads(answer)) == (400, expected)
    assert ask(url, "HEAD") == (400, "")
    root = url.removesuffix("/v1/models/small")
    assert ask(url, "OPTIONS") == (400, "")
    for verb in ("TRACE", "CONNECT", "FOO", "get"):
        assert ask(url, verb) == (501, page(501, "Not Implemented"))
    for path in ("/v2/models/small", "/", "//v1/models/small", "/v1"):
        assert ask(root + path) == (404, page(404, "Not Found"))
    for path in ("/v1/models/%", "/v1/models/%4", '/v1/models/"'):
        assert ask(root + path) == (400, page(400, "Bad Request"))
    assert "Missing model name in request." in ask(f"{root}/v1/models")[1]
    assert "Malformed request: GET /v1/" in ask(f"{root}/v1/")[1]
    # Queries are part of the path, as for the real server.
    assert "any versions of model small?verbose=1" in ask(f"{url}?verbose=1")[1]


def test_bodies_may_come_in_chunks_and_are_empty_if_they_are_compressed(url):
    body = json.dumps({"instances": INSTANCES}).encode()
    address = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(address.netloc, timeout=10)
    for data, headers, status in (
        (gzip.compress(body), {"Content-Encoding": "gzip"}, 400),
        (body, {"Content-Encoding": "deflate"}, 200),
        (iter([body[:10], body[10:]]), {"Transfer-Encoding": "chunked"}, 200),
        (body, {"Content-Encoding": "gzip"}, 400),
        (gzip.compress(body), {"Content-Encoding": "GZIP"}, 400),
    ):
        connection.request(
            "POST", f"{address.path}:predict", data, headers, encode_chunked=status == 200
        )
        answer = connection.getresponse()
        assert (answer.status, bool(json.load(answer))) == (status, True)
    connection.close()
