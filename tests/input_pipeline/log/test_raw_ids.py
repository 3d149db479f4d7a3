import numpy as np
import pytest

from input_pipeline.log import raw_ids
from input_pipeline.log.byte_strings import ByteStrings
from input_pipeline.log.raw_ids import IdIndex, as_array, dtype_of, from_lines, to_lines

EDGES = [0, -1, 9, 10, -10, 99, 100, 12345678901, 10**18, 2**63 - 1, -(2**63), -(2**63) + 1]


def objects(values: list[bytes]) -> np.ndarray:
    array = np.empty(len(values), object)
    array[:] = values
    return array


@pytest.mark.parametrize("block", [5, 1 << 16])
def test_integers_are_written_as_python_writes_them(monkeypatch, block):
    monkeypatch.setattr(raw_ids, "_BLOCK", block)
    random = np.random.default_rng(0)
    many = random.integers(-(2**63), 2**63 - 1, 200) >> random.integers(0, 63, 200)
    numbers = np.array([*EDGES, *many.tolist()])
    text = to_lines(numbers)
    assert text == b"".join(b"%d\n" % number for number in numbers.tolist())
    assert from_lines(text, "int64", "").tolist() == numbers.tolist()


def test_strings_come_back():
    strings = ByteStrings.of([b"a", b"", b"\xff 7"])
    assert to_lines(strings) == b"a\n\n\xff 7\n"
    assert from_lines(to_lines(strings), "bytes", "").tolist() == strings.tolist()
    assert [dtype_of(strings), dtype_of(np.arange(2))] == ["bytes", "int64"]
    assert as_array(strings).tolist() == strings.tolist()


@pytest.mark.parametrize(
    "line",
    [b"", b"-", b"1x", b" 1", b"1.0", b"--1", b"9" * 20, b"%d" % 2**63, b"%d" % (-(2**63) - 1)],
)
def test_a_line_that_is_no_integer_is_named(line):
    with pytest.raises(ValueError, match=r"ids\.txt, line 2: must be a decimal integer within in"):
        from_lines(b"7\n" + line + b"\n8\n", "int64", "ids.txt")


def test_integers_are_found():
    index = IdIndex(np.array([5, -3, 2**62, 0]))
    assert index.rows(np.array([0, 7, -3, 2**62, -(2**63)])).tolist() == [3, -1, 1, 2, -1]
    assert IdIndex(np.zeros(0, np.int64)).rows(np.array([1])).tolist() == [-1]


@pytest.mark.parametrize("hashed", ["apart", "all to one"])
def test_strings_are_found_whatever_their_hashes(monkeypatch, hashed):
    if hashed == "all to one":
        monkeypatch.setattr(ByteStrings, "hashes", lambda self: np.ones(len(self), np.uint64))
    values = [b"u%d" % number for number in range(50)] + [b"", b"u"]
    index = IdIndex(ByteStrings.of(values))
    wanted = [b"u7", b"", b"nobody", b"u49", b"u", b"u7", b"U7"]
    rows = [values.index(value) if value in values else -1 for value in wanted]
    assert index.rows(objects(wanted)).tolist() == rows
    assert index.rows(objects([])).tolist() == []
