"""JSON as RapidJSON's PrettyWriter lays it out."""

import math

import pytest

from export.server.rest import json_reader, json_writer


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        ('a"\\\n\x01é', '"a\\"\\\\\\n\\u0001é"'),
        ([], "[]"),
        ({}, "{}"),
        (
            {"a": [1, {"b": 0.5}], "c": []},
            '{\n    "a": [\n        1,\n        {\n'
            '            "b": 0.5\n        }\n    ],\n    "c": []\n}',
        ),
        ([1, math.nan, 2], "[\n    1,\n    "),  # NaN cannot be written, and nothing after it is
    ],
)
def test_messages(value, text):
    assert json_writer.message(value) == text


def test_members_are_quoted_as_often_as_they_were_given():
    value = json_reader.read(b'{"a": 1, "a": 2}')
    assert json_writer.message(value) == '{\n    "a": 1,\n    "a": 2\n}'


def test_lists_of_rows_are_on_one_line():
    writer = json_writer.Writer()
    writer.open("{")
    writer.name("predictions")
    writer.open("[")
    for row in ([1, 2], [3]):
        writer.single_line = True
        writer.write(row)
        writer.single_line = False
    writer.close()
    writer.close()
    assert writer.text() == '{\n    "predictions": [[1, 2], [3]\n    ]\n}'


def test_errors_keep_bytes_that_are_no_text():
    assert json_writer.error("a\udcff\x00") == b'{\n    "error": "a\xff\\u0000"\n}'
