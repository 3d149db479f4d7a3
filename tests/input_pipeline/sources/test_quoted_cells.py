"""Rows over several lines: hand-made texts, and a reader of one character after another."""

import numpy as np
import pytest

from input_pipeline.sources.malformed import LineNumbers
from input_pipeline.sources.quoted_cells import QuotedCells


def watch(text: bytes, columns: int, chunk: int = 10**9) -> tuple[QuotedCells, LineNumbers]:
    """What is found in a text that comes in chunks."""
    lines = LineNumbers(1)
    cells = QuotedCells(b",", columns, lines)
    for begin in range(0, len(text), chunk):
        cells.add(text[begin : begin + chunk])
    return cells, lines


def first_lines(text: bytes) -> tuple[list[int], bool]:
    """The line that each row begins on, from 1, and whether the text ends within a cell."""
    begins = [1]
    line, at, at_cell, within = 1, 0, True, False
    while at < len(text):
        character = text[at : at + 1]
        pair = text[at : at + 2]
        if within and pair == b'""':
            at += 2
            continue
        if character == b'"' and (within or at_cell):
            within, at_cell = not within, False
            at += 1
            continue
        if character in (b"\r", b"\n"):
            at += len(pair) if pair == b"\r\n" else 1
            line += 1
            if not within:
                begins.append(line)
                at_cell = True
            continue
        if not within:
            at_cell = character == b","
        at += 1
    return begins[:-1] if text.endswith((b"\r", b"\n")) and not within else begins, within


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("chunk", [1, 3, 1000])
def test_lines_of_rows(end: bytes, chunk: int) -> None:
    rows = [b"1,2", b'"a\nb",3', b"4,5", b'6,"x""\n\n""y"', b'7,27" wide', b'8," z\n,"', b"9,9"]
    text = b"".join(row.replace(b"\n", end) + end for row in rows)
    cells, lines = watch(text, 9, chunk)
    # The second row is on lines 2 and 3, the fourth on 5 to 7, the sixth on 9 and 10.
    assert lines.lines(np.arange(8)).tolist() == [1, 2, 4, 5, 8, 9, 11, 12]
    assert not cells.ends_in_a_cell()
    assert lines.beyond_rows == 4
    rows_over_lines, more = lines.reaching()
    assert (rows_over_lines.tolist(), more) == ([1, 3, 5], 4)


def test_random_texts_agree_with_a_reader_of_characters() -> None:
    random = np.random.default_rng(0)
    over_lines = within = 0
    for _ in range(3000):
        pieces = random.choice(['"', '""', ",", "\n", "\r", "\r\n", "a", "1"], random.integers(40))
        text = "".join(pieces).encode()
        expected, ends_within = first_lines(text)
        cells, lines = watch(text, 3, int(random.integers(1, 12)))
        if ends_within:
            # The last row has no end, so that its lines are none of those found.
            assert cells.row == len(expected) - 1
        assert cells.ends_in_a_cell() == ends_within
        assert lines.lines(np.arange(len(expected))).tolist() == expected
        over_lines += len(lines.reaching()[0])
        within += ends_within
    assert over_lines > 1000
    assert within > 500


def test_many_quotes_that_stand_for_themselves() -> None:
    # More than are looked at together, with cells over line ends between.
    text = b'a"b,"c\nd",e"\n' * 1000 + b'a"\n' * 1000 + b'"a\n"\n' * 1000
    _, lines = watch(text, 3)
    assert lines.lines(np.array([0, 1, 999, 1000, 1999, 2000, 2001])).tolist() == [
        *(1, 3, 1999, 2001, 3000, 3001, 3003)
    ]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        # Lines 2 to 4 are rows that the quotes of lines 2 and 4 join.
        (b'u0,i0,a,1,17\nu1,i1,"b,0,17\nu2,i2,c,0,17\nu3,i3,"d,1,17\nu4,i4,e,1,17\n', [1]),
        # The second quote ends a cell.
        (b'u1,i1,"b,0,17\nu2,i2,27",0,17\n', [0]),
        # A number is missing.
        (b'u1,i1,"b,0,17\nu2,i2,c,,17\nu3,i3,"d,1,17\n', [0]),
        # Text over lines that have no commas, other numbers of them, or words for numbers.
        (b'u1,i1,"b\nc",0,17\n', []),
        (b'u1,i1,"b, c, d\ne, f",0,17\n', []),
        (b'u1,i1,1,17,"b\nc, d, e, f, g"\n', []),
        (b'u1,i1,1,17,"b\n\nc, d, e, f, g"\n', []),
        # One line of three or two of four may be another, but neither the first nor the last.
        (b'u1,i1,"b,0,17\nu2,c,0,17\nu3,i3,"d,1,17\n', [0]),
        (b'u1,i1,"b,0,17\n\n,\nu3,i3,"d,1,17\n', [0]),
        (b'u1,i1,"b,0,17\n\n,\n,\nu3,i3,"d,1,17\n', []),
        (b'u1,i1,"b,0,17\nu2,i2,c,0,17\nd",1,17\n', []),
    ],
)
@pytest.mark.parametrize("chunk", [2, 1000])
def test_rows_that_stray_quotes_join(text: bytes, rows: list[int], chunk: int) -> None:
    cells, _ = watch(text, 5, chunk)
    assert list(cells.joined) == rows


def test_a_text_without_quotes_is_not_kept() -> None:
    cells, lines = watch(b"1,2\n" * 1000 + b"3", 2, 64)
    assert (cells.row, cells.row_bytes) == (1000, 1)
    assert lines.beyond_rows == 0
