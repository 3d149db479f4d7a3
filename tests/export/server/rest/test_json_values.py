"""Bytes in JSON, in base64 as Abseil reads it."""

import pytest

from export.server.errors import ServingError
from export.server.rest import json_values
from export.server.rest.json_reader import JsonObject


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", b""),
        ("YmM=", b"bc"),
        ("YmM", b"bc"),
        ("YmM.", b"bc"),
        ("Yg==", b"b"),
        ("Yg", b"b"),
        (" Y\nm M =\t", b"bc"),
        ("YWJj", b"abc"),
    ],
)
def test_base64(text, value):
    assert json_values.from_base64(JsonObject([("b64", text)])) == value


@pytest.mark.parametrize("text", ["*", "Y", "YWJj=", "Yg=", "YmM==", "-_-_", "Y=g", "é"])
def test_garbled_base64(text):
    with pytest.raises(ServingError, match=r"^Unable to base64 decode$"):
        json_values.from_base64(JsonObject([("b64", text)]))


def test_what_stands_for_bytes():
    assert json_values.is_base64(JsonObject([("b64", "")]))
    assert not json_values.is_base64(JsonObject([("b64", 1)]))
    assert not json_values.is_base64(JsonObject([("b64", ""), ("b64", "")]))
    assert not json_values.is_base64(JsonObject([("b64", ""), ("a", 1)]))
