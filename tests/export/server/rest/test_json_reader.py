"""JSON as RapidJSON 1.1 reads it: what is taken, and the words and offsets for what is not."""

import json
import math
import random

import pytest

from export.server.rest import json_reader
from export.server.rest.json_numbers import ReadError


@pytest.mark.parametrize(
    ("text", "message", "offset"),
    [
        (b" \n ", "The document is empty.", 3),
        (b"{}{}", "The document root must not be followed by other values.", 2),
        (b"{a:1}", "Missing a name for object member.", 1),
        (b'{"a":1,}', "Missing a name for object member.", 7),
        (b'{"a" 1}', "Missing a colon after a name of object member.", 5),
        (b'{"a":1 2}', "Missing a comma or '}' after an object member.", 7),
        (b"[1 2]", "Missing a comma or ']' after an array element.", 3),
        (b"[01]", "Missing a comma or ']' after an array element.", 2),
        (b"[NaNx]", "Missing a comma or ']' after an array element.", 4),
        (b"[0x1]", "Missing a comma or ']' after an array element.", 2),
        (b"[1,]", "Invalid value.", 3),
        (b"[tru]", "Invalid value.", 4),
        (b"[True]", "Invalid value.", 1),
        (b"[nul]", "Invalid value.", 4),
        (b"[-]", "Invalid value.", 2),
        (b"[+1]", "Invalid value.", 1),
        (b"[.5]", "Invalid value.", 1),
        (b"[-Infi]", "Invalid value.", 6),
        (b"[1.]", "Miss fraction part in number.", 3),
        (b"[1e]", "Miss exponent in number.", 3),
        (b"[1e+]", "Miss exponent in number.", 4),
        (b"[ 1e309]", "Number too big to be stored in double.", 2),
        (b"[-1e400]", "Number too big to be stored in double.", 1),
        (b"[" + b"9" * 310 + b"]", "Number too big to be stored in double.", 1),
        (b'["a', "Missing a closing quotation mark in string.", 3),
        (b'["a\0b"]', "Missing a closing quotation mark in string.", 3),
        (b'["a\tb"]', "Invalid escape character in string.", 3),
        (b'["a\\x"]', "Invalid escape character in string.", 3),
        (b'["\\u12g4"]', "Incorrect hex digit after \\u escape in string.", 2),
        (b'["\\ud800"]', "The surrogate pair in string is invalid.", 2),
        (b'["\\ud800\\u0041"]', "The surrogate pair in string is invalid.", 2),
        (b"\xff\xfe{\0", "Invalid value.", 0),
        (b"[" * 100_000, "Nested more than 2000 deep.", 2001),
    ],
)
def test_text_that_is_no_json(text, message, offset):
    with pytest.raises(ReadError) as error:
        json_reader.read(text)
    assert (str(error.value), error.value.offset) == (message, offset)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"\xef\xbb\xbf[1]", [1]),
        (b"[1]\0 no matter what", [1]),
        (b"[Inf, -Inf, Infinity]", [math.inf, -math.inf, math.inf]),
        (b"[10e308]", [math.inf]),  # which is too big by its value only
        (b"[0.1e309]", [1e308]),
        (b"[1e-400]", [0.0]),
        (b"[18446744073709551615, -9223372036854775808]", [2**64 - 1, -(2**63)]),
        (b"[18446744073709551616, -9223372036854775809]", [2.0**64, -(2.0**63)]),
        (b'["\\u00e9\\ud83d\\ude00", "\xc3\xa9"]', ["é😀", "é"]),
        (b'["\xff"]', ["\udcff"]),
        (b'["\\udc00"]', [b"\xed\xb0\x80".decode("utf-8", "surrogateescape")]),
    ],
)
def test_text_that_python_reads_otherwise_or_not_at_all(text, value):
    read = json_reader.read(text)
    assert read == value
    assert [type(item) for item in read] == [type(item) for item in value]


def test_nan_is_a_number():
    assert math.isnan(json_reader.read(b"[-NaN]")[0])


@pytest.mark.parametrize("quickly", [True, False])
def test_a_name_that_is_given_twice_has_its_first_value(quickly):
    text = b'{"a": 1, "b": 2, "a": 3%s}' % (b"" if quickly else b', "c": Inf')
    read = json_reader.read(text)
    assert (read["a"], len(read)) == (1, 2 if quickly else 3)
    assert read.members()[:3] == [("a", 1), ("b", 2), ("a", 3)]


def _random_value(generator, depth=0):
    kinds = 6 if depth > 3 else 8
    kind = generator.randrange(kinds)
    if kind < 6:
        return [
            None,
            generator.random() < 0.5,
            generator.randrange(-(2**40), 2**40),
            generator.gauss(0, 1) * 10.0 ** generator.randrange(-30, 30),
            "".join(map(chr, generator.sample(range(1, 0x2FF), 5))),
            "",
        ][kind]
    parts = [_random_value(generator, depth + 1) for _ in range(generator.randrange(4))]
    return parts if kind == 6 else {f"{n}\n": part for n, part in enumerate(parts)}


def test_both_readers_read_the_same():
    generator = random.Random(3)
    for _ in range(300):
        value = [_random_value(generator)]
        text = json.dumps(value, ensure_ascii=generator.random() < 0.5).encode()
        assert json_reader.read(text) == value
        assert json_reader._Reader(text, 0).document() == value
        cut = text[: generator.randrange(1, len(text))]
        with pytest.raises(ReadError):
            json_reader.read(cut)
