"""Delimiters and columns by the first line of a file."""

import pytest

from input_pipeline.sources.headers import (
    cells_of,
    delimiter_character,
    delimiter_name,
    find_columns,
    see_delimiter,
)


@pytest.mark.parametrize(
    ("text", "character"),
    [
        ("", None),
        *((",", ","), ("comma", ","), ("tab", "\t"), (r"\t", "\t"), ("\t", "\t")),
        *(("semicolon", ";"), ("pipe", "|"), ("space", " "), ("\x01", "\x01"), (":", ":")),
    ],
)
def test_names_of_delimiters(text: str, character: str | None) -> None:
    assert delimiter_character(text) == character


@pytest.mark.parametrize("text", ["::", "colon", '"', "\n", "é"])
def test_what_is_no_delimiter(text: str) -> None:
    with pytest.raises(ValueError, match=r"--delimiter: must be one ASCII character or of comma, "):
        delimiter_character(text)


def test_delimiters_are_called_by_their_names() -> None:
    assert [delimiter_name(character) for character in ",\t ^"] == ["comma", "tab", "space", "'^'"]


@pytest.mark.parametrize(
    ("line", "columns", "delimiter"),
    [
        ("u,i,t", ("u", "i"), ","),
        ("u\ti\tt", ("u", "i"), "\t"),
        ("u ; i;t", ("u", "i"), ";"),
        ("u|i|t", ("u", "i"), "|"),
        # Most of the columns, though there are more commas.
        ('"a,b,c,d,e";u;i', ("u", "i"), ";"),
        ("u;i;a,b,c,d", ("u", "i"), ";"),
        # No column is there: most cells, and commas first.
        ("a;b;c,d", ("u", "i"), ";"),
        ("a;b,c", ("u", "i"), ","),
        ("u:token\ti:token", ("u", "i"), "\t"),
    ],
)
def test_a_delimiter_is_seen(line: str, columns: tuple[str, ...], delimiter: str) -> None:
    assert see_delimiter(line, columns, (), quoted=True) == delimiter


def test_a_delimiter_is_seen_without_a_header() -> None:
    assert see_delimiter("1;2;3,5", ("u",), ("u", "i", "r"), quoted=True) == ";"
    assert see_delimiter('1|"2|3"|5', ("u",), ("u", "i", "r"), quoted=True) == "|"
    assert see_delimiter('1|"2|3', ("u",), ("u", "i", "r"), quoted=False) == "|"


def test_cells_are_trimmed_and_unquoted() -> None:
    assert cells_of(' u ,"a ""b"", c\n", t\t', ",", quoted=True) == ["u", 'a "b", c', "t"]
    assert cells_of(' u ,"a""b", t', ",", quoted=False) == ["u", '"a""b"', "t"]
    with pytest.raises(ValueError, match="the first line is no header: field larger than"):
        cells_of('"' + "x" * 200_000, ",", quoted=True)


def test_columns_in_the_header_and_in_the_folders() -> None:
    header = ["user_id:token", "item_id:token", "a:b", "n, 1", "day", "rating:float"]
    columns = ("user_id", "item_id:token", "a:b", "n, 1", " day ", "hour", "rating")
    partition = {"day": b"3", "hour": b"7"}
    # The file's own day goes before the folder's.
    assert find_columns("f", header, columns, partition) == {
        "user_id": 0,
        "item_id:token": 1,
        "a:b": 2,
        "n, 1": 3,
        " day ": 4,
        "hour": b"7",
        "rating": 5,
    }


@pytest.mark.parametrize(
    ("header", "partition", "message"),
    [
        (["x", "y"], {}, r"f: no column 'user' in the header \['x', 'y'\], cut$"),
        (["user", "user"], {}, r"f: 2 times the column 'user' in the header \['user', 'user'\]"),
        (["user:token", "user:float"], {}, "f: 2 times the column 'user' in the header"),
        (["User", "i"], {}, "cut; is 'User' meant"),
        (["users", "i"], {}, "cut; is 'users' meant"),
        (["x"], {"day": b"1"}, r"cut; its folders tell \['day'\]"),
        (["A3X", "B07", "5.0", "1400000000"], {}, "looks like data: --columns names those of"),
        ([f"c{n}" for n in range(5000)], {}, r"'c1', .*\.\.\. of 5000 names, cut"),
    ],
)
def test_a_column_that_is_not_there(header: list[str], partition: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        find_columns("f", header, ("user",), partition, ", cut")
    assert len(str(error.value)) < 700
